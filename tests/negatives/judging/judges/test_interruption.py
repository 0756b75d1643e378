"""Judging in a process that is killed or interrupted: nothing recorded is asked again, nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from chat_server import make_request

from sigjepa.negatives.judging.response_cache import responses_path
from sigjepa.negatives.judging.runner import ask

JUDGE_PROCESS = [sys.executable, str(Path(__file__).parent / "judge_process.py")]


def lines(judge, data_dir):
    return [json.loads(line) for line in responses_path(data_dir, judge).read_text().splitlines()]


def test_nothing_is_judged_twice_or_lost_when_the_process_is_killed_or_interrupted(server, judge, tmp_path):
    """Ended at several places; what is recorded is asked once, what was in flight at most once more an end."""
    server.delay = 0.03
    pairs, concurrency, ends = 160, 4, (signal.SIGKILL, signal.SIGKILL, signal.SIGINT)
    requests = [make_request(number) for number in range(pairs)]
    path = responses_path(tmp_path, judge())
    command = [*JUDGE_PROCESS, server.url, str(tmp_path), str(pairs), str(concurrency)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for number, end in enumerate(ends, start=1):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        while not path.exists() or path.read_bytes().count(b"\n") < 15 * number:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(end)
        _, stderr = process.communicate(timeout=30)
        assert process.returncode != 0
    assert "KeyboardInterrupt" in stderr
    assert "never retrieved" not in stderr
    assert "was destroyed" not in stderr
    interrupted = path.read_bytes()
    assert interrupted.count(b"\n") < pairs
    path.write_bytes(interrupted + b'{"pair": ["a0')  # and once in the middle of a line
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes().startswith(interrupted)
    recorded = [tuple(line["pair"]) for line in lines(judge(), tmp_path)]
    assert sorted(recorded) == [request.pair for request in requests]
    asked_again = sum(count - 1 for count in server.asked.values())
    assert asked_again <= len(ends) * concurrency
    uninterrupted = ask(judge(), requests, tmp_path / "other")
    assert uninterrupted == ask(judge(), requests, tmp_path)
