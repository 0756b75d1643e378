"""Hard negatives from an index that a person brings, already filtered: `negatives=index_file`."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.imports import (
    Ids,
    Outside,
    Tolerance,
    import_inputs,
    imported_metadata,
    with_source,
)
from sigjepa.negatives.exchange.index_file import ASSUMED_SCORE, Document, read_index
from sigjepa.negatives.exchange.metadata import check_metadata, metadata_path, read_metadata
from sigjepa.negatives.exchange.validate import check_cosines, check_nearness, pair_cosines
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter, similarities_for
from sigjepa.negatives.index.sampling import NegativeSampler
from sigjepa.negatives.index.stage import open_index, write_index
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.runtime.fields import Tiers, component
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.stage import Get, Part, Stage

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus
    from sigjepa.teacher.shards import TeacherShards

log = logging.getLogger(__name__)

KEPT = ("judge", "unscored_pairs", "scores_known")
"""What stays true of an index wherever it is imported."""

WAY_OUT = "repair it, export it again with `python -m sigjepa.export`, or use the corpus that it was made for."
SKIP = "negatives.outside_train=skip leaves out and counts pairs with functions that are not in the train split."


@component("negatives")
class ImportedIndex:
    """A `hard_negatives.json`, with the meta file beside it when there is one.

    Without a meta file nobody knows the scores: every pair is a negative and counts as `score_c = 1`, cosines are
    those of the shards, and no related pairs are masked.

    Args:
        path: the index; what belongs to it lies beside it as `<name>.meta.json`.
        filter, tiers: leave out further pairs, as in `MinedNegatives`.
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
    tiers: Tiers | None = None
    ids: Ids | None = None
    outside_train: Outside = "refuse"
    check_cosim: bool = True
    cosim_tolerance: Tolerance = 0.02
    model: str | None = None

    def prepare(self, corpus: "Corpus", shards: "TeacherShards", get: Get, data_dir: Path) -> HardNegatives:
        """Return the hard negatives of the file for a corpus.

        Raises SigjepaError naming file, line and way out for whatever is wrong with the file, when it was made for
        another corpus or teacher, and when scores are needed that it does not have.
        """
        return with_source(get(ImportedIndexStage(self, corpus, shards)), Path(self.path))


