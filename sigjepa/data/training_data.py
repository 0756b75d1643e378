"""The data that a run is trained on: the corpus, the teacher's states of it, its hard negatives and its lexicon."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sigjepa.corpus.corpus import Corpus
from sigjepa.data.pool_sample import HELD_OUT, PoolSample
from sigjepa.data.targets import Targets, owners_of
from sigjepa.data.terms import TermTensors
from sigjepa.errors import SigjepaError
from sigjepa.lexicon.features import build_features
from sigjepa.lexicon.lexicon import Lexicon
from sigjepa.lexicon.stage import LexiconStage
from sigjepa.lexicon.statistics import TrainStatistics
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.sources import HardNegativesSource
from sigjepa.store.manifest import Reference
from sigjepa.store.progress import stage
from sigjepa.store.store import Store
from sigjepa.teacher.shards import TeacherShards


@dataclass(frozen=True)
class TrainingData:
    """Opened artifacts.

    hard_negatives: None without mining or import. source: where hard negatives come from, to mine them anew in
    training. store: where the artifacts lie, and what is built from them goes. opened_lexicon: where a component of the
    run needs it; the run is then trained on it, too. max_train_functions: train on a sample of so many, drawn by
    `sample_seed`; None on all. pool: which functions of val and test are ranked. Raises SigjepaError for artifacts
    of another corpus, and for a sample larger than the train split.
    """

    corpus: Corpus
    shards: TeacherShards
    store: Store
    hard_negatives: HardNegatives | None = None
    source: HardNegativesSource | None = None
    opened_lexicon: Lexicon | None = None
    max_train_functions: int | None = None
    sample_seed: int = 0
    pool: PoolSample = field(default_factory=PoolSample)

    def __post_init__(self) -> None:
        self.corpus.check_same_functions(self.shards)
        if self.opened_lexicon is not None:
            self.corpus.check_same_functions(self.opened_lexicon)

    @cached_property
    def train_ids(self) -> npt.NDArray[np.int64]:
        """The ids of the functions that a student is trained on, ascending: the train split, or a sample of it."""
        ids = self.corpus.ids("train")
        if self.max_train_functions is None:
            return ids
        if not 1 <= self.max_train_functions <= len(ids):
            raise SigjepaError(
                f"data.max_train_functions={self.max_train_functions} must be from 1 to {len(ids)}, the size of the "
                "train split, or null for all of it."
            )
        return np.sort(np.random.default_rng(self.sample_seed).permutation(ids)[: self.max_train_functions])

    @cached_property
    def targets(self) -> Targets:
        """The targets of students: `[n, D]` body embeddings by function id, byte-identical bodies equal."""
        return Targets(self.shards, owners_of(self.corpus.values("body")))

    @cached_property
    def lexicon(self) -> Lexicon:
        """The lexicon of the corpus, built where it is missing, when it is first asked for."""
        return self.opened_lexicon or self.store.get(LexiconStage(self.corpus))

    @cached_property
    def train_statistics(self) -> TrainStatistics:
        """The statistics of train that features of terms are made with."""
        repositories, train = self.corpus.column("repository"), self.train_ids
        with stage("Counting terms of train"):
            return TrainStatistics.of(self.lexicon.terms.take(train), [repositories[i] for i in train])

    @cached_property
    def term_tensors(self) -> TermTensors:
        """The terms of all functions with the statistics of train, for students that read the lexicon."""
        return TermTensors(build_features(self.lexicon.terms, self.corpus.column("repository"), self.train_statistics))

    def references(self) -> dict[str, Reference]:
        """Return the artifacts as a run's provenance records what it was trained on."""
        references = {"corpus": self.corpus.reference, "shards": self.shards.reference}
        if self.hard_negatives is not None and self.hard_negatives.reference is not None:
            references["negatives"] = self.hard_negatives.reference
        if self.opened_lexicon is not None:
            references["lexicon"] = self.opened_lexicon.reference
        return references

    def hashes(self) -> dict[str, str | None]:
        """Return the content hash of the corpus, what pools were sampled, and the keyed folder names of all artifacts,
        for provenance.
        """
        names = {name: reference.folder for name, reference in self.references().items()}
        pools = {f"{split}_pool": text for split, text in self.pool.sample_texts(self.corpus).items()}
        return {"corpus_hash": self.corpus.hash, **pools, "negatives": None, **names}

    def figures(self) -> dict[str, float | int]:
        """Return the sizes of the splits, how many train functions have hard negatives, and how many each."""
        figures: dict[str, float | int] = {"train_functions": len(self.train_ids)}
        figures |= {f"{split}_functions": len(self.pool.ids(self.corpus, split)) for split in HELD_OUT}
        statistics = self.hard_negatives.statistics() if self.hard_negatives is not None else {}
        return figures | {
            "hard_negative_coverage": statistics.get("coverage", 0.0),
            "hard_negatives_per_anchor": statistics.get("average_per_anchor", 0.0),
            "hard_negative_pairs_score0": statistics.get("score_c_0", 0),
            "hard_negative_pairs_score1": statistics.get("score_c_1", 0),
        }
