"""W&B with its real client, without the internet: runs read back, synced to a local server, and put through outages."""

import csv
import json
import os
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_sweep import EXPERIMENTS, read_metrics, read_summary, run_directory
from wandb_reader import definitions, history, of_type, read_records, tables, transaction_log
from wandb_server import API_KEY, environment, wandb_server

from sigjepa.training.wandb_names import IDENTITY, STEP

TINY_RUN = Path(__file__).parent / "tiny_run.py"
LOSS_TERMS = ["infonce", "token_smooth_l1"]
HIGHEST = {f"val/{name}" for name in ("rank1", "rank5", "rank10", "mrr", "cosine")}
LOWEST = {f"train/{name}" for name in ("loss", "step_loss", *LOSS_TERMS, "infonce_in_batch", "infonce_mined")}


@pytest.fixture(scope="module")
def execute(run_python):
    """Run a Python command with a home of its own, so that nobody's login is read, and with what W&B is told."""

    def command(home, *arguments, wandb):
        env = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
        env |= {"HOME": str(home), "WANDB_HTTP_TIMEOUT": "1", "WANDB_ERROR_REPORTING": "false", **wandb}
        done = run_python(arguments, home, env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return command


@pytest.fixture(scope="module")
def sync(execute):
    """`wandb sync` of a run directory's local W&B runs, oldest first."""

    def command(run_dir, server, legs="offline-run-*"):
        for path in sorted(run_dir.glob(f"wandb/{legs}/run-*.wandb")):
            arguments = ["-m", "wandb", "sync", "--include-online", path]
            execute(run_dir.parent, *arguments, wandb=server.environment())

    return command


@pytest.fixture
def server():
    with wandb_server() as running:
        yield running
    assert running.failures == []


def curve(rows, metric="val/rank10"):
    return {row[STEP]: row[metric] for row in rows if metric in row}


EPOCHS = {1: 0.1, 3: 0.2, 5: 0.3, 7: 0.4}  # val/rank10 of the tiny run by step; two steps an epoch


def first_epochs(count):
    return {step: pytest.approx(value) for step, value in list(EPOCHS.items())[:count]}


# ---- what a sweep logs


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_logged_metric_is_defined_with_its_goal_and_axis(sweep, experiment):
    records = read_records(transaction_log(run_directory(sweep, experiment)))
    logged = {key for row in history(records) for key, value in row.items() if isinstance(value, int | float)}
    logged = {key for key in logged if not key.startswith("_") and "." not in key and key != STEP}
    assert {"val/rank10", "train/infonce", "train/infonce_temperature", "test/rank10", "epoch"} <= logged
    assert ("train/infonce_mined" in logged) == (experiment in ("exp2_1", "hardneg_curriculum"))
    defined = definitions(records)
    for key in logged:
        assert defined[key]["step_metric"] == STEP, key
        goal = "max" if key in HIGHEST else "min" if key in LOWEST else None
        assert defined[key].get("summary") == (goal and {goal: True}), key
    assert defined["val/rank10"]["summary"] == {"max": True}
    assert defined["train/loss"]["summary"] == {"min": True}
    assert "summary" not in defined["test/rank10"]  # a plain number: it is logged once


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_run_says_what_it_is(sweep, experiment):
    folder = run_directory(sweep, experiment)
    records = read_records(transaction_log(folder))
    begun = of_type(records, "run")[0]
    assert begun["run_id"] == (folder / "wandb_id").read_text().strip()
    assert begun["run_group"] == sweep.name
    assert begun["job_type"] == "train"
    losses = LOSS_TERMS if experiment == "exp2_2" else LOSS_TERMS[:1]
    assert begun["tags"] == [f"experiment={experiment}", *(f"loss={term}" for term in losses), "teacher=minilm"]
    provenance = json.loads((folder / "provenance.json").read_text())
    sent = {key: value for record in of_type(records, "config") for key, value in record["update"].items()}
    assert sent.pop(IDENTITY).startswith(f"{experiment} ")
    assert sent == provenance["config"]  # all of it, resolved
    assert sent["name"] == experiment


def test_the_curve_is_the_one_in_metrics_csv_on_the_axis_of_steps(sweep):
    folder = run_directory(sweep, "exp1_4")
    rows = history(read_records(transaction_log(folder)))
    expected = [float(row["val/rank10"]) for row in read_metrics(folder)]
    assert list(curve(rows).values()) == pytest.approx(expected)
    assert all(STEP in row for row in rows)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_results_and_hard_negatives_are_tables(sweep, experiment):
    folder = run_directory(sweep, experiment)
    logged, summary = tables(folder), read_summary(folder)
    results = {row.pop("run"): row for row in logged["results"]}
    baselines = json.loads((folder / "baselines.json").read_text())
    assert list(results) == [experiment, *baselines]
    assert results[experiment]["test/rank10"] == pytest.approx(summary["test/rank10"])
    assert results["zero_shot"]["test/rank10"] == pytest.approx(baselines["zero_shot"]["test/rank10"])
    mined = json.loads((folder / "provenance.json").read_text())["hard_negatives"]
    assert (mined is not None) == (experiment in ("exp2_1", "hardneg_curriculum"))
    if mined:
        assert {row["statistic"]: row["value"] for row in logged["hard_negatives"]} == mined


def test_a_synced_run_arrives_with_its_history_of_val_rank10(sweep, tmp_path, server, sync):
    folder = run_directory(sweep, "hardneg_curriculum")
    copy = tmp_path / "run"
    shutil.copytree(folder / "wandb", copy / "wandb", symlinks=True)  # syncing leaves a mark beside the run
    sync(copy, server)
    ((name, received),) = server.runs.items()
    assert name == (folder / "wandb_id").read_text().strip()
    with (folder / "metrics.csv").open(newline="") as stream:
        expected = [float(row["val/rank10"]) for row in csv.DictReader(stream)]
    assert list(curve(received.history).values()) == pytest.approx(expected)
    assert received.summary["val/rank10"]["max"] == pytest.approx(max(expected))
    assert received.fields["groupName"] == sweep.name
    assert "experiment=hardneg_curriculum" in received.fields["tags"]
    assert received.config["loss"]["infonce"]["mined_candidates"] == "per_anchor"
    assert received.exit_code == 0


# ---- a run that is resumed


@pytest.mark.slow  # online it is the same
def test_a_resumed_offline_run_continues_its_curve(tmp_path, server, execute, sync):
    run_dir = tmp_path / "run"
    for epochs in (2, 4):
        execute(tmp_path, TINY_RUN, run_dir, epochs, wandb={})
    assert len(list(run_dir.glob("wandb/offline-run-*"))) == 2
    sync(run_dir, server)
    ((name, received),) = server.runs.items()
    assert name == (run_dir / "wandb_id").read_text().strip()
    assert curve(received.history) == first_epochs(4)
    assert_steps_increase(received)
    assert received.summary["val/rank10"]["max"] == pytest.approx(0.4)


def assert_steps_increase(received):
    steps = [row["_step"] for row in received.history]
    assert steps == sorted(set(steps))


@pytest.fixture(scope="module")
def online(tmp_path_factory, execute):
    """Two epochs online, then two more by resuming, with checkpoints, tables and a report's figure switched on."""
    from matplotlib.figure import Figure

    home = tmp_path_factory.mktemp("online")
    figure = home / "curves.png"
    Figure(figsize=(1, 1)).savefig(figure)
    with wandb_server() as server:
        execute(home, TINY_RUN, home / "run", 2, wandb=server.environment())
        ((_, run),) = server.runs.items()
        first = SimpleNamespace(curve=curve(run.history), artifacts=dict(server.artifacts), exit_code=run.exit_code)
        switches = ["--table", "--log-checkpoints", "--figure", figure]
        execute(home, TINY_RUN, home / "run", 4, *switches, wandb=server.environment())
        yield SimpleNamespace(server=server, run=run, run_dir=home / "run", figure=figure, first=first)
    assert server.failures == []


def test_a_resumed_online_run_continues_its_curve(online):
    assert online.first.curve == first_epochs(2)
    assert online.first.exit_code == 0
    assert curve(online.run.history) == first_epochs(4)
    assert_steps_increase(online.run)
    assert online.run.exit_code == 0


# ---- what is sent beside metrics


def test_checkpoints_are_artifacts_when_that_is_switched_on(online):
    def models(artifacts):
        return [one for one in artifacts.values() if one["artifactTypeName"] == "model"]

    assert not models(online.first.artifacts)
    logged = models(online.server.artifacts)
    assert all(one["committed"] for one in logged)
    assert "best" in {alias["alias"] for one in logged for alias in one["aliases"]}
    assert (online.run_dir / "checkpoints" / "best.ckpt").read_bytes() in online.server.files.values()


def test_tables_arrive_as_tables(online):
    for name, rows in (("hard_negatives", 1), ("results", 2)):
        assert online.run.logged[name]["_type"] == "table-file"
        assert online.run.logged[name]["nrows"] == rows


def test_a_report_is_a_run_of_its_own_with_images_and_tables(online):
    name = (online.run_dir / "report" / "wandb_id").read_text().strip()
    received = online.server.runs[name]
    assert received is not online.run
    assert (received.fields["jobType"], received.fields["groupName"]) == ("report", "sweep")
    image = received.logged["report/curves"]
    assert online.server.files[f"{name}/{image['filenames'][0]}"] == online.figure.read_bytes()
    assert received.logged["report/results"]["_type"] == "table-file"


def test_the_api_key_is_written_nowhere(online):
    kept = [path.read_bytes() for path in online.run_dir.rglob("*") if path.is_file()]
    assert not any(API_KEY.encode() in content for content in [*kept, *online.server.files.values()])
    assert API_KEY not in json.dumps([online.run.fields, online.run.history])


# ---- outages

SLOW_ERROR = pytest.param("error", marks=pytest.mark.slow)
SLOW_HANG = pytest.param("hang", marks=pytest.mark.slow)  # waits for the client to give up


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("outage", ["closed", SLOW_HANG, SLOW_ERROR])
def test_without_a_server_a_run_trains_to_its_end_offline(tmp_path, server, execute, sync, outage):
    server.behavior = outage
    target = environment(f"http://127.0.0.1:{closed_port()}") if outage == "closed" else server.environment()
    done = execute(tmp_path, TINY_RUN, tmp_path / "run", 3, "--table", wandb=target)
    assert "trained to step 6" in done.stdout
    assert "W&B can't begin online, so this run is offline" in done.stderr
    (path,) = (tmp_path / "run").glob("wandb/offline-run-*/run-*.wandb")
    assert curve(history(read_records(path))) == first_epochs(3)
    assert not server.runs
    server.behavior = "answer"
    sync(tmp_path / "run", server)
    ((_, received),) = server.runs.items()
    assert curve(received.history) == first_epochs(3)
    assert received.summary["results"]["_type"] == "table-file"


@pytest.mark.slow
@pytest.mark.parametrize("outage", ["hang", "error"])
def test_a_server_that_goes_away_stops_nothing_and_loses_no_metric(tmp_path, server, execute, sync, outage):
    server.outage_after = ("UpsertBucket", outage)
    done = execute(tmp_path, TINY_RUN, tmp_path / "run", 4, "--table", wandb=server.environment())
    assert "trained to step 8" in done.stdout
    assert "W&B could not log the tables results, and the run goes on without it" in done.stderr
    ((_, received),) = server.runs.items()
    assert curve(received.history) == {}
    path = transaction_log(tmp_path / "run")
    assert path.parent.name.startswith("run-")  # it began online
    assert curve(history(read_records(path))) == first_epochs(4)
    server.behavior, server.outage_after = "answer", None
    sync(tmp_path / "run", server, legs="run-*")
    assert curve(received.history) == first_epochs(4)
