"""Several gloo processes train and rank as one process does on the same global batches, in torchrun's environment."""

import dataclasses
import functools
import os
import socket

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import multiprocessing
from torch.utils.data import DataLoader, Dataset

from sigjepa.data.batch import Batch
from sigjepa.data.sampler import BlockSampler, LengthBucketSampler, SequentialSampler
from sigjepa.losses.infonce import InfoNCE
from sigjepa.models.predictor import SigPredictor
from sigjepa.training.module import SigJepaModule

FUNCTIONS = 22  # batches of 8, 7 and 7: uneven over 2 processes and over 4
GLOBAL_BATCH = 8


class Rows(Dataset):
    """Answers a request with those rows of one large batch."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.read = []

    def __getitem__(self, request):
        self.read.append(request.ids)
        rows = torch.from_numpy(request.ids)
        names = ("ids", "signature_states", "signature_mask", "body_pooled")
        return dataclasses.replace(self.batch, **{name: getattr(self.batch, name)[rows] for name in names})


class SeenByCallbacks(lightning.Callback):
    """Keeps what a callback finds in this process when a pass over val ends."""

    def on_validation_epoch_end(self, trainer, pl_module):
        self.ids = pl_module.evaluated["val"].ids
        self.rank10 = float(trainer.callback_metrics["val/rank10"])


def trained(batch: Batch, folder: str, rank: int, world_size: int, kind=LengthBucketSampler) -> dict:
    """What one epoch leaves in one process: weights, ranks of the whole pool, and validation metrics."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = SigPredictor(teacher_dim=8, hidden_dim=16, heads=2, feedforward_dim=32, dropout=0.0)
    optimizer = functools.partial(torch.optim.SGD, lr=0.1)
    module = SigJepaModule(model, {"infonce": InfoNCE()}, optimizer, None, {"seed": 0})
    ids, lengths = np.arange(FUNCTIONS), batch.signature_mask.sum(dim=1).numpy()
    train = kind(ids, lengths, GLOBAL_BATCH // world_size, rank=rank, world_size=world_size)
    val = SequentialSampler(ids, lengths, 4, rank=rank, world_size=world_size)
    seen = SeenByCallbacks()
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=world_size,
        strategy="ddp" if world_size > 1 else "auto",
        max_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        callbacks=[seen, ModelCheckpoint(folder, monitor="val/rank10", mode="max")],
        default_root_dir=folder,
    )
    rows = Rows(batch)
    loaders = [DataLoader(rows, sampler=train, batch_size=None), DataLoader(Rows(batch), sampler=val, batch_size=None)]
    trainer.fit(module, *loaders)
    evaluated = module.evaluated["val"]
    return {
        "weights": {name: value.detach().clone() for name, value in module.named_parameters()},
        "ids": torch.from_numpy(evaluated.ids),
        "ranks": torch.from_numpy(np.asarray(evaluated.ranks.optimistic)),
        "predictions": torch.from_numpy(evaluated.predictions),
        "metrics": {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")},
        "seen": {"ids": torch.from_numpy(seen.ids), "rank10": seen.rank10},
        "read": torch.from_numpy(np.concatenate(rows.read)),
        "steps": trainer.global_step,
        "seed": torch.initial_seed(),
    }


def worker(rank: int, batch: Batch, folder: str, world_size: int, port: int, kind) -> None:
    started_by_torchrun = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size, "LOCAL_WORLD_SIZE": world_size}
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GROUP_RANK": 0, "TORCHELASTIC_RUN_ID": "test"}
    os.environ.update({name: str(value) for name, value in (started_by_torchrun | place).items()})
    torch.save(trained(batch, folder, rank, world_size, kind), f"{folder}/{rank}.pt")


def run_processes(batch: Batch, folder, world_size: int, forkserver, kind=LengthBucketSampler) -> list[dict]:
    """What one epoch leaves in each of several processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = (batch, str(folder), world_size, port, kind)
    multiprocessing.start_processes(worker, words, world_size, start_method=forkserver.get_start_method())
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world_size)]


@pytest.mark.parametrize("world_size", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_weights_and_ranks_are_those_of_one_process(make_batch, forkserver, tmp_path, world_size):
    batch = make_batch(size=FUNCTIONS)
    alone = trained(batch, str(tmp_path), 0, 1)
    for rank, one in enumerate(run_processes(batch, tmp_path, world_size, forkserver)):
        assert one["steps"] == alone["steps"] == 3
        assert one["seed"] == alone["seed"] + rank  # dropout of its own
        assert one["ids"].tolist() == list(range(FUNCTIONS))
        assert one["ranks"].tolist() == alone["ranks"].tolist()
        difference = max((one["weights"][name] - value).abs().max().item() for name, value in alone["weights"].items())
        gap = (one["predictions"] - alone["predictions"]).abs().max().item()
        assert difference <= 1e-6
        assert (
            gap <= 1e-6 * alone["predictions"].abs().max().item()
        )  # other batches are padded otherwise: float32 rounding
        assert one["metrics"].keys() == alone["metrics"].keys()  # every process can select and stop early
        assert one["metrics"]["val/rank10"] == alone["metrics"]["val/rank10"]
        assert one["seen"]["ids"].tolist() == list(range(FUNCTIONS))
        assert one["seen"]["rank10"] == one["metrics"]["val/rank10"]


def test_processes_read_blocks_of_their_own(make_batch, forkserver, tmp_path):
    kind = functools.partial(BlockSampler, shuffle_block=2, shuffle_window=2)
    one, other = run_processes(make_batch(size=FUNCTIONS), tmp_path, 2, forkserver, kind)
    assert one["steps"] == other["steps"] == 3
    assert sorted([*one["read"].tolist(), *other["read"].tolist()]) == list(range(FUNCTIONS))
    blocks = [set((each["read"] // 2).tolist()) for each in (one, other)]
    assert len(blocks[0] & blocks[1]) <= 1  # the one on the border
    assert all(value.equal(other["weights"][name]) for name, value in one["weights"].items())
