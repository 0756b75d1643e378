"""The report and the evaluation of real runs, as a user starts them."""

import json
import os
import shutil
import time
from collections import Counter

import pytest
from wandb_reader import history, of_type, read_records, tables, transaction_log

from sigjepa.errors import SigjepaError
from sigjepa.report import check_numbers
from sigjepa.training.wandb_names import IDENTITY

EXPERIMENTS = ["exp1_4", "exp2_1", "exp2_2", "hardneg_curriculum"]


@pytest.fixture(scope="module")
def reported(sweep, run, tmp_path_factory):
    """The report of the sweep, and what the command printed."""
    folder = tmp_path_factory.mktemp("reported")
    done = run("report", f"runs={sweep}", "explorer_queries=3", cwd=folder)
    return folder / "report", done.stdout


def test_a_sweep_becomes_one_folder(reported):
    output, printed = reported
    assert "4 of 4 runs finished" in printed
    assert {path.name for path in output.iterdir()} == {"report.md", "report.html", "figures"}
    drawn = {path.stem for path in (output / "figures").iterdir()}
    assert drawn == {"curves", "differences", "health", "mined", "ceiling"}


def test_the_report_tells_of_runs_baselines_tests_and_ceiling(reported):
    markdown = (reported[0] / "report.md").read_text()
    for name in (*EXPERIMENTS, "teacher zero-shot, whitened", "BM25 + zero-shot", "random"):
        assert f"| {name} " in markdown
    assert "One seed each: the noise of seeds is unknown" in markdown
    assert "nearest other ≥ 0.90" in markdown
    assert "queries are missed at Rank@10" in markdown or "Undecided" in markdown
    assert "| `loss.infonce.mined_candidates`" in markdown
    assert "python -m sigjepa.report runs=" in markdown


def test_the_page_shows_the_explorer_without_a_network(reported):
    page = (reported[0] / "report.html").read_text()
    assert 'id="explorer-data"' in page
    assert page.count('<div class="plot"') == 5
    assert 'http-equiv="refresh"' not in page


def test_latest_is_the_sweep_that_was_written_last(sweep, run, tmp_path):
    (tmp_path / "multirun").mkdir()
    older, newer = tmp_path / "multirun" / "older", tmp_path / "multirun" / "newer"
    shutil.copytree(sweep, older, ignore=shutil.ignore_patterns("*exp2_*", "*hardneg*"))
    shutil.copytree(sweep, newer, ignore=shutil.ignore_patterns("*exp2_2*", "*hardneg*"))
    for path in newer.glob("*/summary.json"):
        os.utime(path, (path.stat().st_mtime + 100,) * 2)
    done = run("report", "runs=latest", "explorer_queries=0", "wandb=offline", cwd=tmp_path)
    assert "runs in multirun/newer" in done.stdout
    assert "2 of 4 runs finished" in done.stdout
    logged = {
        key.removesuffix("._type") for row in history(read_records(transaction_log(tmp_path / "report"))) for key in row
    }
    assert {"report/curves", "report/health", "report/ceiling"} <= logged
    assert [row["run"] for row in tables(tmp_path / "report")["report/results"]] == [
        "exp1_4, seed 0",
        "exp2_1, seed 0",
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["runs=empty"], "There is no run in empty"),
        (["runs=latest"], "There is no run below multirun or outputs here"),
        (["runs=empty", "epochs=5"], "epochs=5: give a list"),
        (["runs=empty", "explorer_queries=2.5"], "explorer_queries=2.5: give a whole number"),
    ],
)
def test_a_mistake_is_one_clear_message(run, tmp_path, overrides, message):
    (tmp_path / "empty").mkdir()
    done = run("report", *overrides, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        {"power": "x"},
        {"power": -1},
        {"explorer_queries": "x"},
        {"explorer_queries": 2.5},
        {"refresh_seconds": 0},
        {"epochs": 5},
        {"epochs": None},
        {"epochs": ["x"]},
        {"epochs": [-1]},
    ],
)
def test_a_setting_that_is_no_number_in_its_range_is_named(wrong):
    right = {"power": None, "refresh_seconds": 30, "explorer_queries": 0, "epochs": [0, 5]}
    check_numbers(right)
    with pytest.raises(SigjepaError, match=next(iter(wrong))):
        check_numbers(right | wrong)


