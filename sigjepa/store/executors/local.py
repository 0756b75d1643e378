"""The executor of one machine: this process, and further ones where the work is long."""

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sigjepa.errors import SigjepaError
from sigjepa.store.build import PartRecord, build_part
from sigjepa.store.executors.executor import check_number
from sigjepa.store.stage import Part, Stage

MIN_SECONDS = 10.0
"""Work that takes less is done in this process: each further one first imports what the stage needs, in half a second,
or some 4 to 8 where that is torch."""


@dataclass(frozen=True)
class Local:
    """Builds parts in `workers` processes of this machine; 1 is this process.

    None: this process, until its pace says that the rest takes more than ten seconds; then as many processes as there
    are cores. What fills all cores or a GPU by itself stays in this process. Raises SigjepaError for fewer than one.
    """

    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None:
            check_number("workers", self.workers, 1)

    def run(self, stage: Stage[Any], parts: Sequence[Part], folder: Path) -> Iterator[PartRecord]:
        """As Executor says; the first error ends it."""
        if self.workers is not None and self.workers > 1:
            yield from in_processes(self.workers, stage, parts, folder)
            return
        may_spread = self.workers is None and stage.uses == "core" and main_is_a_command() and core_count() > 1
        begun, built = time.monotonic(), 0
        for position, part in enumerate(parts):
            rest = sum(each.size for each in parts[position:])
            if may_spread and built and (time.monotonic() - begun) / built * rest > MIN_SECONDS:
                yield from in_processes(core_count(), stage, parts[position:], folder)
                return
            yield build_part(stage, part, folder)
            built += part.size


def in_processes(workers: int, stage: Stage[Any], parts: Sequence[Part], folder: Path) -> Iterator[PartRecord]:
    """Yield the records of parts that several processes build, each of which receives the stage once."""
    # "spawn": a fork of a process whose libraries run threads can hang
    spawn, workers = multiprocessing.get_context("spawn"), min(workers, max(1, len(parts)))
    pool = ProcessPoolExecutor(workers, spawn, initializer=_receive, initargs=(stage, folder))
    try:
        for future in as_completed([pool.submit(_build, part) for part in parts]):
            yield future.result()
    except BrokenProcessPool:
        raise SigjepaError(
            "A process of executor=local died, as when memory runs out. Finished parts are kept: give the same command "
            "again, with fewer executor.workers; with executor.workers=1 there is no other process."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def core_count() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main_is_a_command() -> bool:
    """Return whether this is a command of sigjepa: a new process imports a user's script again, and so runs it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name.startswith("sigjepa.")


_received: tuple[Stage[Any], Path]
"""In a process of the pool: what it builds, with all that the stage has loaded, and where."""


def _receive(stage: Stage[Any], folder: Path) -> None:
    global _received  # noqa: PLW0603  (the way of an initializer)
    _received = stage, folder
    end_with_parent()


def _build(part: Part) -> PartRecord:
    stage, folder = _received
    return build_part(stage, part, folder)


def end_with_parent() -> None:
    """Have this worker end when the process that started it does: killed, it can't tell its workers to stop."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
