"""The memory of a process, as Linux counts it."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Self


def memory_kib(field: str) -> int:
    """Return `VmRSS`, what this process holds now, `RssAnon`, its own of it, or `VmHWM`, the most that it has held.

    Not `ru_maxrss`: a process inherits the peak of the process that started it, such as a test runner's.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(f"{field}:")))


def forget_peak() -> None:
    """Let `VmHWM` begin at what this process holds now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


class OwnMemory:
    """The most memory of its own, `RssAnon`, that a process held within this context beyond what it held before."""

    def __init__(self, seconds: float = 0.01) -> None:
        self.seconds, self.peak_mib = seconds, 0.0
        self._over = threading.Event()

    def __enter__(self) -> Self:
        self._before = memory_kib("RssAnon")
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(self.seconds):
            self.peak_mib = max(self.peak_mib, (memory_kib("RssAnon") - self._before) / 1024)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
