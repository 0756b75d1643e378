"""The chain corpus → lexicon, teacher shards → hard negatives → baselines, and what components need of it."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig

from sigjepa.corpus.corpus import Corpus
from sigjepa.corpus.folds import Fold, FoldStage, chosen_fold
from sigjepa.corpus.stage import CorpusStage
from sigjepa.data.pool_sample import PoolSample, check_pools
from sigjepa.data.training_data import TrainingData
from sigjepa.errors import DamagedError, SigjepaError
from sigjepa.evaluation.baseline import Baseline
from sigjepa.evaluation.baseline_stage import baseline_stages, measure_baselines
from sigjepa.evaluation.baselines import baseline_names
from sigjepa.lexicon.stage import LexiconStage
from sigjepa.negatives.sources import HardNegativesSource
from sigjepa.runtime.instantiate import check_counts, component_class, instantiate
from sigjepa.store.progress import stage as progress_stage
from sigjepa.store.stage import Stage
from sigjepa.store.store import Store
from sigjepa.teacher.encoder import FrozenTeacher
from sigjepa.teacher.stage import ShardStage

log = logging.getLogger(__name__)

Artifact = TypeVar("Artifact")


class NotBuiltError(Exception):
    """An artifact is missing, and nothing is to be built."""


SETTINGS = {
    "body_states": "data.body_states=true",
    "token_predictions": "model=token_predictor_small",
    "other_bodies": "data.batch_size=2 or more, or negatives=knn",
    "hard_negatives": "negatives=knn",
    "mined_negatives": "negatives=knn",
}
"""What components may need of the data and the student, and a setting that gives it."""


@dataclass(frozen=True)
class Pipeline:
    """The chain that gives the data of a run, from source code to hard negatives.

    corpus: builds the corpus. teacher: embeds it; body_states: whether token states of bodies are kept. negatives:
    mines or imports hard negatives; None is without. store: where all of it is kept. baselines: names of those that
    stand beside a student. lexicon: whether a component of the run needs the lexicon; baselines have it built by need.
    fold: the part of the corpus that is test; None is by the corpus' own splits. pool: which functions of val and test
    are ranked.
    """

    corpus: CorpusStage
    teacher: FrozenTeacher
    negatives: HardNegativesSource | None
    body_states: bool
    store: Store
    baselines: Sequence[str] = ()
    lexicon: bool = False
    fold: Fold | None = None
    pool: PoolSample = field(default_factory=PoolSample)

    @property
    def kinds(self) -> list[str]:
        """The artifacts of the chain, in the order in which they are built."""
        optional = {"lexicon": self.lexicon, "hard negatives": self.negatives is not None}
        return ["corpus", "teacher shards", *(kind for kind, wanted in optional.items() if wanted)]

    def get(self) -> TrainingData:
        """Return the data, built where it is missing; raises SigjepaError when val or test is too small to rank."""
        return self.collect(self.store.get)

    def repair(self) -> tuple[TrainingData, list[str]]:
        """Return the data, and what of it was damaged: it was set aside and built again."""
        problems: list[str] = []

        def repaired(stage: Stage[Artifact]) -> Artifact:
            artifact, found = self.store.repair(stage)
            problems.extend(found)
            return artifact

        data = self.collect(repaired)
        for stage in baseline_stages(self.baselines, data, repaired):
            repaired(stage)
        return data, problems

    def measure_baselines(self, data: TrainingData) -> dict[str, Baseline]:
        """Return the baselines on the pools of `data` by name, measured where no earlier job has."""
        return measure_baselines(self.baselines, data)

    def missing(self) -> list[str]:
        """Return the first artifact that is missing and all that depend on it; nothing is built."""

        def opened(stage: Stage[Artifact]) -> Artifact:
            if self.store.missing(stage):
                raise NotBuiltError(stage.kind)
            return self.store.get(stage)

        built: list[Any] = []
        try:
            for artifact in self._walk(opened):
                built.append(artifact)
        except NotBuiltError:
            missing = [*self.kinds[len(built) :], *(["baselines"] if self.baselines else [])]
            # a fold whose corpus is there has its embedding, too, if another fold had
            of_fold = not built and not self.store.missing(self.corpus)
            if of_fold and not self.store.missing(self.shard_stage(self.store.get(self.corpus))):
                missing.remove("teacher shards")
            return missing
        try:
            for stage in baseline_stages(
                self.baselines, TrainingData(built[0], built[1], self.store, pool=self.pool), opened
            ):
                opened(stage)
        except NotBuiltError:
            return ["baselines"]
        return []

    def shard_stage(self, corpus: Corpus) -> ShardStage:
        """Return the stage of the shards: with body states where they are needed, or already at hand."""
        needed = ShardStage(corpus, self.teacher, self.body_states)
        richer = ShardStage(corpus, self.teacher, body_states=True)
        return richer if self._is_there(richer) and not self._is_there(needed) else needed

    def _is_there(self, stage: Stage[Any]) -> bool:
        """Return whether an artifact is finished, whole or damaged: opening it says which, and repair mends it."""
        try:
            return not self.store.missing(stage)
        except DamagedError:
            return True

    def collect(self, get: Callable[[Stage[Any]], Any]) -> TrainingData:
        """Return the data, each artifact of the chain as `get` gives it for its stage."""
        artifacts: dict[str, Any] = {}
        started = time.perf_counter()
        for kind, artifact in zip(self.kinds, self._walk(get), strict=True):
            log.info("%s ready in %.1f s", kind, time.perf_counter() - started)
            artifacts[kind] = artifact
            started = time.perf_counter()
        hard_negatives, lexicon = artifacts.get("hard negatives"), artifacts.get("lexicon")
        chain = (artifacts["corpus"], artifacts["teacher shards"], self.store)
        return TrainingData(*chain, hard_negatives, self.negatives, lexicon, pool=self.pool)

    def get_corpus(self) -> Corpus:
        """Return the corpus with the splits that a run uses, and build it where it is missing."""
        return self._with_splits(self.store.get(self.corpus), self.store.get)

    def _with_splits(self, corpus: Corpus, get: Callable[[Stage[Any]], Any]) -> Corpus:
        """Return the corpus with its own splits, or with those by which the chosen fold is test."""
        of_run: Corpus = corpus if self.fold is None else get(FoldStage(corpus, self.fold))
        return of_run

    def _walk(self, get: Callable[[Stage[Any]], Any]) -> Iterator[Any]:
        with progress_stage("corpus"):
            whole: Corpus = get(self.corpus)
            corpus = self._with_splits(whole, get)
        check_pools(corpus, self.pool)
        yield corpus
        with progress_stage("teacher shards"):
            shards = get(self.shard_stage(whole))  # whose functions are those of every fold
        yield shards
        if self.lexicon:
            with progress_stage("lexicon"):
                yield get(LexiconStage(corpus))
        if self.negatives is not None:
            with progress_stage("hard negatives"):
                yield self.negatives.prepare(corpus, shards, get, self.store.data_dir)


def pipeline_of(config: DictConfig) -> Pipeline:
    """Return the pipeline of a composed config; raises SigjepaError for what its components refuse."""
    allowed = list(config.allowed_targets)
    return Pipeline(
        instantiate(config.corpus, allowed),
        instantiate(config.teacher, allowed),
        instantiate(config.negatives, allowed),
        bool(config.data.body_states),
        Store(Path(config.paths.data_dir), instantiate(config.executor, allowed), config.verify),
        baseline_names(config.baseline),
        any("lexicon" in needs for needs in component_needs(config).values()),
        chosen_fold(config.folds, config.fold),
        PoolSample(config.data.pool_size, config.data.pool_seed),
    )


def prepare_data(config: DictConfig) -> TrainingData:
    """Return the data of what `sigjepa.compose` composed, built where it is missing, as `sigjepa prepare` does."""
    return pipeline_of(config).get()


def check(config: DictConfig) -> None:
    """Raise SigjepaError naming every setting that the components of a run need and do not get.

    A loss, a student or a callback says what it needs as `needs`, a student what it gives as `gives`: names of
    `SETTINGS`. Nothing is built.
    """
    baseline_names(config.baseline)
    allowed = list(config.allowed_targets)
    given = {"lexicon", *getattr(component_class(config.model, allowed, ["teacher_dim"]), "gives", ())}
    if config.data.body_states:
        given.add("body_states")
    if config.negatives is not None:
        given |= {"hard_negatives", *getattr(component_class(config.negatives, allowed), "gives", ())}
    check_counts({"data.batch_size": config.data.batch_size}, ["data.batch_size"])
    if config.data.batch_size > 1 or config.negatives is not None or config.trainer.get("devices", 1) != 1:
        given.add("other_bodies")
    problems = [
        f"{component} needs {need.replace('_', ' ')}: {SETTINGS.get(need, need)}"
        for component, wanted in component_needs(config).items()
        for need in wanted
        if need not in given
    ]
    if problems:
        raise SigjepaError("The settings do not fit together. " + "; ".join(problems) + ".")


def component_needs(config: DictConfig) -> dict[str, Sequence[str]]:
    """Return what the components of a run say that they need, by their key."""
    allowed = list(config.allowed_targets)
    losses: Mapping[str, Any] = instantiate(config.loss, allowed) or {}
    components = {f"loss.{name}": loss for name, loss in losses.items()}
    components["model"] = component_class(config.model, allowed, ["teacher_dim"])
    for name, node in (config.callbacks or {}).items():
        if node:
            components[f"callbacks.{name}"] = component_class(node, allowed)
    return {name: needs_of(component) for name, component in components.items()}


def needs_of(component: Any) -> Sequence[str]:
    """Return what a component or its class says that it needs."""
    return list(getattr(component, "needs", ()))
