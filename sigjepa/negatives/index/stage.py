"""Filtering as a stage: the judged pairs that become hard negatives, looked up by anchor."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from sigjepa.negatives.index.hard_negatives import FILE_NAME, HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter, similarities_for
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.stage import Part, Stage

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus
    from sigjepa.teacher.shards import TeacherShards

log = logging.getLogger(__name__)

FORMAT = 4  # raise it when the same inputs give another index or another file


@dataclass(frozen=True)
class HardNegativesStage(Stage[HardNegatives]):
    """Filter judged pairs of the train split.

    judged: opened from the store. filter: which of them become negatives. tiers: keep pairs within these tiers of the
    corpus; None is all.
    """

    judged: JudgedPairs
    corpus: "Corpus"
    shards: "TeacherShards"
    filter: PairFilter
    tiers: Sequence[str] | None = None

    kind: ClassVar[str] = "negatives"
    packages: ClassVar[Sequence[str]] = ("numpy",)

    @property
    def _judged(self) -> Manifest:
        assert self.judged.manifest is not None, "judged pairs come from the store"
        return self.judged.manifest

    @property
    def label(self) -> str:
        """The name of the judged pairs."""
        return self._judged.folder.name.rpartition("-")[0]

    def inputs(self) -> dict[str, Any]:
        """Return all that the index depends on."""
        tiers = None if self.tiers is None else sorted(set(map(str, self.tiers)))
        settings = {"filter": self.filter.settings(), "tiers": tiers}
        return {"format": FORMAT, "judged": dict(self._judged.inputs), "shards": self.shards.folder.name, **settings}

    def upstream(self) -> Mapping[str, Reference]:
        """Return the judged pairs, and corpus and shards, which the filter reads."""
        references = {"corpus": self.corpus.reference, "shards": self.shards.reference}
        return {"judged": self._judged.reference, **references}

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write the pairs that pass; the facts are metadata and statistics."""
        judged = self.judged
        if self.tiers is not None:
            judged = judged.among(self.corpus.ids("train", list(self.tiers)))
        metadata = dict(self._judged.facts["metadata"])
        limits = {**self.filter.settings(), "split": "train"}
        if earlier := metadata.get("filter"):  # of an index that was filtered before: both filters were applied
            limits |= {
                "min_cosim": max(self.filter.min_cosim, earlier.get("min_cosim", -1.0)),
                "max_score_c": min(self.filter.max_score_c, earlier.get("max_score_c", 1)),
            }
            metadata["filtered_before"] = [*metadata.get("filtered_before", []), earlier]
        source = f"{self._judged.kind}/{self._judged.folder.name}"
        index = HardNegatives.from_judged(
            judged,
            train_ids=self.corpus.ids("train"),
            pair_filter=self.filter,
            similarities=similarities_for(self.filter, judged, self.shards),
            provenance={"source": source, **metadata, "filter": limits, "judged_pairs": len(judged)},
        )
        index.write(out / FILE_NAME)
        return {"metadata": dict(index.metadata), "statistics": index.statistics()}

    def open(self, manifest: Manifest) -> HardNegatives:
        """Return the index."""
        return HardNegatives.read(manifest.folder / FILE_NAME, manifest.facts["metadata"], manifest)


def warn_if_empty(index: HardNegatives) -> None:
    """Say why there are no hard negatives, where there are none."""
    if len(index):
        return
    metadata = index.metadata
    if metadata.get("judged_pairs"):
        reason = f"none of the {metadata['judged_pairs']} judged pairs passes the filter {metadata['filter']}"
    else:
        highest = metadata.get("highest_cosim")
        reason = f"no two bodies reach min_cosim={metadata['filter']['min_cosim']:.2f}" + (
            " (fewer than two functions)" if highest is None else f", the highest cosine is {highest:.4f}"
        )
    log.warning(
        "There are no hard negatives: %s. Lower negatives.filter.min_cosim, raise negatives.filter.max_score_c, widen "
        "another bound, take other tiers, or train with negatives=none.",
        reason,
    )
