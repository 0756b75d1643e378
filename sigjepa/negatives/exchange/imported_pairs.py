"""Hard negatives from a judged file that a person brings, instead of mining and judging: `negatives=pairs_file`."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sigjepa.negatives.dependencies import data_upstream
from sigjepa.negatives.exchange.field_map import FieldMap
from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.imports import (
    MANIFEST,
    check_arguments,
    import_inputs,
    imported_folder,
    imported_origin,
    open_imported,
)
from sigjepa.negatives.exchange.index_file import FILE_NAME as INDEX_FILE
from sigjepa.negatives.exchange.index_file import META_NAME
from sigjepa.negatives.exchange.metadata import check_origin, origin, read_sidecar
from sigjepa.negatives.exchange.pairs_reader import PairsReader
from sigjepa.negatives.exchange.validate import check_cosines
from sigjepa.negatives.index.csr import Ids
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter, similarities_for
from sigjepa.negatives.index.sampling import NegativeSampler
from sigjepa.negatives.judging.judged_pairs import FILE_NAME, JudgedPairs
from sigjepa.store.artifacts import damaged, file_digest, read_manifest
from sigjepa.store.origin import MADE, made, upstream_of

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus
    from sigjepa.teacher.shards import TeacherShards

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PairsFile:
    """Judged pairs from a JSONL file, one pair a line, filtered as mined ones are.

    The pairs land in `judged/imported-…`, keyed by what the file holds and how it is read, the index in
    `negatives/imported-…`, keyed by that and the filter: another filter reads nothing again, a changed file is read.
    A pair whose score is null or missing was judged by nobody: it is left out and counted, neither negative nor masked.

    Args:
        path: the file. What an export left beside it, `<name>.meta.json`, says which corpus, teacher, ids and fields.
        tiers: keep pairs within these tiers of the corpus; None is all.
        filter: which of the pairs become negatives.
        sampler: which of its negatives an anchor brings to a step.
        fields: what the file calls its fields, by our name, dots reaching into nested objects; None is as the sidecar
            says, or our names.
        ids: 'position' of functions in this corpus, or content 'key'; None is as the sidecar says, or position.
        outside_train: 'refuse' a file with a function outside of the train split, or 'skip' its pairs and count them.
        check_cosim: compare cosines with those of the shards; false takes those of another teacher.
        cosim_tolerance: largest difference of two cosines that are the same.
        judge: who scored, where the file does not say.
        model: whose cosines they are; None is the shards' teacher, or what the sidecar says when they are not checked.

    Raises SigjepaError for arguments out of range.
    """

    path: str | Path
    filter: PairFilter = field(default_factory=lambda: PairFilter(min_cosim=0.80))
    sampler: NegativeSampler = field(default_factory=NegativeSampler)
    tiers: Sequence[str] | None = None
    fields: Mapping[str, str] | None = None
    ids: str | None = None
    outside_train: str = "refuse"
    check_cosim: bool = True
    cosim_tolerance: float = 0.02
    judge: str | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        check_arguments(self.tiers, self.ids, self.outside_train, self.cosim_tolerance)
        FieldMap(self.fields)  # checks its own

    def prepare(self, corpus: "Corpus", shards: "TeacherShards", data_dir: Path) -> HardNegatives:
        """The hard negatives of the file for a corpus, read or reused.

        Raises SigjepaError naming file, line and way out for whatever is wrong with the file, and when it was judged
        for another corpus or has the cosines of another teacher.
        """
        path = Path(self.path)
        arguments = {
            "fields": dict(FieldMap(self.fields).given),
            "ids": self.ids,
            "outside_train": self.outside_train,
            "check_cosim": self.check_cosim,
            "cosim_tolerance": float(self.cosim_tolerance),
            "judge": self.judge,
        }
        read_inputs = import_inputs(path, arguments, corpus, shards)
        tiers = None if self.tiers is None else sorted(set(map(str, self.tiers)))
        inputs = {"read": read_inputs, "filter": self.filter.settings(), "tiers": tiers, "model": self.model}

        def build(folder: Path) -> dict[str, Any]:
            judged_folder = imported_folder(data_dir, "judged", read_inputs, lambda f: self._read(f, corpus, shards))
            return self._filter(folder, judged_folder, corpus, shards)

        return open_imported(imported_folder(data_dir, "negatives", inputs, build), corpus, path)

    def _read(self, folder: Path, corpus: "Corpus", shards: "TeacherShards") -> dict[str, Any]:
        """Read and check the file, and write its pairs as our own."""
        path = Path(self.path)
        notes = read_sidecar(path)
        ids = FunctionIds.of(corpus, self.ids or notes.get("ids") or "position")
        check_origin(
            path,
            notes,
            origin(corpus, shards),
            by_position=ids.kind == "position",
            check_cosim=self.check_cosim,
        )
        reader = PairsReader(
            FieldMap(self.fields if self.fields is not None else notes.get("fields")),
            ids,
            corpus.ids("train"),
            skip_outside=self.outside_train == "skip",
            judge=self.judge or notes.get("judge") or "unknown",
        )
        judged, unscored, outside = reader.read(path)
        if self.check_cosim:
            check_cosines(path, judged.anchor_ids, judged.neighbor_ids, judged.cosim, shards, self.cosim_tolerance)
        counts = {"pairs": len(judged), "unscored_pairs": unscored, "outside_pairs": outside}
        logger.info(
            "%s: %d scored pairs; left out %d that nobody scored and %d outside of the train split",
            *(path, *counts.values()),
        )
        judged.write(folder / FILE_NAME)
        return {
            **counts,
            "judge": judged.judge,
            "digest": file_digest(folder / FILE_NAME),
            "origin": imported_origin(corpus, shards, notes, None, own_cosines=self.check_cosim),
            MADE: made(("numpy",), data_upstream(corpus, shards)),
        }

    def _filter(self, folder: Path, judged_folder: Path, corpus: "Corpus", shards: "TeacherShards") -> dict[str, Any]:
        """Write the index of the pairs that pass."""
        manifest = read_manifest(judged_folder / MANIFEST, ("digest", "judge"))
        file = judged_folder / FILE_NAME
        if not file.exists() or file_digest(file) != manifest["digest"]:
            raise damaged(file, f"is missing or was altered after {self.path} was read", judged_folder)
        judged = JudgedPairs.read(file, manifest["judge"])
        if self.tiers is not None:
            judged = among(judged, corpus.ids("train", list(self.tiers)))
        index = HardNegatives.from_judged(
            judged,
            train_ids=corpus.ids("train"),
            pair_filter=self.filter,
            similarities=similarities_for(self.filter, judged, shards),
            provenance={
                **manifest["origin"],
                **({"model": self.model} if self.model else {}),
                "source": str(self.path),
                "source_digest": manifest["inputs"]["digest"],
                "judged_file": f"judged/{judged_folder.name}/{FILE_NAME}",
                "judged_pairs": manifest["pairs"],
                "unscored_pairs": manifest["unscored_pairs"],
                "outside_pairs": manifest["outside_pairs"],
            },
        )
        index.save(folder)
        upstream = {"judged": upstream_of(judged_folder, manifest["digest"]), **data_upstream(corpus, shards)}
        record = made(("numpy",), upstream, [folder / INDEX_FILE, folder / META_NAME])
        return {"statistics": index.statistics(), MADE: record}


def among(judged: JudgedPairs, ids: Ids) -> JudgedPairs:
    """The pairs both of whose functions are among `ids`."""
    kept = np.flatnonzero(np.isin(judged.anchor_ids, ids) & np.isin(judged.neighbor_ids, ids))
    return JudgedPairs(
        judged.anchor_ids[kept],
        judged.neighbor_ids[kept],
        judged.cosim[kept],
        judged.score_c[kept],
        judged.judge,
        [judged.reasons[place] for place in kept.tolist()],
    )
