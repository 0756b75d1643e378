"""Hard negatives from a judged file that a person brings, instead of mining and judging: `negatives=pairs_file`."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sigjepa.negatives.exchange.field_map import FieldMap
from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.imports import (
    Ids,
    Outside,
    Tolerance,
    import_inputs,
    imported_metadata,
    with_source,
)
from sigjepa.negatives.exchange.metadata import check_metadata, read_metadata
from sigjepa.negatives.exchange.pairs_reader import PairsReader
from sigjepa.negatives.exchange.validate import check_cosines
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.index.sampling import NegativeSampler
from sigjepa.negatives.index.stage import HardNegativesStage
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.negatives.judging.stage import FILE_NAME
from sigjepa.runtime.fields import Tiers, component
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.stage import Get, Part, Stage

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus
    from sigjepa.teacher.shards import TeacherShards

log = logging.getLogger(__name__)


@component("negatives")
class ImportedPairs:
    """Judged pairs from a JSONL file, one pair a line, filtered as mined ones are.

    Another filter reads nothing again, a changed file is read. A pair whose score is null or missing was judged by
    nobody: it is left out and counted, neither negative nor masked.

    Args:
        path: the file. What an export left beside it, `<name>.meta.json`, says which corpus, teacher, ids and fields.
        filter: which of the pairs become negatives.
        sampler: which of its negatives an anchor brings to a step.
        tiers: keep pairs within these tiers of the corpus; None is all.
        fields: what the file calls its fields, by our name, dots reaching into nested objects; None is as the metadata
            says, or our names.
        ids: 'position' of functions in this corpus, or content 'key'; None is as the metadata says, or position.
        outside_train: 'refuse' a file with a function outside of the train split, or 'skip' its pairs and count them.
        check_cosim: compare cosines with those of the shards; false takes those of another teacher.
        cosim_tolerance: largest difference of two cosines that are the same.
        judge: who scored, where the file does not say.
        model: whose cosines they are; None is the shards' teacher, or what the metadata says when they are not checked.

    Raises SigjepaError for arguments out of range.
    """

    path: str | Path
    filter: PairFilter = field(default_factory=lambda: PairFilter(min_cosim=0.80))
    sampler: NegativeSampler = field(default_factory=NegativeSampler)
    tiers: Tiers | None = None
    fields: Mapping[str, str] | None = None
    ids: Ids | None = None
    outside_train: Outside = "refuse"
    check_cosim: bool = True
    cosim_tolerance: Tolerance = 0.02
    judge: str | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        FieldMap(self.fields)  # checks its own

    def prepare(self, corpus: "Corpus", shards: "TeacherShards", get: Get, data_dir: Path) -> HardNegatives:
        """Return the hard negatives of the file for a corpus.

        Raises SigjepaError naming file, line and way out for whatever is wrong with the file, and when it was judged
        for another corpus or has the cosines of another teacher.
        """
        judged = get(ImportedPairsStage(self, corpus, shards))
        return with_source(get(HardNegativesStage(judged, corpus, shards, self.filter, self.tiers)), Path(self.path))


@dataclass(frozen=True)
class ImportedPairsStage(Stage[JudgedPairs]):
    """Read and check a judged file, and keep its pairs as judged pairs of the corpus."""

    settings: ImportedPairs
    corpus: "Corpus"
    shards: "TeacherShards"

    kind: ClassVar[str] = "judged"
    packages: ClassVar[Sequence[str]] = ("numpy",)
    label: ClassVar[str] = "imported"

    def inputs(self) -> dict[str, Any]:
        """Return what the file holds and how it is read; raises SigjepaError for a file that is not there."""
        settings = self.settings
        arguments = {
            "fields": dict(FieldMap(settings.fields).given),
            "cosim_tolerance": float(settings.cosim_tolerance),
            **{name: getattr(settings, name) for name in ("ids", "outside_train", "check_cosim", "judge", "model")},
        }
        return import_inputs(Path(settings.path), arguments, self.corpus, self.shards)

    def upstream(self) -> Mapping[str, Reference]:
        """Return the corpus and the shards."""
        return {"corpus": self.corpus.reference, "shards": self.shards.reference}

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write the scored pairs of the train split; raises SigjepaError for what is wrong with the file."""
        settings, path = self.settings, Path(self.settings.path)
        recorded = read_metadata(path)
        ids = FunctionIds.of(self.corpus, settings.ids or recorded.get("ids") or "position")
        here = imported_metadata(self.corpus, self.shards, recorded, settings.model, own_cosines=settings.check_cosim)
        check_metadata(
            path,
            recorded,
            self.corpus,
            self.shards,
            by_position=ids.kind == "position",
            check_cosim=settings.check_cosim,
        )
        judged, counts = PairsReader(
            FieldMap(settings.fields if settings.fields is not None else recorded.get("fields")),
            ids,
            self.corpus.ids("train"),
            skip_outside=settings.outside_train == "skip",
            judge=settings.judge or recorded.get("judge") or "unknown",
        ).read(path)
        if settings.check_cosim:
            check_cosines(path, judged, self.shards, settings.cosim_tolerance)
        log.info(
            "%s: %d scored pairs; left out %d that nobody scored and %d outside of the train split",
            *(path, len(judged), *counts.values()),
        )
        judged.write(out / FILE_NAME)
        return {"pairs": len(judged), "metadata": {"judge": judged.judge, **here, "source": str(path), **counts}}

    def open(self, manifest: Manifest) -> JudgedPairs:
        """Return the judged pairs."""
        return JudgedPairs.read(manifest.folder / FILE_NAME, manifest.facts["metadata"]["judge"], manifest)