def test_a_watched_report_follows_a_run_to_its_end(sweep, start, tmp_path):
    folder = tmp_path / "runs" / "a"
    shutil.copytree(next(sweep.glob("*exp1_4*")), folder)
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "files.json").unlink()  # a run that goes on has no digests of its files yet
    (folder / "summary.json").write_text(json.dumps(summary | {"status": "running"}))
    page = tmp_path / "report" / "report.html"
    watching = start("report", "runs=runs", "watch=true", "refresh_seconds=1", cwd=tmp_path)
    try:
        deadline = time.monotonic() + 120
        while not page.exists() and time.monotonic() < deadline and watching.poll() is None:
            time.sleep(0.2)
        first = page.read_text()
        assert watching.poll() is None
        (folder / "summary.json").write_text(json.dumps(summary))
        assert watching.wait(120).returncode == 0
    finally:
        watching.kill()
    assert "0 of 1 runs are finished" in first
    assert 'http-equiv="refresh" content="1"' in first
    assert "1 of 1 runs are finished" in page.read_text()


def test_evaluate_prints_baselines_and_ceiling(run, tmp_path):
    done = run("evaluate", "baseline=all", "data=tiny", "hydra.run.dir=out", cwd=tmp_path)
    for name in ("random", "mean body", "teacher zero-shot, centred", "BM25", "BM25 + zero-shot"):
        assert f"| {name} " in done.stdout
    assert "needed for 90%" in done.stdout
    assert {"baselines", "baselines.json", "ceiling.json"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert json.loads((tmp_path / "out" / "ceiling.json").read_text())["plateaus"] == {}


def test_evaluate_gives_a_verdict_on_a_run(sweep, run, tmp_path):
    folder = next(sweep.glob("*exp1_4*"))
    words = ("baseline=zero_shot", f"run={folder}", "hydra.run.dir=out")
    done = run("evaluate", *words, cwd=tmp_path, SIGJEPA_DATA_DIR="")  # the artifacts are where the run says
    assert "exp1_4, seed 0:" in done.stdout
    (plateau,) = json.loads((tmp_path / "out" / "ceiling.json").read_text())["plateaus"].values()
    summary = json.loads((folder / "summary.json").read_text())
    assert plateau["rank10"] == pytest.approx(summary["test/rank10"], abs=1e-6)
    parts = sum(plateau["parts"].values())
    assert parts == pytest.approx(1 - plateau["rank10"], abs=1e-6)


def test_evaluate_refuses_words_that_contradict_the_run_before_anything_is_built(sweep, run, tmp_path):
    folder = next(sweep.glob("*exp1_4*"))
    words = ("evaluate", "data=tiny", "size.max_functions=200", "teacher=qwen2_5_coder_3b", f"run={folder}")
    done = run(*words, cwd=tmp_path, check=False, SIGJEPA_DATA_DIR="nowhere")
    assert done.returncode == 1
    assert "size.max_functions" in done.stderr
    assert "teacher.name" in done.stderr
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.slow  # trains six times
def test_settings_of_one_name_are_told_apart_by_the_commands(run, tmp_path):
    few = ("data=tiny", "trainer.max_epochs=1", "model.layers=1", "baseline=[zero_shot]", "explorer_queries=0")
    teacher = ("teacher=minilm", "teacher.max_body_tokens=64,128", "logger=none")
    run("train", "-m", "optimizer.lr=1e-4,1e-2", "seed=0,1", *few[:-1], "hydra.sweep.dir=rates", cwd=tmp_path)
    run("train", "-m", *teacher, *few[:-1], "hydra.sweep.dir=teachers", cwd=tmp_path)
    folders = [path for path in (tmp_path / "rates").iterdir() if path.is_dir()]
    sent = [read_records(transaction_log(folder)) for folder in folders]
    identities = [
        record["update"][IDENTITY] for one in sent for record in of_type(one, "config") if IDENTITY in record["update"]
    ]
    assert sorted(Counter(identities).values()) == [2, 2]
    assert {record["run_group"] for one in sent for record in of_type(one, "run")} == {"rates"}
    run("report", "runs=rates", "output=a", few[-1], "power=20", cwd=tmp_path)
    said = (tmp_path / "a" / "report.md").read_text()
    for rate in ("0.0001", "0.01"):
        assert f"| exp1_4 · optimizer.lr={rate} " in said
    assert "2 experiments called exp1_4, the best on val Rank@10" in said
    assert "a true difference of 20 points of test Rank@10" in said
    run("report", "runs=teachers", "output=b", few[-1], cwd=tmp_path)
    rows = [line for line in (tmp_path / "b" / "report.md").read_text().splitlines() if "zero-shot, beside" in line]
    assert Counter(row.partition("=")[2].split()[0] for row in rows) == {"64": 2, "128": 2}  # in both tables
