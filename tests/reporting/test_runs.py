import json
import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.metrics import RecallAt, default_metrics
from sigjepa.evaluation.rank_files import write_ranks
from sigjepa.evaluation.ranks import Ranks
from sigjepa.reporting.run_files import read_rows
from sigjepa.reporting.runs import (
    all_metrics,
    by_experiment,
    common_metrics,
    find_runs,
    finished_runs,
    latest_folder,
    readable_for,
    run_folders,
)


def test_a_run_gives_back_what_its_files_hold(make_run):
    run = make_run("a", seed=3, skill=1.0)
    assert (run.experiment, run.seed, run.status, run.pool()) == ("exp1_4", 3, "finished", "xxh3_128:a")
    ids, ranks = run.ranks("test")
    assert ids.tolist() == list(range(200, 240))
    assert ranks.recall_at(10).mean() == run.queries("test").means()["rank10"] == 1
    assert run.baseline_queries("zero_shot", "val").means()["rank5"] == 1
    assert (run.monitor, run.metrics["mrr"].label) == ("val/rank10", "MRR")
    ids, predictions = run.predictions("val")
    assert predictions.shape == (40, 8)
    assert list(run.curve("val/rank10")) == [0, 1, 2, 3]
    assert run.config["teacher"] == {"name": "minilm"}


def test_runs_of_every_status_are_found_and_none_is_dropped(make_run, tmp_path):
    make_run("a")
    for name, status in (("b", "running"), ("c", "failed")):
        make_run(name, seed=1)
        (tmp_path / name / "summary.json").write_text(json.dumps({"status": status, "error": "out of memory"}))
    (tmp_path / "experiment=exp2_1,seed=7" / ".hydra").mkdir(parents=True)
    (tmp_path / "experiment=exp2_1,seed=7" / ".hydra" / "overrides.yaml").write_text("- experiment=exp2_1\n- seed=7\n")
    runs = {run.status: run for run in find_runs([tmp_path])}
    assert set(runs) == {"finished", "running", "failed", "missing"}
    assert "out of memory" in runs["failed"].reason
    assert "killed" in runs["running"].reason
    assert "no summary.json" in runs["missing"].reason
    assert (runs["missing"].experiment, runs["missing"].seed) == ("exp2_1", 7)
    assert [run.folder.name for run in finished_runs(list(runs.values()))] == ["a"]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"pid": os.getpid(), "host": socket.gethostname()}, f"still running, as process {os.getpid()}"),
        ({"pid": 2**31 - 1, "host": socket.gethostname(), "updated": "today"}, "was killed: its process 2147483647"),
        ({"pid": 1, "host": "another", "updated": "today"}, "another, or was killed there"),
        ("damaged", "still running, or was killed"),
        ("[1]", "still running, or was killed"),
    ],
    ids=["alive", "gone", "elsewhere", "damaged", "list"],  # which are the same in every process of the suite
)
def test_a_run_that_was_killed_is_told_from_one_that_goes_on(make_run, tmp_path, status, reason):
    make_run("a")
    (tmp_path / "a" / "summary.json").write_text(json.dumps({"status": "running"}))
    text = status if isinstance(status, str) else json.dumps(status)
    (tmp_path / "a" / "status.json").write_text(text)
    (run,) = find_runs([tmp_path])
    assert run.status == "running"
    assert reason in run.reason


def test_a_figure_that_a_summary_lacks_is_named(make_run, tmp_path):
    make_run("a")
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    (tmp_path / "a" / "summary.json").write_text(json.dumps(summary | {"test/rank10": None}))
    (run,) = find_runs([tmp_path])
    assert run.figure("val/rank10") == summary["val/rank10"]
    with pytest.raises(SigjepaError, match=r"a/summary\.json .*'test/rank10'"):
        run.figure("test/rank10")


def test_a_folder_named_twice_gives_its_runs_once(make_run, tmp_path):
    make_run("a")
    assert len(find_runs([tmp_path, tmp_path / "a"])) == 1


