"""Sources of hard negatives: the protocol of a source, and the one that mines, judges and filters."""

from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from pydantic import SkipValidation

from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.index.sampling import NegativeSampler
from sigjepa.negatives.index.stage import HardNegativesStage, warn_if_empty
from sigjepa.negatives.judging.judges.judge import Judge
from sigjepa.negatives.judging.stage import JudgedPairsStage
from sigjepa.negatives.mining.pairs import Pairs
from sigjepa.negatives.mining.search import Search
from sigjepa.negatives.mining.stage import MinedPairsStage
from sigjepa.runtime.fields import Count, Tiers, component
from sigjepa.store.stage import Get

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus
    from sigjepa.teacher.shards import TeacherShards


class HardNegativesSource(Protocol):
    """Mines or imports hard negatives."""

    @property
    def sampler(self) -> NegativeSampler:
        """The sampler of the negatives that an anchor brings to a step."""
        ...

    def prepare(self, corpus: "Corpus", shards: "TeacherShards", get: Get, data_dir: Path) -> HardNegatives:
        """Return the hard negatives of a corpus, each artifact on the way given by `get`; raises SigjepaError.

        data_dir: where what outlives artifacts is kept, such as a judge's responses.
        """


@component("negatives")
class MinedNegatives:
    """Mine pairs of near functions, have them judged, and filter them.

    Only functions of the train split are mined. Another judge mines nothing again, another filter judges nothing again
    unless its `min_cosim` is another.

    Args:
        judge: scores the mined pairs.
        filter: which of the judged pairs become negatives; nothing below its `min_cosim` is mined.
        sampler: which of its negatives an anchor brings to a step.
        top_k: most neighbors of an anchor that are judged.
        tiers: tiers of the corpus to mine, for instance `[phase0]` to reproduce the published coverage; None is all.
        search: how neighbors are found: exactly, or in a large corpus approximately, with measured recall.

    Raises SigjepaError for arguments out of range.
    """

    gives: ClassVar[Sequence[str]] = ("mined_negatives",)

    judge: SkipValidation[Judge]
    filter: PairFilter = field(default_factory=lambda: PairFilter(min_cosim=0.80))
    sampler: NegativeSampler = field(default_factory=NegativeSampler)
    top_k: Count = 8
    tiers: Tiers | None = None
    search: Search = field(default_factory=Search)

    def prepare(self, corpus: "Corpus", shards: "TeacherShards", get: Get, data_dir: Path) -> HardNegatives:
        """Return the hard negatives; when no pair passes they are empty, and a warning says why."""
        judged = get(JudgedPairsStage(self.mined(corpus, shards, get), self.judge, corpus, Path(data_dir)))
        negatives: HardNegatives = get(HardNegativesStage(judged, corpus, shards, self.filter))
        warn_if_empty(negatives)
        return negatives

    def mined(self, corpus: "Corpus", shards: "TeacherShards", get: Get) -> Pairs:
        """Return the pairs that the judge is asked about."""
        pairs: Pairs = get(MinedPairsStage(corpus, shards, self.top_k, self.filter.min_cosim, self.tiers, self.search))
        return pairs
