import io
import json
import logging
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
import time

import pytest

from sigjepa.runtime.status import Status, answered_on_signal, log_above_bars, process_state, visible
from sigjepa.store.progress import Stage, progress, stage


class Clock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def status(tmp_path, clock):
    return Status(tmp_path / "status.json", where=lambda: "encoder.py:7 in encode", clock=clock)


def read(tmp_path):
    return json.loads((tmp_path / "status.json").read_text())


def test_a_stage_has_one_line_a_minute(status, clock, caplog):
    caplog.set_level(logging.INFO)
    one = Stage("embed", total=1000, unit="function", began=clock.now)
    status.began(one)
    for second in range(300):
        clock.now += 1
        one.done = second + 1
        status.tick()
    assert len(caplog.messages) == 5
    assert caplog.messages[0] == ("embed: 60/1,000 function, 6 %, 1 function/s, 01:00 so far, 15:40 left")


def test_work_that_makes_no_stage_has_its_line_too(status, clock, caplog):
    caplog.set_level(logging.INFO)
    clock.now += 60
    status.tick()
    assert caplog.messages == ["between stages"]


def test_a_page_that_waits_for_requests_has_no_line(clock, caplog):
    caplog.set_level(logging.INFO)
    waiting = Status(None, clock=clock)
    clock.now += 60
    waiting.tick()
    assert caplog.messages == []


def test_the_end_of_a_stage_is_logged_if_it_was_long(status, clock, caplog):
    caplog.set_level(logging.INFO)
    for seconds in (4, 6):
        one = Stage(f"{seconds} seconds", total=2, began=clock.now)
        status.began(one)
        clock.now += seconds
        one.done = 2
        status.ended(one)
    assert caplog.messages == ["ended: 6 seconds: 2/2 it, 100 %, 0.333 it/s, 00:06 so far, 00:00 left"]


def test_the_file_says_where_the_command_is(status, clock, tmp_path):
    outer, inner = Stage("train", 100, "step", began=clock.now), Stage("validate", 20, "batch", began=clock.now)
    outer.facts |= {"epoch": 2, "step": 10, "val/rank10": 0.5}
    status.began(outer)
    status.began(inner)
    clock.now += 5
    inner.done = 10
    status.tick()
    told = read(tmp_path)
    assert (told["pid"], told["host"]) == (os.getpid(), socket.gethostname())
    assert (told["stage"], told["within"], told["unit"]) == ("validate", ["train"], "batch")
    assert (told["done"], told["total"], told["rate"], told["eta_seconds"]) == (10, 20, 2.0, 5.0)
    assert (told["epoch"], told["step"], told["val/rank10"]) == (2, 10, 0.5)
    status.ended(inner)
    status.ended(outer)
    assert (read(tmp_path)["stage"], read(tmp_path)["val/rank10"]) == (None, 0.5)  # the last score stays


def test_the_file_is_written_every_few_seconds_and_when_a_stage_begins_or_ends(status, clock, tmp_path, monkeypatch):
    times = []
    monkeypatch.setattr("sigjepa.runtime.status.write_json", lambda path, value: times.append(clock.now - 1000))
    one = Stage("embed", began=clock.now)
    clock.now += 2
    status.began(one)
    for _ in range(14):
        clock.now += 1
        status.tick()
    status.ended(one)
    assert times == [2, 7, 12, 16]


