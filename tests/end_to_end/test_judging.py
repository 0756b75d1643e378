"""Judging as a user runs it: agreement with hand labels, and an endpoint that is not there."""

import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "negatives" / "judging" / "judges"))

from chat_server import MODEL, Reply, chat_server

LABELED = Path(__file__).parents[1] / "negatives" / "labeled_pairs.jsonl"


def test_agreement_with_hand_labels(run, tmp_path):
    done = run("judge_agreement", f"labels={LABELED}", cwd=tmp_path, SIGJEPA_DATA_DIR=str(tmp_path / "data"))
    assert "| rows: labeled_pairs.jsonl, columns: structural (heuristic) | 0 | 1 | 2 | 3 | all |" in done.stdout
    (path,) = tmp_path.glob("outputs/judge_agreement/*/judge_agreement.json")
    assert json.loads(path.read_text())["pairs"] == 72


def test_an_endpoint_that_is_down_is_one_message(run, tmp_path):
    words = [
        "experiment=exp2_1",
        "data=tiny",
        "negatives.tiers=null",
        "negatives/judge=openai",
        "negatives.judge.model=tiny",
    ]
    done = run("prepare", *words, "negatives.judge.base_url=http://127.0.0.1:9/v1", cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "sigjepa: negatives.judge.base_url=http://127.0.0.1:9/v1 does not answer" in done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(r"0 already judged, \d+ to ask; about [\d,]+ prompt tokens", done.stdout)


def test_what_a_strange_endpoint_says_is_shown_and_kept_without_the_key(run, tmp_path):
    key = "quartz-zebra-4711"  # of no known shape, in a variable whose name says nothing
    spoken = json.dumps({"reason": f"\x1b[2J{key}", "score_c": 1})
    refusal = Reply(404, {"error": {"message": f"\x1b]0;pwned\x07no such model for {key}"}})
    with chat_server() as server:
        server.behavior = lambda number, attempt: (
            Reply(message={"content": spoken}) if len(server.bodies) == 1 else refusal
        )
        done = run(
            *("judge_agreement", f"labels={LABELED}", "negatives/judge=openai", f"negatives.judge.model={MODEL}"),
            *(f"negatives.judge.base_url={server.url}", "negatives.judge.api_key_env=JUDGE_ACCESS"),
            cwd=tmp_path,
            check=False,
            JUDGE_ACCESS=key,
            SIGJEPA_DATA_DIR=str(tmp_path / "data"),
        )
        assert f"Bearer {key}" in server.keys
    assert done.returncode == 1
    assert "HTTP 404: ]0;pwned no such model for <credential>" in done.stderr
    assert "1 of 72 " in done.stderr
    assert not any("\x1b]0" in text or key in text for text in (done.stdout, done.stderr))
    contents = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"<credential>" in content for content in contents)
    assert not any(key.encode() in content for content in contents)