def test_no_runs_no_folder_and_no_finished_run_are_errors(make_run, tmp_path):
    with pytest.raises(SigjepaError, match="runs="):
        find_runs([tmp_path])
    with pytest.raises(SigjepaError, match="nowhere.*runs="):
        find_runs([tmp_path / "nowhere"])
    make_run("a")
    (tmp_path / "a" / "summary.json").write_text('{"status": "running"}')
    with pytest.raises(SigjepaError, match=r"a: running.*watch=true"):
        finished_runs(find_runs([tmp_path]))


def test_a_run_whose_best_checkpoint_never_saw_what_it_is_called_for_is_not_tested(make_run):
    infonce = {"negatives": {"_target_": "knn"}, "loss": {"infonce": {"mined_candidates": "union"}}}
    for config, mined in (({}, False), (infonce, True)):
        make_run(f"began-{mined}", mined=mined, config=config).check_began()
    with pytest.raises(SigjepaError, match="epoch.* 3"):
        make_run("never", config=infonce).check_began()
    late = make_run("late")
    summary = late.summary | {"never_began": "callbacks.refresh begins in epoch 9"}
    with pytest.raises(SigjepaError, match=r"callbacks\.refresh"):
        replace(late, summary=summary).check_began()


def test_a_damaged_run_names_the_file_and_the_others_go_on(make_run, tmp_path):
    for name in "abc":
        make_run(name)
    (tmp_path / "a" / "summary.json").write_text('{"status": ')
    write_ranks(tmp_path / "b" / "ranks.npz", {"val": (np.arange(3), Ranks(np.array([1, 2, 9]), np.array([1, 2, 9])))})
    runs = {run.folder.name: readable_for(run, "test") for run in find_runs([tmp_path])}
    assert {name: run.status for name, run in runs.items()} == {"a": "unreadable", "b": "unreadable", "c": "finished"}
    assert "a/summary.json" in runs["a"].reason
    assert "b/ranks.npz" in runs["b"].reason


@pytest.mark.parametrize("job", [None, '{"settings": {}}', '{"experiment": {}}', '{"experiment": 1}'])
def test_a_finished_run_that_does_not_say_its_experiment_is_no_seed_of_another(make_run, tmp_path, job):
    make_run("a")
    make_run("b", seed=1)
    (tmp_path / "b" / "job.json").unlink()
    if job is not None:
        (tmp_path / "b" / "job.json").write_text(job)
    runs = {run.folder.name: run for run in find_runs([tmp_path])}
    assert {name: run.status for name, run in runs.items()} == {"a": "finished", "b": "unreadable"}
    assert "b/job.json" in runs["b"].reason


def test_a_run_that_has_not_begun_needs_no_job(make_run, tmp_path):
    make_run("a")
    (tmp_path / "a" / "job.json").unlink()
    (tmp_path / "a" / "summary.json").write_text('{"status": "failed"}')
    assert [run.status for run in find_runs([tmp_path])] == ["failed"]


@pytest.mark.parametrize("line", ["2,abc", "x,0.5", "3,0.1,0.2,9"])
def test_a_corrupt_csv_line_is_named(tmp_path, line):
    path = tmp_path / "metrics.csv"
    path.write_text(f"epoch,val/rank10\n0,0.1\n{line}\n")
    with pytest.raises(SigjepaError, match=r"metrics\.csv.* 3"):
        read_rows(path)


