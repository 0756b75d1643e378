"""Whatever interrupts training, going on from last.ckpt ends as if nothing had."""

import functools
import os
import signal
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from averaged_sgd import AveragedSGD
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader

from sigjepa.data.loader import EpochPosition, ResumableLoader
from sigjepa.data.sampler import LengthBucketSampler, SequentialSampler
from sigjepa.errors import SigjepaError
from sigjepa.losses.infonce import InfoNCE
from sigjepa.models.predictor import SigPredictor
from sigjepa.training.callbacks import MetricsTable
from sigjepa.training.checkpoint_io import AtomicCheckpointIO
from sigjepa.training.module import SigJepaModule
from sigjepa.training.optimizer import MuonAdamW, warmup_cosine
from sigjepa.training.resume import ResumeCheckpoint, differing_parents, moved

STUDENT = {"teacher_dim": 8, "hidden_dim": 16, "heads": 2, "feedforward_dim": 32, "dropout": 0.3}
EPOCHS, STEPS = 3, 4
ADAMW = functools.partial(torch.optim.AdamW, lr=1e-2)


class Killed(BaseException):
    """What stands for SIGKILL within one process: no hook of ours may make anything of it."""


class KillAt(lightning.Callback):
    """Raises at a hook of a step."""

    def __init__(self, hook, step):
        setattr(self, hook, lambda trainer, *_: self.kill(trainer, step))

    def kill(self, trainer, step):
        if trainer.global_step == step:
            raise Killed


class Functions(torch.utils.data.Dataset):
    """Random states by function id."""

    def __init__(self, make_batch):
        self.batch = make_batch(size=4 * STEPS - 1)  # the last batch is smaller

    def __getitem__(self, request):
        from sigjepa.data.batch import Batch

        ids = torch.as_tensor(request.ids)
        columns = ("ids", "signature_states", "signature_mask", "body_pooled")
        return Batch(**{name: getattr(self.batch, name)[ids] for name in columns})


@pytest.fixture
def train(make_batch, tmp_path):
    """Train in a folder, from its last.ckpt if there is one; returns trainer, module and the bytes of metrics.csv."""
    functions = Functions(make_batch)
    ids = np.arange(4 * STEPS - 1)

    def run(
        name,
        *callbacks,
        monitor="val/rank10",
        patience=99,
        optimizer=ADAMW,
        scheduler=warmup_cosine,
        accumulate=1,
        **intervals,
    ):
        folder = tmp_path / name
        last = folder / "last.ckpt"
        lightning.seed_everything(0, verbose=False)
        torch.manual_seed(0 if not last.exists() else 1)  # another process may stand anywhere
        module = SigJepaModule(SigPredictor(**STUDENT), {"infonce": InfoNCE()}, optimizer, scheduler, {"seed": 0})
        resume = ResumeCheckpoint(last, **intervals)
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=EPOCHS,
            accumulate_grad_batches=accumulate,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            default_root_dir=folder,
            plugins=[AtomicCheckpointIO()],
            callbacks=[
                *callbacks,
                EarlyStopping(monitor, mode="max", patience=patience),
                ModelCheckpoint(
                    *(folder, "best"),
                    monitor="val/rank10",
                    mode="max",
                    enable_version_counter=False,
                    save_weights_only=True,
                ),
                MetricsTable(folder / "metrics.csv"),
                resume,
            ],
        )
        train_loader = ResumableLoader(
            functions,
            sampler=LengthBucketSampler(ids, np.ones(len(ids)), batch_size=4, seed=7),
            generator=torch.Generator(),
            position=EpochPosition(),
        )
        val_loader = DataLoader(
            functions, sampler=SequentialSampler(ids, ids, 8), batch_size=None, generator=torch.Generator()
        )
        checkpoint = last if last.exists() else None
        trainer.fit(module, train_loader, val_loader, ckpt_path=checkpoint, weights_only=True)
        return trainer, module, (folder / "metrics.csv").read_bytes()

    return run


def assert_same(result, expected):
    (trainer, module, metrics), (expected_trainer, expected_module, expected_metrics) = result, expected
    assert metrics == expected_metrics
    assert trainer.global_step == expected_trainer.global_step
    for name, weights in expected_module.state_dict().items():
        assert torch.equal(module.state_dict()[name], weights), name
    assert trainer.checkpoint_callback.best_model_score == expected_trainer.checkpoint_callback.best_model_score
    ours, theirs = (one.optimizers[0].state_dict()["state"] for one in (trainer, expected_trainer))
    assert all(torch.equal(ours[key][name], theirs[key][name]) for key in theirs for name in theirs[key])


MOMENTS = [
    *(("on_train_batch_start", step) for step in range(EPOCHS * STEPS)),
    *((hook, STEPS) for hook in ("on_train_epoch_start", "on_validation_start", "on_validation_end")),
    *(("on_train_epoch_end", step) for step in (STEPS, EPOCHS * STEPS)),
]


FEW = [moment for moment in MOMENTS if moment[0] != "on_train_batch_start" or moment[1] in (0, 5)]  # others are below


@pytest.mark.parametrize(
    ("every_n_steps", "moments"),
    [(1, FEW), *(pytest.param(number, MOMENTS, marks=pytest.mark.slow) for number in (1, 3))],
    ids=["1, few", "1", "3"],
)
def test_killed_anywhere_it_ends_the_same(train, every_n_steps, moments):
    expected = train("whole", every_n_steps=every_n_steps)
    assert expected[0].global_step == EPOCHS * STEPS
    for hook, step in moments:
        name = f"{hook}_{step}"
        with pytest.raises(Killed):
            train(name, KillAt(hook, step), every_n_steps=every_n_steps)
        assert_same(train(name, every_n_steps=every_n_steps), expected)


