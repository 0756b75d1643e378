"""Interrupting a run anywhere and going on as if nothing had happened."""

import logging
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any, cast

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import distributed as torch_distributed

from sigjepa.data.loader import ResumableLoader
from sigjepa.errors import SigjepaError
from sigjepa.losses.distributed import world_size
from sigjepa.training.random_states import random_states, restore_random_states

log = logging.getLogger(__name__)

STOPPING = (signal.SIGINT, signal.SIGTERM)
SAVING = (signal.SIGUSR1,)


class ResumeCheckpoint(Checkpoint):
    """Keeps `path` (checkpoints/last.ckpt) such that training goes on from it bit for bit.

    Written at the end of every epoch, in between every `every_n_steps` optimizer steps and `every_n_minutes` (None: not
    by that), and after the step during which a signal comes: SIGUSR1 saves and goes on, SIGTERM and SIGINT save and
    end the process with 128 + the signal's number. A second SIGINT ends it at once. A step is that of the optimizer,
    with all the batches whose gradients it accumulates. Beside what Lightning saves it holds the random states of every
    process, whether training had been told to stop, and the seconds it took. Under DDP all processes save at the same
    step. Raises SigjepaError for an interval that is not positive.
    """

    def __init__(
        self, path: str | Path, every_n_steps: int | None = None, every_n_minutes: float | None = 10.0
    ) -> None:
        for name, value in (("every_n_steps", every_n_steps), ("every_n_minutes", every_n_minutes)):
            if value is not None and value <= 0:
                raise SigjepaError(f"resume_checkpoint.{name}={value} must be above 0, or null.")
        self.path = Path(path)
        self.every_n_steps = every_n_steps
        self.every_n_minutes = every_n_minutes
        self.received: signal.Signals | None = None
        self.earlier_seconds = 0.0
        self.batches_done = 0
        self._loaded: dict[str, Any] | None = None
        self._started = self._saved = time.monotonic()
        self._handlers: dict[signal.Signals, Any] = {}

    @property
    def seconds(self) -> float:
        """Seconds that training has taken, those before interruptions included."""
        return self.earlier_seconds + time.monotonic() - self._started

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove what a killed process left half-written, and take up a decision to stop."""
        if trainer.is_global_zero:
            for leftover in self.path.parent.glob(".*.ckpt.*.tmp"):
                leftover.unlink(missing_ok=True)
        if self._loaded is not None:
            trainer.should_stop = self._loaded["should_stop"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the random generators where they were, and listen to signals."""
        if self._loaded is not None:
            restore_random_states(self._loaded["random_states"][trainer.global_rank])
            # Lightning has made the loader before it knew of the checkpoint, and then leaves out the loader's state
            cast(ResumableLoader, trainer.train_dataloader).load_state_dict({"served": self._loaded["batches_done"]})
            log.info("Continuing at step %d (epoch %d) of %s", trainer.global_step, trainer.current_epoch, self.path)
            self._loaded = None
        check_same_step(trainer)
        self._started = self._saved = time.monotonic()
        if threading.current_thread() is threading.main_thread():
            for number in (*STOPPING, *SAVING):
                self._handlers[number] = signal.signal(number, self._receive)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when it is time. After an epoch's last step only when the epoch has ended, validation included."""
        # between batches of one step a checkpoint would lack the gradients accumulated so far
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if stepped and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch and self._is_due(trainer):
            self._save(trainer, batches_done=batch_idx + 1)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after validation, selection and early stopping."""
        self._is_due(trainer)  # every process must know of a signal that one of them has received
        self._save(trainer, batches_done=0)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the signals to whoever had them."""
        self._restore_handlers()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the signals to whoever had them."""
        self._restore_handlers()

    def state_dict(self) -> dict[str, Any]:
        """Return the random states by process, the seconds so far and the place in the epoch; every process must call
        this.
        """
        states = [random_states()]
        if world_size() > 1:
            states = [{} for _ in range(world_size())]
            torch_distributed.all_gather_object(states, random_states())
        path = os.path.realpath(self.path)
        return {"random_states": states, "seconds": self.seconds, "batches_done": self.batches_done, "path": path}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up where another process stopped; applied when training starts."""
        self._loaded = state_dict
        self.earlier_seconds = state_dict["seconds"]

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Have every callback find its files where the run lies now: ModelCheckpoint forgets its best score elsewhere.

        Lightning calls this before any callback takes up its state.
        """
        state = checkpoint["callbacks"].get(self.state_key)
        if state is not None:
            old, new = differing_parents(Path(state["path"]), Path(os.path.realpath(self.path)))
            checkpoint["callbacks"] = moved(checkpoint["callbacks"], str(old), str(new))

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep that training has been told to stop, which Lightning forgets."""
        checkpoint["callbacks"][self.state_key]["should_stop"] = trainer.should_stop

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received == number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
        if number in SAVING and callable(before := self._handlers[self.received]):
            before(number, frame)  # which tells where the run is

    def _is_due(self, trainer: Trainer) -> bool:
        """Return whether any process wants to save; then all of them know which signal was received."""
        minutes = (time.monotonic() - self._saved) / 60
        due = (
            self.received is not None
            or (self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0)
            or (self.every_n_minutes is not None and minutes >= self.every_n_minutes)
        )
        if world_size() == 1:
            return due
        wish = torch.tensor([int(due), self.received or 0], device=trainer.strategy.root_device)
        torch_distributed.all_reduce(wish, op=torch_distributed.ReduceOp.MAX)
        self.received = signal.Signals(int(wish[1])) if wish[1] else None
        return bool(wish[0])

    def _save(self, trainer: Trainer, batches_done: int) -> None:
        self.batches_done = batches_done
        trainer.save_checkpoint(self.path)
        self._saved = time.monotonic()
        received, self.received = self.received, None
        if received is None:
            return
        log.info(
            "%s: step %d (epoch %d) is in %s", received.name, trainer.global_step, trainer.current_epoch, self.path
        )
        if received in STOPPING:
            log.info("Stopped by %s; the same command with resume=auto goes on from there.", received.name)
            raise SystemExit(128 + received)

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()


def differing_parents(old: Path, new: Path) -> tuple[Path, Path]:
    """Return two paths without the end that they have in common."""
    while old.name and old.name == new.name:
        old, new = old.parent, new.parent
    return old, new


def moved(state: Any, old: str, new: str) -> Any:
    """Return a state with every path at or below `old` as one below `new`, keys included."""
    if isinstance(state, dict):
        return {moved(key, old, new): moved(value, old, new) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(moved(value, old, new) for value in state)
    if isinstance(state, str) and (state == old or state.startswith(old.rstrip(os.sep) + os.sep)):
        return new.rstrip(os.sep) + state[len(old.rstrip(os.sep)) :]
    return state


def check_same_step(trainer: Trainer) -> None:
    """Raise SigjepaError when processes begin at different steps: they would train on different batches."""
    if world_size() > 1:
        steps: list[int] = [0] * world_size()
        torch_distributed.all_gather_object(steps, trainer.global_step)
        if len(set(steps)) > 1:
            raise SigjepaError(
                f"The processes of this run begin at steps {', '.join(map(str, steps))}: they did not all find the "
                "same last.ckpt. Give them one folder that all can read, or begin anew with resume=never."
            )
