import json
import sys

import pytest

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.metrics import RankMetric, default_metrics
from sigjepa.reporting.runs import find_runs
from sigjepa.reporting.workspace import (
    LOGGER,
    Destination,
    logged_to,
    sections_of,
    sweep_workspace,
    workspace_json,
)
from sigjepa.store.files import write_json
from sigjepa.training.run_directory import write_metrics
from sigjepa.training.wandb_names import shortened

pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")  # in the library


@pytest.fixture
def make_runs(tmp_path):
    """Run directories below a sweep, one a logger config; None is a run that has not got as far as its provenance."""

    def make(*loggers):
        for number, logger in enumerate(loggers):
            folder = tmp_path / "sweep" / str(number)
            write_json(folder / "summary.json", {"status": "finished", "experiment": "exp1_4", "seed": number})
            if logger is not None:
                provenance = {"config": {"logger": logger}, "artifacts": {}, "data_dir": "data", "git": {}}
                write_json(folder / "provenance.json", provenance)
                write_metrics(folder, default_metrics(), "val/rank10")
        return find_runs([tmp_path / "sweep"])

    return make


def wandb_config(project="sigjepa", group="sweep", entity=None):
    return {"wandb": {"_target_": LOGGER, "project": project, "group": group, "entity": entity}}


def test_runs_tell_where_they_were_logged(make_runs):
    runs = make_runs(wandb_config(entity="team"), {"csv": {"_target_": "other"}}, {}, wandb_config(entity="team"), None)
    destination = logged_to(runs)
    assert (destination.entity, destination.project, destination.groups) == ("team", "sigjepa", ("sweep",))


def test_runs_of_several_groups_are_shown_together(make_runs):
    runs = make_runs(wandb_config(group="b"), wandb_config(group="a"))
    assert logged_to(runs).groups == ("a", "b")


@pytest.mark.parametrize("loggers", [[{}], [None], [{"csv": {"_target_": "other"}}]])
def test_runs_that_were_not_logged_are_refused(make_runs, loggers):
    with pytest.raises(SigjepaError, match="logger=wandb"):
        logged_to(make_runs(*loggers))


def test_runs_of_two_projects_are_refused(make_runs):
    runs = make_runs(wandb_config("one", entity="team"), wandb_config("two"))
    with pytest.raises(SigjepaError, match=r"team/one, two"):
        logged_to(runs)


@pytest.fixture(scope="module")
def view():
    return json.loads(workspace_json(sweep_workspace(Destination("team", "project", ("sweep",)))))


def test_the_runset_is_the_sweep_grouped_by_experiment(view):
    assert (view["entity"], view["project"], view["displayName"]) == ("team", "project", "sigjepa sweep")
    (runset,) = view["spec"]["section"]["runSets"]
    filters = {(item["key"]["name"], item["op"], json.dumps(item["value"])) for item in runset["filters"]["filters"]}
    assert filters == {("jobType", "=", '"train"'), ("group", "IN", '["sweep"]')}
    assert runset["grouping"] == [{"section": "config", "name": f"{key}.value"} for key in ("name", "experiment")]


def test_every_gauge_is_a_panel_over_steps_with_a_band_over_seeds(view):
    sections = {
        section["name"]: section["panels"] for section in view["spec"]["section"]["panelBankConfig"]["sections"]
    }
    expected = sections_of(default_metrics())
    assert list(sections) == [*expected, "Results"]
    for name, panels in expected.items():
        drawn = {panel["config"]["chartTitle"]: panel["config"] for panel in sections[name]}
        assert {title: tuple(config["metrics"]) for title, config in drawn.items()} == panels
        for config in drawn.values():
            assert config["xAxis"] == "trainer/global_step"
            assert (config["groupBy"], config["groupAgg"], config["groupArea"]) == (
                "experiment.value",
                "mean",
                "minmax",
            )
    assert expected["Retrieval"]["Rank@10 on val"] == ("val/rank10",)
    assert ("val/effective_rank", "val/target_effective_rank") in expected["Health"].values()


def test_a_metric_of_the_runs_has_its_panel_and_orders_them(make_runs):
    place = RankMetric("place", lambda ranks: ranks.optimistic, direction="min")
    runs = make_runs(wandb_config(entity="team"))
    write_metrics(runs[0].folder, {**default_metrics(), "place": place}, "val/place")
    view = json.loads(workspace_json(sweep_workspace(logged_to(runs))))
    sections = {
        section["name"]: [panel["config"].get("metrics") for panel in section["panels"]]
        for section in view["spec"]["section"]["panelBankConfig"]["sections"]
    }
    assert ["val/place"] in sections["Retrieval"]
    assert ["test/place"] in sections["Results"]
    (runset,) = view["spec"]["section"]["runSets"]
    assert runset["sort"]["keys"] == [{"key": {"section": "summary", "name": "val/place.min"}, "ascending": True}]


def test_without_a_group_the_whole_project_is_shown():
    view = json.loads(workspace_json(sweep_workspace(Destination(None, "project"))))
    (runset,) = view["spec"]["section"]["runSets"]
    assert [item["key"]["name"] for item in runset["filters"]["filters"]] == ["jobType"]


def test_a_group_is_shortened_as_its_runs_shortened_it():
    group = "g" * 200
    view = json.loads(workspace_json(sweep_workspace(Destination(None, "project", (group,)))))
    (runset,) = view["spec"]["section"]["runSets"]
    assert runset["filters"]["filters"][1]["value"] == [shortened(group, 128)]


def test_the_workspace_survives_a_load_by_its_library(view):
    """What the server would hand back gives the same workspace."""
    from wandb_workspaces.workspaces import Workspace
    from wandb_workspaces.workspaces.internal import View, WorkspaceViewspec

    spec = WorkspaceViewspec.model_validate_json(json.dumps(view["spec"]))
    loaded = Workspace._from_model(View.model_validate({**view, "spec": spec}))
    assert (
        json.loads(workspace_json(loaded))["spec"]["section"]["panelBankConfig"]["sections"]
        == (view["spec"]["section"]["panelBankConfig"]["sections"])
    )


def test_the_extra_is_named_when_it_is_not_installed(monkeypatch):
    for name in ("wandb_workspaces", "wandb_workspaces.reports.v2", "wandb_workspaces.workspaces"):
        monkeypatch.setitem(sys.modules, name, None)  # what Python itself does for a module that must not be found
    with pytest.raises(SigjepaError, match=r"wandb-workspaces.*sigjepa\[dashboard\]"):
        sweep_workspace(Destination(None, "project"))
