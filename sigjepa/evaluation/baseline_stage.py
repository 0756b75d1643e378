"""A baseline as an artifact: measured once for a corpus and a teacher, and opened by every job after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from sigjepa.corpus.corpus import Corpus
from sigjepa.data.pool_sample import HELD_OUT, PoolSample
from sigjepa.data.training_data import TrainingData
from sigjepa.evaluation.baseline import Baseline
from sigjepa.evaluation.baselines import BASELINES
from sigjepa.evaluation.pools import read_pools
from sigjepa.evaluation.rank_files import read_ranks, write_ranks
from sigjepa.lexicon.lexicon import Lexicon
from sigjepa.lexicon.stage import LexiconStage
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.progress import progress
from sigjepa.store.stage import Get, Part, Resource, Stage
from sigjepa.teacher.shards import TeacherShards

FORMAT = 3  # raise it when the same inputs give other ranks
RANKS_FILE = "ranks.npz"


@dataclass(frozen=True)
class BaselineStage(Stage[Baseline]):
    """Rank the bodies of the val and test pools by the baseline `name` of `BASELINES`.

    lexicon: where that needs it. pool: the pools.
    """

    name: str
    corpus: Corpus
    shards: TeacherShards
    lexicon: Lexicon | None = None
    pool: PoolSample = field(default_factory=PoolSample)

    kind: ClassVar[str] = "baselines"
    uses: ClassVar[Resource] = "cores"
    packages: ClassVar[Sequence[str]] = ("torch", "numpy", "scipy", "bm25s")

    @property
    def label(self) -> str:
        """The name of the baseline."""
        return self.name

    def inputs(self) -> dict[str, Any]:
        """Return the name and what identifies the corpus and the teacher's means: token states decide nothing."""
        means = self.shards.pooled_digest
        inputs = {"baseline": self.name, "corpus": self.corpus.hash, "pooled": means, "format": FORMAT}
        inputs |= self.pool.sample_texts(self.corpus)
        return inputs | ({} if self.lexicon is None else {"lexicon": self.lexicon.reference.content})

    def upstream(self) -> Mapping[str, Reference]:
        """Return the corpus, the shards and, where it is read, the lexicon."""
        references = {"corpus": self.corpus.reference, "shards": self.shards.reference}
        return references | ({} if self.lexicon is None else {"lexicon": self.lexicon.reference})

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write the ranks of every query, and return what does not follow from them."""
        baseline = BASELINES[self.name].measure(read_pools(self.corpus, self.shards, self.lexicon, self.pool))
        write_ranks(out / RANKS_FILE, baseline.ranks)
        return {"figures": baseline.figures}

    def open(self, manifest: Manifest) -> Baseline:
        """Return the baseline; raises SigjepaError when its ranks can't be read."""
        ranks = {split: read_ranks(manifest.folder / RANKS_FILE, split) for split in HELD_OUT}
        return Baseline(manifest.facts["figures"], ranks)


def baseline_stages(names: Sequence[str], data: TrainingData, get: Get | None = None) -> list[BaselineStage]:
    """Return the stages of baselines on the pools of a run's data; names: of `BASELINES`.

    get: gives the lexicon where one of them needs it; None gives that of `data`.
    """
    lexicon = None
    if any(BASELINES[name].needs_lexicon for name in names):
        lexicon = data.lexicon if get is None else get(LexiconStage(data.corpus))
    return [
        BaselineStage(name, data.corpus, data.shards, lexicon if BASELINES[name].needs_lexicon else None, data.pool)
        for name in names
    ]


def measure_baselines(names: Sequence[str], data: TrainingData) -> dict[str, Baseline]:
    """Return the baselines on the pools of `data` by name, measured where no earlier job has."""
    stages = progress(baseline_stages(names, data), "Measuring baselines", unit="baseline")
    return {stage.name: data.store.get(stage) for stage in stages}