PLATEAU = functools.partial(ReduceLROnPlateau, patience=0, threshold=1.0)
KINDS = {
    "plateau": {"scheduler": PLATEAU},
    "by epoch": {"scheduler": functools.partial(StepLR, step_size=1)},
    "muon": {"optimizer": functools.partial(MuonAdamW, lr=1e-2)},
    "averaged": {"optimizer": functools.partial(AveragedSGD, lr=0.1), "scheduler": None},
}


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_killed_anywhere_it_ends_the_same_with_every_kind_of_optimizer_and_schedule(train, options):
    expected = train("whole", every_n_steps=3, **options)
    for hook, step in (("on_train_batch_start", 5), ("on_validation_end", STEPS)):
        name = f"{hook}_{step}"
        with pytest.raises(Killed):
            train(name, KillAt(hook, step), every_n_steps=3, **options)
        resumed = train(name, every_n_steps=3, **options)
        assert_same(resumed, expected)
        rates = [[group["lr"] for group in run[0].optimizers[0].param_groups] for run in (resumed, expected)]
        assert rates[0] == rates[1]
    assert "scheduler" not in options or options["scheduler"] is None or rates[0][0] < 1e-2


def test_interrupted_again_and_again(train):
    expected = train("whole", every_n_steps=1)
    for step in range(1, EPOCHS * STEPS):
        with pytest.raises(Killed):
            train("often", KillAt("on_train_batch_start", step), every_n_steps=1)
    assert_same(train("often", every_n_steps=1), expected)


def test_a_decision_to_stop_is_kept(train):
    impatient = {"monitor": "val/target_std", "patience": 1}  # which never changes
    expected = train("whole", **impatient)
    assert expected[0].current_epoch == 2
    with pytest.raises(Killed):
        train("stopped", KillAt("on_train_end", 2 * STEPS), **impatient)
    assert_same(train("stopped", **impatient), expected)


class Signalled(lightning.Callback):
    """Sends this process a signal at the start of a step."""

    def __init__(self, number, step):
        self.number, self.step = number, step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(("number", "step"), [(signal.SIGTERM, 5), (signal.SIGINT, EPOCHS * STEPS - 1)])
def test_a_signal_saves_and_stops(train, number, step):
    expected = train("whole")
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as stopped:
        train("run", Signalled(number, step))
    assert stopped.value.code == 128 + number
    assert signal.getsignal(number) == before
    assert_same(train("run"), expected)


@pytest.mark.parametrize("options", [{}, {"every_n_steps": 1}], ids=["signal", "interval"])
def test_no_gradient_is_lost_that_was_accumulated_when_a_signal_came(train, options):
    expected = train("whole", accumulate=3)  # steps of three batches, and of one at an epoch's end
    assert expected[0].global_step == EPOCHS * 2
    with pytest.raises(SystemExit):
        train("run", Signalled(signal.SIGTERM, 2), accumulate=3, **options)
    assert_same(train("run", accumulate=3, **options), expected)


def test_usr1_saves_and_goes_on(train):
    class Watched(Signalled):
        def on_save_checkpoint(self, trainer, pl_module, checkpoint):
            saved.add(trainer.global_step)

    saved: set[int] = set()
    result = train("run", Watched(signal.SIGUSR1, 1))
    assert saved == {2, 4, 8, 12}  # after the step of the signal, and at each epoch's end
    assert_same(result, train("whole"))


def test_an_interval_must_be_positive(tmp_path):
    with pytest.raises(SigjepaError, match="resume_checkpoint.every_n_steps=0"):
        ResumeCheckpoint(tmp_path / "last.ckpt", every_n_steps=0)


class BestAt(lightning.Callback):
    """Has one epoch of a run score best, whatever the student does."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("val/rank10", 0.9 if trainer.current_epoch == self.epoch else 0.1 + trainer.current_epoch / 100)


@pytest.mark.parametrize("place", ["renamed", "mounted/elsewhere"])
def test_a_run_that_was_moved_keeps_its_best_epoch(train, tmp_path, place):
    with pytest.raises(Killed):
        train("first", BestAt(0), KillAt("on_train_batch_start", STEPS))
    best = (tmp_path / "first" / "best.ckpt").read_bytes()
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / "first").rename(tmp_path / place)
    trainer, _, _ = train(place, BestAt(0))
    checkpoint = trainer.checkpoint_callback
    assert float(checkpoint.best_model_score) == pytest.approx(0.9)
    assert checkpoint.best_model_path == str(tmp_path / place / "best.ckpt")
    assert (tmp_path / place / "best.ckpt").read_bytes() == best
    assert not (tmp_path / "first").exists()


def test_paths_are_moved_wherever_a_state_keeps_them():
    old, new = differing_parents(Path("/a/run/checkpoints/last.ckpt"), Path("/b/c/checkpoints/last.ckpt"))
    state = {"best_k_models": {"/a/run/checkpoints/best.ckpt": 0.5}, "other": ["/a/runs/x", "/a/run", 3, None]}
    expected = {"best_k_models": {"/b/c/checkpoints/best.ckpt": 0.5}, "other": ["/a/runs/x", "/b/c", 3, None]}
    assert moved(state, str(old), str(new)) == expected
