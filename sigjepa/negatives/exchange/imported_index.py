"""Hard negatives from an index that a person brings, already filtered: `negatives=index_file`."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sigjepa.errors import SigjepaError
from sigjepa.negatives.dependencies import data_upstream
from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.imports import (
    check_arguments,
    import_inputs,
    imported_folder,
    imported_origin,
    open_imported,
)
from sigjepa.negatives.exchange.index_file import FILE_NAME, META_NAME, Document, IndexPairs, read_index
from sigjepa.negatives.exchange.metadata import check_origin, origin, read_sidecar, sidecar_path
from sigjepa.negatives.exchange.validate import check_cosines, check_nearness, pair_cosines
from sigjepa.negatives.index.csr import Ids
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.index.sampling import NegativeSampler
from sigjepa.store.origin import MADE, made

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus
    from sigjepa.teacher.shards import TeacherShards

logger = logging.getLogger(__name__)

ASSUMED_SCORE = 1
"""What a pair without a score counts as: the index holds it as a negative, and nothing says it is surely unrelated."""

KEPT = ("judge", "filter", "unscored_pairs", "scores_known")
"""What stays true of an index wherever it is imported."""

WAY_OUT = "repair it, export it again with `python -m sigjepa.export`, or use the corpus that it was made for."
SKIP = "negatives.outside_train=skip leaves out and counts pairs with functions that are not in the train split."


@dataclass(frozen=True)
class IndexFile:
    """A `hard_negatives.json`, with the meta file beside it when there is one.

    Without a meta file nobody knows the scores: every pair is a negative and counts as `score_c = 1`, cosines are
    those of the shards, and no related pairs are masked. The index lands in `negatives/imported-…`, keyed by what the
    files hold and by the arguments.

    Args:
        path: the index; what belongs to it lies beside it as `<name>.meta.json`.
        filter, tiers: leave out further pairs, as in `NegativesRecipe`.
        sampler: which of its negatives an anchor brings to a step.
        ids: 'position' of functions in this corpus, or content 'key'; None is as the meta file says, or position.
        outside_train: 'refuse' a file with a function outside of the train split, or 'skip' its pairs and count them.
        check_cosim: compare cosines with those of the shards, or see without any that the pairs are near.
        cosim_tolerance: largest difference of two cosines that are the same.
        model: whose cosines chose the pairs; None is what the meta file says, or unknown.

    Raises SigjepaError for arguments out of range.
    """

    path: str | Path
    filter: PairFilter = field(default_factory=PairFilter)
    sampler: NegativeSampler = field(default_factory=NegativeSampler)
    tiers: Sequence[str] | None = None
    ids: str | None = None
    outside_train: str = "refuse"
    check_cosim: bool = True
    cosim_tolerance: float = 0.02
    model: str | None = None

    def __post_init__(self) -> None:
        check_arguments(self.tiers, self.ids, self.outside_train, self.cosim_tolerance)

    def prepare(self, corpus: "Corpus", shards: "TeacherShards", data_dir: Path) -> HardNegatives:
        """The hard negatives of the file for a corpus, read or reused.

        Raises SigjepaError naming file, line and way out for whatever is wrong with the file, when it was made for
        another corpus or teacher, and when scores are needed that it does not have.
        """
        path = Path(self.path)
        arguments = {
            "filter": self.filter.settings(),
            "tiers": None if self.tiers is None else sorted(set(map(str, self.tiers))),
            "ids": self.ids,
            "outside_train": self.outside_train,
            "check_cosim": self.check_cosim,
            "cosim_tolerance": float(self.cosim_tolerance),
            "model": self.model,
        }
        inputs = import_inputs(path, arguments, corpus, shards)

        def build(folder: Path) -> dict[str, Any]:
            index = self._read(path, inputs["digest"], corpus, shards)
            index.save(folder)
            record = made(("numpy",), data_upstream(corpus, shards), [folder / FILE_NAME, folder / META_NAME])
            return {"statistics": index.statistics(), MADE: record}

        return open_imported(imported_folder(data_dir, "negatives", inputs, build), corpus, path)

    def _read(self, path: Path, digest: str, corpus: "Corpus", shards: "TeacherShards") -> HardNegatives:
        notes = read_sidecar(path)
        ids = FunctionIds.of(corpus, self.ids or notes.get("ids") or "position")
        here, by_key, train = origin(corpus, shards), ids.kind == "key", corpus.ids("train")
        check_origin(path, notes, here, by_position=not by_key, check_cosim=self.check_cosim)
        skip = self.outside_train == "skip"
        meta_path = sidecar_path(path) if notes else None
        way_out = f"{WAY_OUT} {SKIP}" if by_key and not skip else WAY_OUT
        found = read_index(path, meta_path, ids, way_out=way_out, skip_unknown=skip and by_key)
        inside = np.isin(found.anchors, train) & np.isin(found.negatives, train)
        if not inside.all() and not skip:
            raise _outside(path, found, inside, ids)
        if len(inside) and not inside.any():
            raise SigjepaError(
                f"{path}: none of its {len(inside):,} pairs lies in the train split, so it was made for another "
                "corpus. Use the corpus that it was made for, or another file."
            )
        index = self._index(path, found, np.flatnonzero(inside), shards, train)
        kept = {name: notes[name] for name in KEPT if name in notes}
        known = found.scores is not None and kept.get("scores_known") is not False
        if not known and self.filter.max_score_c < ASSUMED_SCORE:
            raise SigjepaError(
                f"{path} has no scores, so negatives.filter.max_score_c={self.filter.max_score_c} would leave nothing: "
                "take "
                "negatives.filter.max_score_c=1, or import the judged pairs with negatives=pairs_file."
            )
        if known:
            limit = min(self.filter.max_score_c, (kept.get("filter") or {}).get("max_score_c", self.filter.max_score_c))
            kept["filter"] = {**(kept.get("filter") or {}), "max_score_c": limit}
        own_cosines = found.cosims is None or self.check_cosim
        metadata = {
            **kept,
            **imported_origin(corpus, shards, notes, self.model, own_cosines=own_cosines),
            "source": str(path),
            "source_digest": digest,
            "train_functions": len(train),
            "outside_pairs": int((~inside).sum()),
            "scores_known": known,
        }
        if found.scores is None and self.model is None:
            metadata["model"] = None  # cosines are the shards', but whose cosines chose the pairs nobody says
        index = HardNegatives(index.negatives, index.scores, index.cosims, index.related, metadata)
        tiers = None if self.tiers is None else list(self.tiers)
        return index.restricted(corpus.ids("train", tiers), self.filter.max_score_c)

    def _index(self, path: Path, found: IndexPairs, rows: Ids, shards: "TeacherShards", train: Ids) -> HardNegatives:
        """The pairs in `rows`, nearest first, their cosines checked or computed."""
        anchors, negatives = found.anchors[rows], found.negatives[rows]
        if found.cosims is None or found.scores is None:
            cosims = pair_cosines(shards, anchors, negatives)
            if self.check_cosim:
                check_nearness(path, cosims, shards, train)
            order = np.lexsort((negatives, -cosims, anchors))
            scores = np.full(len(rows), ASSUMED_SCORE)
            logger.warning(
                "%s has no %s beside it: its scores are unknown, every pair counts as score_c=1, and no related pair "
                "is masked.",
                *(path, sidecar_path(path).name),
            )
        else:
            cosims, scores = np.array(found.cosims, np.float64)[rows], np.array(found.scores)[rows]
            if self.check_cosim:
                check_cosines(path, anchors, negatives, cosims, shards, self.cosim_tolerance)
            order = np.arange(len(rows))
        return HardNegatives.from_columns(
            anchors[order], negatives[order], scores[order].tolist(), cosims[order].tolist(), found.related, {}
        )


def _outside(path: Path, found: IndexPairs, inside: np.ndarray, ids: FunctionIds) -> SigjepaError:
    place = int(np.argmin(inside))
    anchor, negative = ids.names([int(found.anchors[place]), int(found.negatives[place])])
    return Document(path, f"{SKIP} Or use the corpus that the file was made for.").wrong(
        f"pairs {anchor} with {negative}, which are not both in the train split, as {int((~inside).sum()):,} of its "
        f"{len(inside):,} pairs are not",
        anchor,
        negative,
    )