def test_a_full_disk_is_said_once_and_ends_nothing(status, clock, caplog, monkeypatch):
    def full(path, value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sigjepa.runtime.status.write_json", full)
    for _ in range(3):
        clock.now += 5
        status.tick()
    (message,) = caplog.messages
    assert "status.json can't be written" in message
    assert "No space left" in message


def test_a_signal_is_answered_by_one_line_and_what_handled_it_before_is_called_and_comes_back(status, caplog):
    caplog.set_level(logging.INFO)
    numbers = []

    def before(number, frame):
        numbers.append(number)

    earlier = signal.signal(signal.SIGUSR1, before)
    try:
        with answered_on_signal(status):
            signal.raise_signal(signal.SIGUSR1)
            status.wait(1)
        assert signal.getsignal(signal.SIGUSR1) is before
    finally:
        signal.signal(signal.SIGUSR1, earlier)
    assert numbers == [signal.SIGUSR1]
    assert caplog.messages == ["status: between stages"]


def test_a_handler_that_chained_to_ours_is_left_alone(status):
    def other(number, frame):
        return None

    earlier = signal.getsignal(signal.SIGUSR1)
    try:
        with answered_on_signal(status):
            signal.signal(signal.SIGUSR1, other)
        assert signal.getsignal(signal.SIGUSR1) is other
    finally:
        signal.signal(signal.SIGUSR1, earlier)


def test_a_command_is_visible_and_says_so_when_it_is_over(tmp_path):
    with visible(tmp_path), stage("outer"):
        for _ in progress(range(3), "inner"):
            assert read(tmp_path)["stage"] == "inner"
            assert read(tmp_path)["within"] == ["outer"]
    assert read(tmp_path)["stage"] is None


@pytest.mark.parametrize("variable", ["RANK", "LOCAL_RANK", "SLURM_PROCID"])
def test_only_the_first_process_of_a_run_writes_the_file_and_logs_unasked(tmp_path, monkeypatch, caplog, variable):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv(variable, "1")
    with visible(tmp_path) as status, stage("training") as one:
        assert not list(tmp_path.iterdir())
        one.began -= 100
        status.clock = lambda: time.monotonic() + 100
        status.tick()
    assert not caplog.messages


COMMAND = """
import logging, sys, time
from pathlib import Path
from sigjepa.store.progress import progress
from sigjepa.runtime.status import visible

folder = Path(sys.argv[1])
logging.basicConfig(level="INFO", handlers=[logging.StreamHandler(sys.stdout), logging.FileHandler(folder / "log")])
with visible(folder), progress(None, "waiting", total=100, unit="step") as bar:
    bar.update(40)
    while not (folder / "enough").exists():
        time.sleep(0.01)
"""


def test_sigusr1_tells_where_a_process_is_and_lets_it_go_on(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", COMMAND, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    wait_for(lambda: (tmp_path / "status.json").exists() and read(tmp_path)["stage"] == "waiting")
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGUSR1)
    wait_for(lambda: "status:" in (tmp_path / "log").read_text())
    assert process_state(read(tmp_path)) == f"still running, as process {process.pid}"
    (tmp_path / "enough").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert "waiting: 40/100 step, 40 %" in (tmp_path / "log").read_text()
    assert "was killed" in process_state(read(tmp_path) | {"pid": process.pid})


def test_on_a_terminal_the_bar_and_the_log_have_lines_of_their_own(tmp_path):
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    script = COMMAND.replace("    bar.update(40)\n", "    bar.start_t -= 5\n    bar.update(40)\n    bar.refresh()\n")
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=theirs, stderr=theirs)
    os.close(theirs)
    wait_for(lambda: (tmp_path / "status.json").exists() and read(tmp_path)["stage"] == "waiting")
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGUSR1)
    wait_for(lambda: "status:" in (tmp_path / "log").read_text())
    (tmp_path / "enough").touch()
    assert process.wait(timeout=60) == 0
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert re.search(r"waiting:  40%\|.*\| 40/100", shown)
    (line,) = [line for line in re.split(r"[\r\n]", shown) if "status:" in line]
    assert "|" not in line
    assert "|" not in (tmp_path / "log").read_text()


def test_on_a_terminal_what_a_bar_shows_goes_to_files_alone(tmp_path, monkeypatch, clock):
    root = logging.getLogger()
    console, file = io.StringIO(), logging.FileHandler(tmp_path / "log")
    monkeypatch.setattr("sys.stderr", console)
    monkeypatch.setattr(root, "handlers", [logging.StreamHandler(console), file])
    monkeypatch.setattr(root, "level", logging.INFO)
    status = Status(tmp_path / "status.json", where=lambda: "here", clock=clock)
    with log_above_bars():
        clock.now += 60
        status.tick()
        status.ask()
        status.wait(1)
    file.close()
    assert (tmp_path / "log").read_text() == "between stages\nstatus: between stages\n"
    assert console.getvalue().split("\n")[0].strip() == "status: between stages"


def wait_for(condition, seconds=60):
    """Return once `condition` holds; fail if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


def test_signs_of_life_elsewhere_and_of_nobody():
    assert process_state({}) == "still running, or was killed"
    far = process_state({"pid": 1, "host": "another", "updated": "2026-01-01T00:00:00+00:00"})
    assert "another" in far
    assert "2026-01-01" in far
    assert "still running" in process_state({"pid": os.getpid(), "host": socket.gethostname()})