def test_nan_and_empty_cells_are_absent(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,val/rank10,train/loss\n0,nan,1.5\n1,0.5,\n")
    assert read_rows(path) == [{"epoch": 0, "train/loss": 1.5}, {"epoch": 1, "val/rank10": 0.5}]


def test_missing_metrics_and_bytes_that_are_no_text_are_named(tmp_path):
    with pytest.raises(SigjepaError, match=r"metrics\.csv"):
        read_rows(tmp_path / "metrics.csv")
    (tmp_path / "metrics.csv").write_bytes(b"epoch\n\xff\xfe\n")
    with pytest.raises(SigjepaError, match=r"metrics\.csv"):
        read_rows(tmp_path / "metrics.csv")


def test_a_run_that_never_validated_has_no_curve(make_run, tmp_path):
    run = make_run("a")
    (tmp_path / "a" / "metrics.csv").write_text("epoch,val/rank10\n")
    with pytest.raises(SigjepaError, match=r"metrics\.csv .*'val/rank10'.*metric="):
        run.curve("val/rank10")


def test_an_empty_split_and_a_damaged_archive_are_named(make_run, tmp_path):
    run = make_run("a")
    np.savez(tmp_path / "a" / "ranks.npz", val_ids=np.array([]), val_optimistic=[], val_pessimistic=[])
    with pytest.raises(SigjepaError, match=r"ranks\.npz .* val "):
        run.ranks("val")
    with pytest.raises(SigjepaError, match=r"ranks\.npz .* test_ids"):
        run.ranks("test")
    (tmp_path / "a" / "predictions.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(SigjepaError, match=r"predictions\.npz"):
        run.predictions("test")
    with pytest.raises(SigjepaError, match=r"bm25\.npz"):
        run.baseline_queries("bm25", "test")


def test_runs_are_grouped_by_experiment_in_order(make_run, tmp_path):
    make_run("a", seed=1)
    make_run("b", seed=0)
    make_run("c", experiment="exp2_1")
    groups = by_experiment(find_runs([tmp_path]))
    assert {name: [run.seed for run in runs] for name, runs in groups.items()} == {"exp1_4": [0, 1], "exp2_1": [0]}


def test_the_latest_folder_is_the_sweep_or_the_single_run_written_last(tmp_path):
    places = ("multirun/one/a", "multirun/one/b", "multirun/two/a", "outputs/exp1_4/now")
    for age, place in enumerate(places):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "summary.json").write_text("{}")
        os.utime(tmp_path / place / "summary.json", (1000 + age, 1000 + age))
    for sweep in ("one", "two"):
        (tmp_path / "multirun" / sweep / "sweep.json").write_text("{}")
    roots = [tmp_path / "multirun", tmp_path / "outputs"]
    assert latest_folder(roots) == tmp_path / "outputs" / "exp1_4" / "now"
    assert latest_folder(roots[:1]) == tmp_path / "multirun" / "two"
    os.utime(tmp_path / "multirun" / "one" / "a" / "summary.json", (2000, 2000))
    assert latest_folder(roots) == tmp_path / "multirun" / "one"


def test_the_latest_folder_is_one_that_has_not_failed(tmp_path):
    places = ("outputs/exp1_4/done", "multirun/half/a", "multirun/half/b", "multirun/none/a", "outputs/exp1_4/typo")
    for age, (place, status) in enumerate(
        zip(places, ["finished", "failed", "interrupted", "failed", "failed"], strict=True)
    ):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "summary.json").write_text(json.dumps({"status": status}))
        os.utime(tmp_path / place / "summary.json", (1000 + age, 1000 + age))
    for sweep in ("half", "none"):
        (tmp_path / "multirun" / sweep / "sweep.json").write_text("{}")
    roots = [tmp_path / "multirun", tmp_path / "outputs"]
    assert latest_folder(roots) == tmp_path / "multirun" / "half"
    shutil.rmtree(tmp_path / "multirun")
    assert latest_folder(roots) == tmp_path / "outputs" / "exp1_4" / "done"
    shutil.rmtree(tmp_path / "outputs" / "exp1_4" / "done")
    assert latest_folder(roots) == tmp_path / "outputs" / "exp1_4" / "typo"


def test_run_folders_are_one_several_or_the_latest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_folders("a") == [Path("a")]
    assert run_folders(["a", "b"]) == [Path("a"), Path("b")]
    with pytest.raises(SigjepaError, match="multirun.*outputs.*runs="):
        run_folders("latest")


def test_a_run_that_does_not_say_what_its_metrics_are_names_the_file(make_run, tmp_path):
    run = make_run("a")
    (tmp_path / "a" / "metrics.json").write_text('{"monitor": "val/rank10", "metrics": {"rank10": {"lable": "x"}}}')
    with pytest.raises(SigjepaError, match=r"a/metrics\.json.*lable"):
        run.metrics  # noqa: B018


def test_runs_are_compared_by_the_metrics_that_they_describe_alike(make_run):
    rank20 = {**default_metrics(), "rank20": RecallAt(20)}
    runs = [make_run("a"), make_run("b", registry=rank20), make_run("c", registry={**rank20, "mrr": RecallAt(3)})]
    assert list(all_metrics(runs)) == [*default_metrics(), "rank20"]
    assert list(common_metrics(runs)) == [name for name in default_metrics() if name != "mrr"]