@dataclass(frozen=True)
class ImportedIndexStage(Stage[HardNegatives]):
    """Read and check an index, and keep what passes the filter as hard negatives of the corpus."""

    settings: ImportedIndex
    corpus: "Corpus"
    shards: "TeacherShards"

    kind: ClassVar[str] = "negatives"
    packages: ClassVar[Sequence[str]] = ("numpy",)
    label: ClassVar[str] = "imported"

    def inputs(self) -> dict[str, Any]:
        """Return what the file holds and how it is read; raises SigjepaError for a file that is not there."""
        settings = self.settings
        arguments = {
            "filter": settings.filter.settings(),
            "tiers": None if settings.tiers is None else sorted(set(settings.tiers)),
            "cosim_tolerance": float(settings.cosim_tolerance),
            **{name: getattr(settings, name) for name in ("ids", "outside_train", "check_cosim", "model")},
        }
        return import_inputs(Path(settings.path), arguments, self.corpus, self.shards)

    def upstream(self) -> Mapping[str, Reference]:
        """Return the corpus and the shards."""
        return {"corpus": self.corpus.reference, "shards": self.shards.reference}

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write the pairs of the train split that pass; raises SigjepaError for what is wrong with the file."""
        settings, path = self.settings, Path(self.settings.path)
        recorded = read_metadata(path)
        ids = FunctionIds.of(self.corpus, settings.ids or recorded.get("ids") or "position")
        by_key, train = ids.kind == "key", self.corpus.ids("train")
        check_metadata(
            path, recorded, self.corpus, self.shards, by_position=not by_key, check_cosim=settings.check_cosim
        )
        skip = settings.outside_train == "skip"
        way_out = f"{WAY_OUT} {SKIP}" if by_key and not skip else WAY_OUT
        beside = metadata_path(path) if recorded else None
        found, related, _ = read_index(path, beside, ids, way_out=way_out, skip_unknown=skip and by_key)
        inside = np.isin(found.anchor_ids, train) & np.isin(found.neighbor_ids, train)
        if not inside.all() and not skip:
            raise _outside(path, found, inside, ids)
        if len(inside) and not inside.any():
            raise SigjepaError(
                f"{path}: none of its {len(inside):,} pairs lies in the train split, so it was made for another "
                "corpus. Use the corpus that it was made for, or another file."
            )
        known = bool(recorded) and recorded.get("scores_known") is not False
        if not known and settings.filter.max_score_c < ASSUMED_SCORE:
            raise SigjepaError(
                f"{path} has no scores, so negatives.filter.max_score_c={settings.filter.max_score_c} would leave "
                "nothing: take negatives.filter.max_score_c=1, or import the judged pairs with negatives=pairs_file."
            )
        judged = self._with_cosines(path, found.take(np.flatnonzero(inside)), known=bool(recorded))
        kept = train if settings.tiers is None else self.corpus.ids("train", list(settings.tiers))
        judged, related = judged.among(kept), related[np.isin(related, kept).all(axis=1)]
        own_cosines = not recorded or settings.check_cosim
        metadata = {
            **{name: recorded[name] for name in KEPT if name in recorded},
            **imported_metadata(self.corpus, self.shards, recorded, settings.model, own_cosines=own_cosines),
            "filter": self._limits(recorded, known=known),
            "source": str(path),
            "judged_pairs": len(judged),
            "outside_pairs": int((~inside).sum()),
            "scores_known": known,
        }
        if not recorded and settings.model is None:
            metadata["model"] = None  # cosines are the shards', but whose cosines chose the pairs nobody says
        index = HardNegatives.from_judged(
            judged,
            train_ids=train,
            pair_filter=settings.filter,
            similarities=similarities_for(settings.filter, judged, self.shards),
            provenance=metadata,
        )
        return write_index(index.with_related(related[:, 0], related[:, 1]), out)

    def _limits(self, recorded: Mapping[str, Any], *, known: bool) -> dict[str, Any]:
        """Return the bounds that the pairs keep: those of the file, or the filter's where it is the stricter one."""
        limits = dict(recorded.get("filter") or {})
        if known:
            limit = self.settings.filter.max_score_c
            limits["max_score_c"] = min(limit, limits.get("max_score_c", limit))
        return limits

    def _with_cosines(self, path: Path, found: JudgedPairs, *, known: bool) -> JudgedPairs:
        """Return the pairs with their cosines, which are checked or computed."""
        if known:
            if self.settings.check_cosim:
                check_cosines(path, found, self.shards, self.settings.cosim_tolerance)
            return found
        cosims = pair_cosines(self.shards, found.anchor_ids, found.neighbor_ids)
        if self.settings.check_cosim:
            check_nearness(path, cosims, self.shards, self.corpus.ids("train"))
        log.warning(
            "%s has no %s beside it: its scores are unknown, every pair counts as score_c=1, and no related pair is "
            "masked.",
            *(path, metadata_path(path).name),
        )
        return replace(found, cosim=cosims)

    def open(self, manifest: Manifest) -> HardNegatives:
        """Return the index."""
        return open_index(manifest)


def _outside(path: Path, found: JudgedPairs, inside: np.ndarray, ids: FunctionIds) -> SigjepaError:
    place = int(np.argmin(inside))
    anchor, negative = ids.names([int(found.anchor_ids[place]), int(found.neighbor_ids[place])])
    return Document(path, f"{SKIP} Or use the corpus that the file was made for.").wrong(
        f"pairs {anchor} with {negative}, which are not both in the train split, as {int((~inside).sum()):,} of its "
        f"{len(inside):,} pairs are not",
        anchor,
        negative,
    )
