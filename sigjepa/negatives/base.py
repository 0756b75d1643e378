"""What a source of hard negatives does, whether it mines them or reads a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.sampling import NegativeSampler

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus
    from sigjepa.teacher.shards import TeacherShards


class HardNegativesSource(Protocol):
    """Mines or imports hard negatives."""

    @property
    def sampler(self) -> NegativeSampler:
        """Which of its negatives an anchor brings to a step."""
        ...

    def prepare(self, corpus: "Corpus", shards: "TeacherShards", data_dir: Path) -> HardNegatives:
        """Return the hard negatives of a corpus, built below `data_dir` or found there; raises SigjepaError."""
