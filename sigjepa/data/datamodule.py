"""The LightningDataModule: builds what is missing of corpus, shards and negatives, and serves batches."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from sigjepa.corpus.store import Corpus, CorpusRecipe
from sigjepa.data.batch import Batch
from sigjepa.data.coverage import batch_coverage
from sigjepa.data.dataset import FunctionDataset, share_identical_bodies
from sigjepa.data.loader import EpochPosition, ResumableLoader
from sigjepa.data.sampler import BatchIndices, LengthBucketSampler, SequentialSampler
from sigjepa.errors import SigjepaError
from sigjepa.negatives.base import HardNegativesRecipe
from sigjepa.negatives.dependencies import data_upstream
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.sampling import Draw
from sigjepa.negatives.recipe import NegativesRecipe
from sigjepa.store.artifacts import NotBuiltError, building_refused
from sigjepa.store.origin import upstream_of
from sigjepa.store.progress import stage
from sigjepa.teacher.encoder import FrozenTeacher
from sigjepa.teacher.shards import TeacherShards, embed_corpus

log = logging.getLogger(__name__)

SMALLEST_POOL = 11
"""Rank@10 of a pool of ten or fewer is 100 % whatever the prediction."""


@contextmanager
def timed(artifact: str) -> Iterator[None]:
    """Log how long an artifact took to build or to open; a stage, for what its own bars leave out."""
    started = time.perf_counter()
    with stage(artifact):
        yield
    log.info("%s ready in %.1f s", artifact, time.perf_counter() - started)


@dataclass(frozen=True)
class Artifacts:
    """What a run is trained on; `hard_negatives` is None without mining."""

    corpus: Corpus
    shards: TeacherShards
    hard_negatives: HardNegatives | None

    def hashes(self) -> dict[str, str | None]:
        """Content hash of the corpus and the keyed folder names of all three artifacts, for provenance."""
        folder = self.hard_negatives.folder if self.hard_negatives is not None else None
        return {
            "corpus_hash": self.corpus.hash,
            "corpus": self.corpus.folder.name,
            "shards": self.shards.folder.name,
            "negatives": folder.name if folder is not None else None,
        }

    def upstream(self) -> dict[str, dict[str, str]]:
        """The artifacts by keyed folder and digest, as a run's provenance records what it was made from."""
        upstream = data_upstream(self.corpus, self.shards)
        if self.hard_negatives is not None and self.hard_negatives.folder is not None:
            digest = str(self.hard_negatives.metadata["digest"])
            upstream["negatives"] = upstream_of(self.hard_negatives.folder, digest)
        return upstream

    def figures(self) -> dict[str, float | int]:
        """Sizes of the splits, and how many train functions have hard negatives and how many each."""
        figures: dict[str, float | int] = {
            f"{split}_functions": len(self.corpus.ids(split)) for split in ("train", "val", "test")
        }
        statistics = self.hard_negatives.statistics() if self.hard_negatives is not None else {}
        return figures | {
            "hard_negative_coverage": statistics.get("coverage", 0.0),
            "hard_negatives_per_anchor": statistics.get("average_per_anchor", 0.0),
            "hard_negative_pairs_score0": statistics.get("score_c_0", 0),
            "hard_negative_pairs_score1": statistics.get("score_c_1", 0),
        }


