"""The memory of a process, as Linux counts it."""

from pathlib import Path


def memory_kib(field: str) -> int:
    """Return `VmRSS`, what this process holds now, or `VmHWM`, the most that it has held.

    Not `ru_maxrss`: a process inherits the peak of the process that started it, such as a test runner's.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(f"{field}:")))


def forget_peak() -> None:
    """Let `VmHWM` begin at what this process holds now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
