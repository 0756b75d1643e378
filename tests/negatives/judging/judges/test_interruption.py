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


def test_nothing_is_judged_twice_or_lost_when_the_process_is_killed(server, judge, tmp_path):
    """kill -9 at several places; what is recorded is asked once, what was in flight at most once more a kill."""
    server.delay = 0.03
    pairs, concurrency, kills = 160, 4, 3
    requests = [make_request(number) for number in range(pairs)]
    path = responses_path(tmp_path, judge())
    command = [*JUDGE_PROCESS, server.url, str(tmp_path), str(pairs)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for kill in range(kills):
        process = subprocess.Popen([*command, str(concurrency)], env=environment)
        while not path.exists() or path.read_bytes().count(b"\n") < 15 * (kill + 1):
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
        process.wait()
    interrupted = path.read_bytes()
    assert interrupted.count(b"\n") < pairs
    path.write_bytes(interrupted + b'{"pair": ["a0')  # and once in the middle of a line
    done = subprocess.run([*command, str(concurrency)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert path.read_bytes().startswith(interrupted)
    recorded = [tuple(line["pair"]) for line in lines(judge(), tmp_path)]
    assert sorted(recorded) == [request.pair for request in requests]
    asked_again = sum(count - 1 for count in server.asked.values())
    assert asked_again <= kills * concurrency
    uninterrupted = ask(judge(), requests, tmp_path / "other")
    assert uninterrupted == ask(judge(), requests, tmp_path)


def test_interrupting_keeps_what_was_judged(server, tmp_path, judge):
    server.delay = 0.05
    path = responses_path(tmp_path, judge())
    process = subprocess.Popen(
        [*JUDGE_PROCESS, server.url, str(tmp_path), "200", "4"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not path.exists() or path.read_bytes().count(b"\n") < 10:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in stderr
    assert "never retrieved" not in stderr
    assert "was destroyed" not in stderr
    assert 10 <= len(lines(judge(), tmp_path)) < 200
