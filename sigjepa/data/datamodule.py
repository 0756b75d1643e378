"""The LightningDataModule: serves batches of opened data."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, Sampler

from sigjepa.data.batch import Batch, Halves
from sigjepa.data.coverage import batch_coverage
from sigjepa.data.dataset import FunctionDataset
from sigjepa.data.loader import BatchLoader, EpochPosition, ResumableLoader
from sigjepa.data.pool_sample import PoolSample
from sigjepa.data.resident import ResidentData, resident_data
from sigjepa.data.sampler import BatchIndices, BlockSampler, LengthBucketSampler, SequentialSampler
from sigjepa.data.training_data import TrainingData
from sigjepa.errors import SigjepaError
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.sampling import NegativeSampler
from sigjepa.runtime.instantiate import check_counts

COUNTS = ("batch_size", "eval_batch_size", "bucket_batches", "shuffle_window")
COUNTS_OR_ALL = ("max_body_states", "shuffle_block", "max_train_functions")
FROM_ZERO = ("random_bodies", "num_workers", "pool_seed", "seed")


def check_data_settings(settings: Mapping[str, Any]) -> None:
    """Raise SigjepaError for an argument of `FunctionDataModule` that it refuses; settings: arguments by name."""
    named = {f"data.{name}": value for name, value in settings.items()}
    counts, counts_or_all = (
        [key for name in names if (key := f"data.{name}") in named] for names in (COUNTS, COUNTS_OR_ALL)
    )
    check_counts(named, counts, counts_or_all)
    for key in (f"data.{name}" for name in FROM_ZERO):
        value = named.get(key, 0)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise SigjepaError(f"{key}={value} must be a whole number, at least 0.")
    resident = named.get("data.device_resident", "auto")
    if resident not in (True, False, "auto"):
        raise SigjepaError(f"data.device_resident={resident}: use auto, true or false.")


class FunctionDataModule(LightningDataModule):
    """Batches of teacher states for the train, val and test splits.

    data: opened artifacts. batch_size: functions per process and step. eval_batch_size: functions per validation step.
    body_states: whether batches carry the body's token states; max_body_states: at most this many of each body, from
    its start, None is all of them.
    random_bodies: how many random train bodies a batch of the train split brings, each process's under DDP, which are
    candidates for all anchors of the step. max_train_functions: train on a sample of so many, drawn by `seed`, and on
    the hard negatives within it; None on all. pool_size, pool_seed: of a `PoolSample`; None ranks whole splits.
    bucket_batches: batches per length bucket; 1 shuffles without regard to length. shuffle_block, shuffle_window: those
    of a `BlockSampler`, which reads mostly in order; None shuffles all functions with each other. num_workers: loader
    processes; 0 loads in the main one. device_resident: whether token states lie on the device, where batches are then
    made, without loader processes; `auto` is where it is a CUDA device with room for them.

    Raises SigjepaError as `check_data_settings` does, and for states on the device where a lexicon is read.
    """

    def __init__(
        self,
        data: TrainingData,
        batch_size: int = 64,
        eval_batch_size: int = 256,
        body_states: bool = False,
        max_body_states: int | None = None,
        random_bodies: int = 0,
        bucket_batches: int = 16,
        shuffle_block: int | None = None,
        shuffle_window: int = 16,
        num_workers: int = 0,
        max_train_functions: int | None = None,
        pool_size: int | None = None,
        pool_seed: int = 0,
        seed: int = 0,
        device_resident: bool | Literal["auto"] = "auto",
    ) -> None:
        check_data_settings(locals())
        super().__init__()
        if device_resident is True and data.opened_lexicon is not None:
            raise SigjepaError("data.device_resident=true has no place for a lexicon's terms: use auto or false.")
        if max_train_functions is not None:
            data = replace(data, max_train_functions=max_train_functions, sample_seed=seed)
        pool = PoolSample(pool_size, pool_seed)
        self.data = data if pool == data.pool else replace(data, pool=pool)  # a copy forgets what it has computed
        if max_train_functions is not None and data.hard_negatives is not None:
            self.use_negatives(data.hard_negatives)
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.body_states = body_states
        self.max_body_states = max_body_states
        self.random_bodies = random_bodies
        self.sampler = NegativeSampler(seed=seed) if data.source is None else data.source.sampler
        self.bucket_batches = bucket_batches
        self.shuffle_block = shuffle_block
        self.shuffle_window = shuffle_window
        self.num_workers = num_workers
        self.seed = seed
        self.device_resident = device_resident if data.opened_lexicon is None else False
        self.position = EpochPosition()
        self.resident: ResidentData | None = None

    def _loader(
        self,
        loader: Callable[..., BatchLoader],
        sampler: Sampler[BatchIndices],
        hard_negatives: HardNegatives | None,
        body_states: bool = False,
        random_ids: np.ndarray | None = None,
    ) -> DataLoader[Batch]:
        dataset = FunctionDataset(
            self.data.shards,
            self.data.targets,
            hard_negatives,
            self.sampler,
            body_states,
            self.max_body_states,
            self.data.term_tensors if self.data.opened_lexicon else None,
            self.random_bodies,
            random_ids,
            self.resident,
        )
        return loader(
            dataset,
            sampler=sampler,
            num_workers=self.num_workers if self.resident is None else 0,
            generator=torch.Generator(),  # its own: to begin an epoch must not disturb what dropout draws
        )

    def train_sampler(self) -> LengthBucketSampler:
        """Return the order of the train split: this process's share of every epoch's shuffled, length-bucketed
        batches.
        """
        data = self.data
        ids = data.train_ids
        lengths = data.shards.signature_lengths[ids]
        if self.body_states:  # then bodies are padded too, and they are the longer half
            lengths = lengths + self._body_lengths(ids)
        kind: Callable[..., LengthBucketSampler] = LengthBucketSampler
        if self.shuffle_block is not None:
            kind = partial(BlockSampler, shuffle_block=self.shuffle_block, shuffle_window=self.shuffle_window)
        return kind(
            ids,
            lengths,
            self.batch_size,
            seed=self.seed,
            bucket_batches=self.bucket_batches,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )

    def _body_lengths(self, ids: np.ndarray) -> np.ndarray:
        """Return how many states of each body `[n]` batches carry."""
        lengths = self.data.shards.body_lengths[ids]
        return lengths if self.max_body_states is None else np.minimum(lengths, self.max_body_states)

    def figures(self) -> dict[str, float | int]:
        """Return the sizes of the splits, and what the hard negatives cover: of the train split, and of its batches."""
        data = self.data
        figures = data.figures()
        if data.hard_negatives is not None:
            figures |= batch_coverage(self.train_sampler(), data.hard_negatives, self.sampler)
        return figures

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the batches of `train_sampler`, with the hard negatives of their anchors."""
        loader, data = partial(ResumableLoader, position=self.position), self.data
        train = data.train_ids
        if self.resident is None and self.trainer:
            bodies = np.zeros_like(data.shards.body_lengths)
            bodies[train] = self._body_lengths(train)
            wanted = (self.device_resident, data.shards, data.targets, self.trainer.strategy.root_device)
            self.resident = resident_data(*wanted, bodies if self.body_states else None)
        return self._loader(loader, self.train_sampler(), data.hard_negatives, self.body_states, train)

    def train_halves(self) -> Halves:
        """Return both halves of the train split, for a student that fits something to it before training."""
        data, ids = self.data, torch.as_tensor(self.data.train_ids)
        terms = data.term_tensors
        signatures = (data.shards.pooled("signature", data.train_ids), terms.of_signatures(ids))
        return Halves(*signatures, data.targets[ids], terms.of_bodies(ids))

    def use_negatives(self, hard_negatives: HardNegatives) -> None:
        """Serve these hard negatives from the next loader on, of a sample of train those within it."""
        if self.data.max_train_functions is not None:
            hard_negatives = hard_negatives.among(self.data.train_ids)
        self.data = replace(self.data, hard_negatives=hard_negatives)

    def eval_dataloader(self, split: str) -> DataLoader[Batch]:
        """Return this process's share of a split's pool, or of the functions that are trained on: every function once
        over all ranks, without hard negatives.
        """
        data = self.data
        ids = data.train_ids if split == "train" else data.pool.ids(data.corpus, split)
        sampler = SequentialSampler(
            ids,
            data.shards.signature_lengths[ids],
            self.eval_batch_size,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )
        return self._loader(BatchLoader, sampler, None)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Return the batch on the device: as it is where it was made there, which is where it stays on a CPU."""
        if self.resident is not None or device.type == "cpu":
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return every function of the val pool once."""
        return self.eval_dataloader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return every function of the test pool once."""
        return self.eval_dataloader("test")
