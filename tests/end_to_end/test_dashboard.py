"""`python -m sigjepa.dashboard`, printed and created, on a real sweep and against a local server."""

import json

import pytest
from test_sweep import EXPERIMENTS, run_directory
from wandb_reader import history, read_records, transaction_log
from wandb_server import ENTITY, wandb_server

from sigjepa.reporting.workspace import Destination, sweep_workspace, workspace_json

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")  # in the library


def panels(spec):
    return {
        panel["config"]["chartTitle"]: panel["config"]["metrics"]
        for section in spec["section"]["panelBankConfig"]["sections"]
        for panel in section["panels"]
        if panel["viewType"] != "Weave"
    }


def filtered_groups(spec):
    (runset,) = spec["section"]["runSets"]
    return [item["value"] for item in runset["filters"]["filters"] if item["key"]["name"] == "group"]


def test_without_a_login_the_way_to_one_is_named(run, tmp_path):
    done = run("dashboard", cwd=tmp_path, check=False, HOME=str(tmp_path))
    assert done.returncode == 1
    assert "Nobody is logged in to W&B: run `wandb login` or set WANDB_API_KEY. --dry-run" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_workspace_of_a_sweep_shows_what_its_runs_logged(sweep, run, tmp_path):
    done = run("dashboard", f"runs={sweep}", "--dry-run", cwd=tmp_path, HOME=str(tmp_path))  # without a login
    view = json.loads(done.stdout)
    assert view["project"] == "sigjepa"
    assert filtered_groups(view["spec"]) == [[sweep.name]]
    logged = {
        key
        for experiment in EXPERIMENTS
        for row in history(read_records(transaction_log(run_directory(sweep, experiment))))
        for key in row
    }
    shown = {metric for metrics in panels(view["spec"]).values() for metric in metrics}
    assert shown <= logged
    gauges = {key for key in logged if key.startswith(("train/infonce_", "val/"))}
    assert gauges <= shown


def test_the_workspace_is_created_on_the_server(run, tmp_path):
    with wandb_server() as server:
        arguments = {"cwd": tmp_path, "HOME": str(tmp_path), **server.environment()}
        created = run("dashboard", "group=my_sweep", "entity=my_team", **arguments)
        run("dashboard", **arguments)
        first, second = server.views
        assert server.failures == []
    assert (first["entityName"], first["projectName"], first["type"]) == ("my_team", "sigjepa", "project-view")
    assert second["entityName"] == ENTITY  # the one of whoever is logged in
    spec = json.loads(first["spec"])
    printed = json.loads(workspace_json(sweep_workspace(Destination("my_team", "sigjepa", ("my_sweep",)))))
    assert panels(spec) == panels(printed["spec"])
    assert filtered_groups(spec) == [["my_sweep"]]
    assert filtered_groups(json.loads(second["spec"])) == []
    assert f"{server.url}/my_team/sigjepa?nw=" in created.stdout


def test_a_server_that_refuses_is_one_message(run, tmp_path):
    with wandb_server() as server:
        server.answer = refuse_views(server.answer)
        done = run("dashboard", cwd=tmp_path, check=False, HOME=str(tmp_path), **server.environment())
    assert done.returncode == 1
    assert "permission denied" in done.stderr
    assert "--dry-run" in done.stderr
    assert "Traceback" not in done.stderr


def refuse_views(answer):
    def refused(method, path, body):
        return {"errors": [{"message": "permission denied"}]} if b"UpsertView2" in body else answer(method, path, body)

    return refused
