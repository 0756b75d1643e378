"""Judging as a user runs it: agreement with hand labels, and an endpoint that is not there."""

import json
import re
from pathlib import Path

LABELLED = Path(__file__).parents[1] / "negatives" / "labelled_pairs.jsonl"


def test_agreement_with_hand_labels(run, tmp_path):
    done = run("judge_agreement", f"labels={LABELLED}", cwd=tmp_path, SIGJEPA_DATA_DIR=str(tmp_path / "data"))
    assert "| rows: labelled_pairs.jsonl, columns: structural (heuristic) | 0 | 1 | 2 | 3 | all |" in done.stdout
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
