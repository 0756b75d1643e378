"""The endpoint judge against `transformers serve` with a tiny random model: gibberish, so every outcome is recorded."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from chat_server import make_request
from made_up import ledger_lines

from sigjepa.negatives.judging.judges.openai_judge import OpenAIJudge
from sigjepa.negatives.judging.runner import ask

COMMAND = [sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve"]


@pytest.fixture(scope="module")
def address(qwen, tmp_path_factory):
    """Where `transformers serve` answers with the tiny model."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    with log.open("w") as stream:
        process = subprocess.Popen([*COMMAND, str(qwen), *options], env=environment, stdout=stream, stderr=stream)
    try:
        deadline = time.monotonic() + 180
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                    break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.slow  # transformers takes 12 s to start; test_openai_judge.py and test_strange_endpoint.py ask a stand-in
def test_each_pair_gets_a_recorded_outcome(address, qwen: Path, tmp_path):
    judge = OpenAIJudge(address, str(qwen), max_answer_tokens=8, concurrency=2)
    requests = [make_request(number) for number in range(4)]
    answers = ask(judge, requests, tmp_path)
    assert answers.keys() == {request.pair for request in requests}
    lines = [json.loads(line) for line in ledger_lines(tmp_path, judge)]
    assert len(lines) == len(requests)
    for line in lines:
        assert line["model"] == str(qwen)
        if line["score_c"] is None:  # as good as always: the model's weights are random
            assert line["reason"].startswith("parse_error: ")
            assert isinstance(line["details"]["answer"], str)
        assert line["details"]["completion_tokens"] > 0
    assert ask(judge, requests, tmp_path) == answers
