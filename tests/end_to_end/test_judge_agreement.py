"""`sigjepa.judge_agreement`, and a judge that can't be asked, as a user runs them."""

import json
import re
import time
from pathlib import Path

LABELLED = Path(__file__).parents[1] / "negatives" / "labelled_pairs.jsonl"


def written(folder):
    (path,) = folder.glob("outputs/judge_agreement/*/judge_agreement.json")
    return json.loads(path.read_text())


def test_a_judge_against_hand_labels(run, tmp_path):
    done = run("judge_agreement", f"labels={LABELLED}", cwd=tmp_path)
    assert "| rows: labelled_pairs.jsonl, columns: structural (heuristic) | 0 | 1 | 2 | 3 | all |" in done.stdout
    assert re.search(
        r"^\| Cohen's κ, quadratic weights \| 0\.\d\d \| 0\.\d\d to 0\.\d\d \|$", done.stdout, re.MULTILINE
    )
    record = written(tmp_path)
    assert (record["pairs"], record["pairs_put"]) == (72, 72)
    assert sum(map(sum, record["confusion"])) == 72


def test_two_judges_on_the_pairs_of_an_experiment(run, tmp_path):
    words = ["experiment=exp2_1", "data=tiny", "negatives.tiers=null", "judge.related_from=0.45", "pairs=20"]
    run("judge_agreement", *words, cwd=tmp_path)
    record = written(tmp_path)
    assert record["pairs"] == 20
    assert record["judge"]["fingerprint"]["related_from"] == 0.45
    assert record["reference"]["fingerprint"]["related_from"] == 0.35


def test_a_judge_agrees_with_itself(run, tmp_path):
    done = run("judge_agreement", "experiment=exp2_1", "data=tiny", cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "sigjepa: judge= and judge@reference= are both 'structural (heuristic)'" in done.stderr


def test_an_experiment_that_mines_nothing(run, tmp_path):
    done = run("judge_agreement", "data=tiny", "judge.related_from=0.45", cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "sigjepa: exp1_4 mines no pairs to judge" in done.stderr


def test_an_endpoint_that_is_down_is_one_message(run, tmp_path):
    words = ["experiment=exp2_1", "data=tiny", "negatives.tiers=null", "judge=openai", "judge.model=tiny"]
    started = time.perf_counter()
    done = run("prepare", *words, "judge.base_url=http://127.0.0.1:9/v1", cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "sigjepa: judge.base_url=http://127.0.0.1:9/v1 does not answer" in done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(r"0 already judged, \d+ to ask; about [\d,]+ prompt tokens", done.stdout)
    assert time.perf_counter() - started < 60
