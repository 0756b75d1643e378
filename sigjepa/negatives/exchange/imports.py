"""Hard negatives from a file that a person brings: what its kinds share, and its reading as a stage."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.metadata import check_metadata, metadata_path, read_metadata
from sigjepa.negatives.exchange.train_pairs import TrainPairs
from sigjepa.negatives.exchange.validate import check_cosines, check_nearness, pair_cosines
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.index.sampling import NegativeSampler
from sigjepa.negatives.index.stage import HardNegativesStage, warn_if_empty
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.negatives.judging.stage import FILE_NAME
from sigjepa.negatives.mining.stage import pair_metadata
from sigjepa.runtime.fields import Tiers, component
from sigjepa.store.files import file_digest
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.stage import Get, Part, Stage

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus
    from sigjepa.teacher.shards import TeacherShards

log = logging.getLogger(__name__)

FORMAT = 3  # raise it when the same file gives other pairs or another artifact
ASSUMED_SCORE = 1
"""What a pair without a score counts as: the file holds it as a negative, and nothing says it is surely unrelated."""


@component("negatives")
class ImportedFile(ABC):
    """A file of pairs, with the meta file `<name>.meta.json` beside it when there is one.

    Another filter reads nothing again, a changed file is read.

    Args:
        path: the file.
        filter: which of the pairs become negatives.
        sampler: which of its negatives an anchor brings to a step.
        tiers: keep pairs within these tiers of the corpus; None is all.
        ids: 'position' of functions in this corpus, or content 'key'; None is as the meta file says, or position.
        outside_train: 'refuse' a file with a function outside of the train split, or 'skip' its pairs and count them.
        check_cosim: compare cosines with those of the shards, or see without any that the pairs are near.
        cosim_tolerance: largest difference of two cosines that are the same.
        model: whose cosines they are; None is the shards' teacher, or as the meta file says when they are not checked.

    Raises SigjepaError for arguments out of range.
    """

    kind: ClassVar[str]

    path: str | Path
    filter: PairFilter = field(default_factory=PairFilter)
    sampler: NegativeSampler = field(default_factory=NegativeSampler)
    tiers: Tiers | None = None
    ids: Literal["position", "key"] | None = None
    outside_train: Literal["refuse", "skip"] = "refuse"
    check_cosim: bool = True
    cosim_tolerance: Annotated[float, Field(ge=0, le=2)] = 0.02
    model: str | None = None

    def prepare(self, corpus: "Corpus", shards: "TeacherShards", get: Get, data_dir: Path) -> HardNegatives:
        """Return the hard negatives of the file for a corpus.

        Raises SigjepaError naming file, line and way out for whatever is wrong with the file, when it was made for
        another corpus or teacher, and when scores are needed that it does not have.
        """
        judged = get(ImportStage(self, corpus, shards))
        if judged.manifest.facts["metadata"].get("scores_known") is False and self.filter.max_score_c < ASSUMED_SCORE:
            raise SigjepaError(
                f"{self.path} has no scores, so negatives.filter.max_score_c={self.filter.max_score_c} would leave "
                "nothing: take negatives.filter.max_score_c=1, or import the judged pairs with negatives=pairs_file."
            )
        index = get(HardNegativesStage(judged, corpus, shards, self.filter, self.tiers))
        warn_if_empty(index)
        return replace(index, metadata={**index.metadata, "source": str(self.path)})  # where it lies today

    def arguments(self) -> dict[str, Any]:
        """Return what reading the file depends on."""
        names = ("ids", "outside_train", "check_cosim", "cosim_tolerance", "model")
        return {name: getattr(self, name) for name in names}

    @abstractmethod
    def read(self, pairs: TrainPairs, recorded: Mapping[str, Any]) -> tuple[JudgedPairs, dict[str, Any]]:
        """Return the scored pairs, and metadata; recorded: what the meta file holds."""


@dataclass(frozen=True)
class ImportStage(Stage[JudgedPairs]):
    """Read and check a file, and keep its pairs as judged pairs of the corpus."""

    settings: ImportedFile
    corpus: "Corpus"
    shards: "TeacherShards"

    packages: ClassVar[Sequence[str]] = ("numpy",)
    label: ClassVar[str] = "imported"

    @property
    def kind(self) -> str:  # type: ignore[override]
        """The kind of the file: an index does not hold all that was judged."""
        return self.settings.kind

    def inputs(self) -> dict[str, Any]:
        """Return what file and meta file hold and how they are read; raises SigjepaError for a file not there."""
        path = Path(self.settings.path)
        if not path.is_file():
            problem = "is no file" if path.exists() else "does not exist"
            raise SigjepaError(f"{path} {problem}; give negatives.path=<file>.")
        beside = metadata_path(path)
        return {
            "format": FORMAT,
            "digest": file_digest(path),
            "metadata": file_digest(beside) if beside.exists() else None,
            "corpus": self.corpus.hash,
            "shards": self.shards.folder.name,
            **self.settings.arguments(),
        }

    def upstream(self) -> Mapping[str, Reference]:
        """Return the corpus and the shards."""
        return {"corpus": self.corpus.reference, "shards": self.shards.reference}

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write the scored pairs of the train split; raises SigjepaError for what is wrong with the file."""
        settings, path = self.settings, Path(self.settings.path)
        recorded = read_metadata(path)
        ids = FunctionIds.of(self.corpus, settings.ids or recorded.get("ids") or "position")
        check_metadata(path, recorded, self.corpus, self.shards, ids, check_cosim=settings.check_cosim)
        pairs = TrainPairs(ids, self.corpus.ids("train"), skip_outside=settings.outside_train == "skip")
        judged, metadata = settings.read(pairs, recorded)
        metadata = {"source": str(path), "outside_pairs": pairs.outside, **metadata}
        if not len(judged):
            check_not_empty(path, metadata)
        judged, facts = self._with_cosines(path, judged, recorded)
        if settings.model:
            facts["model"] = settings.model
        log.info("%s: %d scored pairs, %d left out outside of the train split", path, len(judged), pairs.outside)
        judged.write(out / FILE_NAME)
        return {"pairs": len(judged), "metadata": {"judge": judged.judge, **facts, **metadata}}

    def open(self, manifest: Manifest) -> JudgedPairs:
        """Return the judged pairs."""
        return JudgedPairs.read(manifest.folder / FILE_NAME, manifest.facts["metadata"]["judge"], manifest)

    def _with_cosines(
        self, path: Path, judged: JudgedPairs, recorded: Mapping[str, Any]
    ) -> tuple[JudgedPairs, dict[str, Any]]:
        """Return the pairs with their cosines, checked or computed, and whose these are."""
        given, facts = ~np.isnan(judged.cosim), pair_metadata(self.corpus, self.shards)
        if self.settings.check_cosim:
            check_cosines(path, judged.take(np.flatnonzero(given)), self.shards, self.settings.cosim_tolerance)
        elif given.any():
            facts |= {name: recorded.get(name) for name in ("model", "teacher")}
        if given.all():
            return judged, facts
        cosim = np.where(given, judged.cosim, pair_cosines(self.shards, judged.anchor_ids, judged.neighbor_ids))
        if not given.any():
            facts["model"] = None  # cosines are the shards', but whose cosines chose the pairs nobody says
            if self.settings.check_cosim:
                check_nearness(path, cosim, self.shards, self.corpus.ids("train"))
        return replace(judged, cosim=cosim).ordered(), facts


def check_not_empty(path: Path, metadata: Mapping[str, Any]) -> None:
    """Raise SigjepaError saying why a file with pairs has none that can be used; an empty file passes."""
    if unscored := metadata.get("unscored_pairs"):
        raise SigjepaError(
            f"{path}: none of its {unscored:,} pairs in the train split has a score. Judge them, or mine and judge "
            "pairs of this corpus with negatives=knn."
        )
    if outside := metadata["outside_pairs"]:
        raise SigjepaError(
            f"{path}: none of its {outside:,} pairs lies in the train split, so it was made for another corpus. Use "
            "the corpus that it was made for, or another file."
        )
