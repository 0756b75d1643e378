"""Judging in a process that is killed or interrupted: nothing recorded is asked again, nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from chat_server import make_request
from made_up import ledger_lines

from sigjepa.negatives.judging.response_cache import ledgers
from sigjepa.negatives.judging.runner import ask

JUDGE_PROCESS = [sys.executable, str(Path(__file__).parent / "judge_process.py")]


def test_nothing_is_judged_twice_or_lost_when_the_process_is_killed_or_interrupted(server, judge, tmp_path):
    """Ended at several places; what is recorded is asked once, what was in flight at most once more an end."""
    server.delay = 0.03
    pairs, concurrency, ends = 160, 4, (signal.SIGKILL, signal.SIGKILL, signal.SIGINT)
    requests = [make_request(number) for number in range(pairs)]
    command = [*JUDGE_PROCESS, server.url, str(tmp_path), str(pairs), str(concurrency)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for end in ends:
        before = len(ledger_lines(tmp_path, judge()))
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        while len(ledger_lines(tmp_path, judge())) < before + 15:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(end)
        _, stderr = process.communicate(timeout=30)
        assert process.returncode != 0
    assert "KeyboardInterrupt" in stderr
    assert "never retrieved" not in stderr
    assert "was destroyed" not in stderr
    paths = ledgers(tmp_path, judge())
    assert len(paths) == len(ends)
    interrupted = [path.read_bytes() for path in paths]
    assert sum(content.count(b"\n") for content in interrupted) < pairs
    torn = b'{"pair": ["a0'
    paths[-1].write_bytes(interrupted[-1] + torn)  # and once in the middle of a line
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [path.read_bytes() for path in paths] == [*interrupted[:-1], interrupted[-1] + torn]
    lines = [line for line in ledger_lines(tmp_path, judge()) if line != torn.decode()]
    recorded = [tuple(json.loads(line)["pair"]) for line in lines]
    assert sorted(recorded) == [request.pair for request in requests]
    asked_again = sum(count - 1 for count in server.asked.values())
    assert asked_again <= len(ends) * concurrency
    uninterrupted = ask(judge(), requests, tmp_path / "other")
    assert uninterrupted == ask(judge(), requests, tmp_path)