class FunctionDataModule(LightningDataModule):
    """Batches of teacher states for the train, val and test splits.

    corpus, teacher, negatives: how each artifact is made; all three are cached under `data_dir` by the hash of their
    inputs. negatives: None trains without hard negatives. batch_size: functions per process and step.
    eval_batch_size: functions per validation step. body_states: whether batches carry the body's token states;
    max_body_states: at most this many of each body, from its start, None is all of them.
    draw: which of its hard negatives an anchor brings to a step. bucket_batches: batches per length bucket; 1 shuffles
    without regard to length. num_workers: loader processes; 0 loads in the main one.
    """

    def __init__(
        self,
        corpus: CorpusRecipe,
        teacher: FrozenTeacher,
        negatives: HardNegativesRecipe | None,
        data_dir: str | Path,
        batch_size: int = 64,
        eval_batch_size: int = 256,
        body_states: bool = False,
        max_body_states: int | None = None,
        draw: Draw | None = None,
        bucket_batches: int = 16,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise SigjepaError(f"data.batch_size is {batch_size}; give a positive number of functions per step.")
        if batch_size == 1 and negatives is None:
            raise SigjepaError(
                "data.batch_size is 1 and there are no hard negatives: in-batch InfoNCE has nothing to tell the body "
                "from. Use data.batch_size=2 or more, or negatives=knn."
            )
        self.corpus_recipe = corpus
        self.teacher = teacher
        self.negatives_recipe = negatives
        self.data_dir = Path(data_dir)
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.body_states = body_states
        self.max_body_states = max_body_states
        self.draw = draw if draw is not None else Draw(seed=seed)
        self.bucket_batches = bucket_batches
        self.num_workers = num_workers
        self.seed = seed
        self.body_pooled: Tensor | None = None
        self.position = EpochPosition()
        self._artifacts: Artifacts | None = None

    def prepare_data(self) -> None:
        """Build the artifacts that are missing; a second call finds them."""
        self.artifacts()

    def artifacts(self) -> Artifacts:
        """Corpus, shards and hard negatives: opened, or built where missing."""
        if self._artifacts is None:
            with timed("corpus"):
                corpus = self.corpus_recipe.prepare(self.data_dir)
            with timed("teacher shards"):
                shards = embed_corpus(corpus, self.teacher, self.data_dir, body_states=self.body_states)
            hard_negatives = None
            if self.negatives_recipe is not None:
                with timed("hard negatives"):
                    hard_negatives = self.negatives_recipe.prepare(corpus, shards, self.data_dir)
            self._artifacts = Artifacts(corpus, shards, hard_negatives)
        return self._artifacts

    def verify(self) -> None:
        """Open every artifact, and what hard negatives were made from; raises DamagedError for the first damage."""
        self._artifacts = None
        data = self.artifacts()
        if isinstance(self.negatives_recipe, NegativesRecipe):
            self.negatives_recipe.verify(data.corpus, data.shards, self.data_dir)

    def missing_artifacts(self) -> list[str]:
        """What `prepare_data` would have to build: the first artifact that is missing, and all that depend on it."""
        stages = ["corpus", "teacher shards", *(["hard negatives"] if self.negatives_recipe is not None else [])]
        with building_refused():
            try:
                corpus = self.corpus_recipe.prepare(self.data_dir)
                stages.pop(0)
                shards = embed_corpus(corpus, self.teacher, self.data_dir, body_states=self.body_states)
                stages.pop(0)
                if self.negatives_recipe is not None:
                    self.negatives_recipe.prepare(corpus, shards, self.data_dir)
            except NotBuiltError:
                return stages
        return []

    def setup(self, stage: str) -> None:
        """Open the artifacts; raises SigjepaError when val or test is too small for Rank@10."""
        if self.body_pooled is None:
            data = self.artifacts()
            for split in ("val", "test"):
                size = len(data.corpus.ids(split))
                if size < SMALLEST_POOL:
                    raise SigjepaError(
                        f"The {split} split has {size} functions; Rank@10 needs at least {SMALLEST_POOL}. "
                        "Take a larger corpus (data=quick, or more repositories)."
                    )
            self.body_pooled = share_identical_bodies(data.corpus.column("body"), data.shards.body_pooled)

    @property
    def targets(self) -> Tensor:
        """What students predict: `[n, D]` body embeddings by function id, byte-identical bodies made equal."""
        assert self.body_pooled is not None, "setup() has not run"
        return self.body_pooled

    def _loader(
        self,
        loader: Callable[..., DataLoader[Batch]],
        sampler: Sampler[BatchIndices],
        hard_negatives: HardNegatives | None,
    ) -> DataLoader[Batch]:
        dataset = FunctionDataset(
            self.artifacts().shards,
            self.targets,
            hard_negatives,
            self.draw,
            self.body_states,
            self.max_body_states,
        )
        # batch_size=None: the sampler yields whole batches of ids and the dataset answers each with one Batch
        return loader(
            dataset,
            sampler=sampler,
            batch_size=None,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            generator=torch.Generator(),  # its own: to begin an epoch must not disturb what dropout draws
        )

    def train_sampler(self) -> LengthBucketSampler:
        """The order of the train split: this process's share of every epoch's shuffled, length-bucketed batches."""
        data = self.artifacts()
        ids = data.corpus.ids("train")
        lengths = data.shards.signature_lengths[ids]
        if self.body_states:  # then bodies are padded too, and they are the longer half
            body_lengths = data.shards.body_lengths[ids]
            if self.max_body_states is not None:
                body_lengths = np.minimum(body_lengths, self.max_body_states)
            lengths = lengths + body_lengths
        return LengthBucketSampler(
            ids,
            lengths,
            self.batch_size,
            seed=self.seed,
            bucket_batches=self.bucket_batches,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )

    def figures(self) -> dict[str, float | int]:
        """Sizes of the splits, and what the hard negatives cover: of the train split, and of its batches."""
        data = self.artifacts()
        figures = data.figures()
        if data.hard_negatives is not None:
            figures |= batch_coverage(self.train_sampler(), data.hard_negatives, self.draw)
        return figures

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of `train_sampler`, with the hard negatives of their anchors."""
        loader = partial(ResumableLoader, position=self.position)
        return self._loader(loader, self.train_sampler(), self.artifacts().hard_negatives)

    def use_negatives(self, hard_negatives: HardNegatives) -> None:
        """Serve these hard negatives from the next loader on."""
        self._artifacts = replace(self.artifacts(), hard_negatives=hard_negatives)

    def eval_dataloader(self, split: str) -> DataLoader[Batch]:
        """This process's share of a split: every function once over all ranks, without hard negatives."""
        data = self.artifacts()
        ids = data.corpus.ids(split)
        sampler = SequentialSampler(
            ids,
            data.shards.signature_lengths[ids],
            self.eval_batch_size,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )
        return self._loader(DataLoader, sampler, None)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Every function of the val split once."""
        return self.eval_dataloader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        """Every function of the test split once."""
        return self.eval_dataloader("test")
