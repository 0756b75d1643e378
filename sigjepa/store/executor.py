"""Executors: where the parts of a stage run. The bytes that they write are the same."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sigjepa.errors import SigjepaError

Result = TypeVar("Result")


class Executor(Protocol):
    """Runs tasks that need nothing of each other."""

    def run(self, tasks: Sequence[Callable[[], Result]]) -> Iterator[Result]:
        """Yield the result of each task as it comes, in any order; the first error ends it.

        Tasks can be pickled. Raises SigjepaError when a worker is lost.
        """


@dataclass(frozen=True)
class InProcess:
    """Runs one task after another in this process."""

    def run(self, tasks: Sequence[Callable[[], Result]]) -> Iterator[Result]:
        """As Executor says, in order."""
        return (task() for task in tasks)


@dataclass(frozen=True)
class ProcessPool:
    """Runs tasks in `workers` processes of this machine. Raises SigjepaError for fewer than one."""

    workers: int = 2

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise SigjepaError(f"executor.workers={self.workers} must be at least 1.")

    def run(self, tasks: Sequence[Callable[[], Result]]) -> Iterator[Result]:
        """As Executor says."""
        # "spawn": a fork of a process whose libraries run threads can hang
        spawn, workers = multiprocessing.get_context("spawn"), min(self.workers, max(1, len(tasks)))
        pool = ProcessPoolExecutor(workers, spawn, initializer=end_with_parent)
        try:
            for future in as_completed([pool.submit(task) for task in tasks]):
                yield future.result()
        except BrokenProcessPool:
            raise SigjepaError(
                "A process of executor=processes died, as when memory runs out. Finished parts are kept: give the same "
                "command again, with fewer executor.workers or with executor=in_process."
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def end_with_parent() -> None:
    """Have this worker end when the process that started it does: killed, it can't tell its workers to stop."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
