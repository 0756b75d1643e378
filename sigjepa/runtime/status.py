"""The status of a command: `status.json` in its folder, a line a minute in its log, and another on SIGUSR1."""

import datetime
import logging
import math
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from sigjepa.runtime.processes import is_first_process
from sigjepa.store import progress
from sigjepa.store.files import write_json
from sigjepa.store.progress import SHOWN_BY_A_BAR, Stage, observed

log = logging.getLogger(__name__)

FILE_NAME = "status.json"
SECONDS_BETWEEN_LINES = 60.0
SECONDS_BETWEEN_WRITES = 5.0
WORTH_A_LINE = 5.0
"""Seconds that a stage takes for its end to be logged."""
PACKAGE = str(Path(__file__).parents[1])
TELLERS = (__file__, progress.__file__)
"""What a thread does there is telling where it is, not work."""


class Status:
    """The work of a command; an `Observer` that tells it in lines of the log and, where given, in a file.

    Args:
        path: file that is kept up to date, None for none.
        where: says where the main thread is.
        clock: seconds that only grow.
        seconds_between_lines: how often `tick` logs a line.
    """

    def __init__(
        self,
        path: Path | None,
        where: Callable[[], str] = lambda: place_of(threading.main_thread()),
        clock: Callable[[], float] = time.monotonic,
        seconds_between_lines: float = SECONDS_BETWEEN_LINES,
    ) -> None:
        self.path = path
        self.where = where
        self.clock = clock
        self.seconds_between_lines = seconds_between_lines
        self.started = datetime.datetime.now().astimezone()
        self._stages: list[Stage] = []
        self._facts: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._logged = self._written = clock()
        self._asked: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def began(self, stage: Stage) -> None:
        """Note that a stage has begun."""
        self._stages.append(stage)
        self.write()

    def ended(self, stage: Stage) -> None:
        """Note that a stage is over; the end of a long one is logged, for it may have had no line yet."""
        self._stages.remove(stage)
        self._facts |= stage.facts
        now = self.clock()
        if now - stage.began >= WORTH_A_LINE:
            self._logged = now
            log.info("ended: %s", stage.line(now), extra=SHOWN_BY_A_BAR)
        self.write()

    def line(self) -> str:
        """Return every stage that is going on, the outermost first."""
        now = self.clock()
        return " > ".join(stage.line(now) for stage in list(self._stages)) or "between stages"

    def ask(self) -> None:
        """Have `line` logged within a second; may be called by a signal handler, where logging may not."""
        self._asked.put(True)

    def wait(self, seconds: float) -> None:
        """Wait so long for someone to ask, and answer."""
        try:
            asked = self._asked.get(timeout=seconds)
        except queue.Empty:
            return
        if asked:
            log.info("status: %s", self.line())
            self.write()

    def stop_waiting(self) -> None:
        """Have a thread that waits return at once."""
        self._asked.put(False)

    def tick(self) -> None:
        """Log and write what has become due; a command without a folder that waits, such as a page, is silent."""
        now = self.clock()
        told = max([self._logged, *(stage.told for stage in list(self._stages))])
        if now - told >= self.seconds_between_lines:
            self._logged = now
            if self._stages or self.path is not None:
                log.info("%s", self.line(), extra=SHOWN_BY_A_BAR)
        if now - self._written >= SECONDS_BETWEEN_WRITES:
            self.write()

    def as_dict(self) -> dict[str, Any]:
        """Return what the file holds; `stage` is the innermost, `eta_seconds` of it."""
        now, stages = self.clock(), list(self._stages)
        facts = dict(self._facts)
        for stage in stages:
            facts |= stage.facts
        inner = stages[-1] if stages else None
        return {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started": self.started.isoformat(timespec="seconds"),
            "updated": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "stage": inner.name if inner else None,
            "within": [stage.name for stage in stages[:-1]],
            "unit": inner.unit if inner else None,
            "done": inner.done if inner else None,
            "total": inner.total if inner else None,
            "rate": inner.rate(now) if inner else None,
            "eta_seconds": inner.eta(now) if inner else None,
            "at": self.where(),
            **facts,
        }

    def write(self) -> None:
        """Write the file, atomically; a disk that is full ends no run that could go on."""
        with self._lock:
            self._written = self.clock()
            if self.path is None:
                return
            try:
                write_json(self.path, self.as_dict())
            except OSError as error:
                log.warning("%s can't be written (%s); it is written no more, the run goes on.", self.path, error)
                self.path = None


def place_of(thread: threading.Thread) -> str:
    """Return `<file>:<line> in <function>` that a thread is at: the innermost in this package, else the innermost."""
    innermost = frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and not is_work(frame.f_code.co_filename):
        frame = frame.f_back
    frame = frame or innermost
    if frame is None:
        return "an unknown place"
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} in {frame.f_code.co_name}"


def is_work(file: str) -> bool:
    """Return whether code in `file` is this package's and does what the command is for."""
    return file.startswith(PACKAGE) and file not in TELLERS


@contextmanager
def answered_on_signal(status: Status) -> Iterator[None]:
    """SIGUSR1 has the status logged, and whatever handled it before is called, too; main thread only."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGUSR1"):
        yield
        return

    def answer(number: int, frame: FrameType | None) -> None:
        status.ask()
        if callable(before):
            before(number, frame)

    before = signal.getsignal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, answer)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGUSR1) is answer:  # another may have chained to it, and still be there
            signal.signal(signal.SIGUSR1, before)


@contextmanager
def kept_up_to_date(status: Status, seconds: float = 1.0) -> Iterator[None]:
    """Log and write what becomes due in a thread, so that a stage stuck in one long step is told of as well."""
    over = threading.Event()

    def keep() -> None:
        while not over.is_set():
            status.wait(seconds)
            status.tick()

    keeper = threading.Thread(target=keep, name="status", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        status.stop_waiting()
        keeper.join()
        status.write()


@contextmanager
def visible(folder: Path | None) -> Iterator[Status]:
    """All that makes a command's work visible, for as long as it runs; `folder`: where its status file goes.

    Of several processes of a run the first tells; the others only answer a signal by saying where they are.
    """
    with ExitStack() as stack:
        if is_first_process():
            status = Status(folder / FILE_NAME if folder is not None else None)
            stack.enter_context(observed(status))
        else:
            status = Status(None, seconds_between_lines=math.inf)
        if sys.stderr.isatty():
            stack.enter_context(log_above_bars())
        stack.enter_context(kept_up_to_date(status))
        stack.enter_context(answered_on_signal(status))
        yield status


@contextmanager
def log_above_bars() -> Iterator[None]:
    """On a terminal log lines go above the bar, not into it, and those that say what it shows go to files alone."""
    from tqdm.contrib.logging import logging_redirect_tqdm  # noqa: PLC0415 - slow, and for terminals alone

    with logging_redirect_tqdm():  # puts handlers of its own in place of the console's
        for handler in logging.getLogger().handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(lambda record: not hasattr(record, "shown_by_a_bar"))
        yield


def process_state(status: dict[str, Any]) -> str:
    """Return what the status file of a run that is said to be running shows: it is still running, or it was killed."""
    pid, host, updated = status.get("pid"), status.get("host"), status.get("updated")
    if not isinstance(pid, int) or pid <= 0:
        return "still running, or was killed"
    if host != socket.gethostname():
        return f"running on {host}, or was killed there; its last sign of life is of {updated}"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return f"was killed: its process {pid} is gone, and its last sign of life is of {updated}"
    except PermissionError:
        return f"still running, as process {pid} of another user"
    return f"still running, as process {pid}"
