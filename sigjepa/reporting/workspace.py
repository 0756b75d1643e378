"""A W&B workspace that compares the runs of a sweep: their ranks, the four failure modes, their health."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.metrics import Metrics, default_metrics, monitored_metric
from sigjepa.reporting.failure_modes import CURVES
from sigjepa.reporting.labels import label_of
from sigjepa.reporting.run import Run
from sigjepa.reporting.runs import all_metrics
from sigjepa.training.run_file_names import PROVENANCE_FILE
from sigjepa.training.wandb_names import GROUP_LENGTH, IDENTITY, STEP, shortened

LOGGER = "sigjepa.training.loggers.wandb_logger"
TABLES = ("results", "hard_negatives", "hard_queries")


@dataclass(frozen=True)
class Destination:
    """Say where runs were logged, and by what they were measured and selected.

    entity: of W&B, None is the default one. groups: of runs in the project.
    """

    entity: str | None
    project: str
    groups: tuple[str, ...] = ()
    metrics: Metrics = field(default_factory=default_metrics)
    monitor: str = "val/rank10"


def sections_of(metrics: Metrics) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return figures by panel by section; every panel draws one line an experiment, its mean and band over seeds."""
    val = {name: metric for name, metric in metrics.items() if "val" in metric.splits}
    gauges = {name: [f"val/{name}"] for name, metric in val.items() if not metric.direction and not metric.beside}
    for name, metric in val.items():
        if metric.beside in gauges:
            gauges[metric.beside].append(f"val/{name}")
    return {
        "Retrieval": {
            **{f"{metric.label} on val": (f"val/{name}",) for name, metric in val.items() if metric.direction},
            "loss": ("train/loss",),
        },
        "Failure modes": {f"{mode}: {label_of(key, metrics)}": (key,) for mode, keys in CURVES.items() for key in keys},
        "Health": {
            **{", and ".join(label_of(key, metrics) for key in keys): tuple(keys) for keys in gauges.values()},
            "gradient norm": ("train/gradient_norm",),
            "temperature": ("train/infonce_temperature",),
        },
    }


def logged_to(runs: Sequence[Run]) -> Destination:
    """Return where the runs' W&B loggers sent them.

    Raises SigjepaError when none of them was logged to W&B, or two went to different projects, which no workspace
    can show together.
    """
    begun = [run for run in runs if (run.folder / PROVENANCE_FILE).exists()]
    nodes = [node for run in begun for node in (run.config.get("logger") or {}).values()]
    nodes = [node for node in nodes if node.get("_target_") == LOGGER]
    if not nodes:
        raise SigjepaError(
            f"None of the {len(runs)} runs was logged to W&B: train with logger=wandb, or leave runs= out and name "
            "project= and group= yourself."
        )
    projects = {(node.get("entity"), node["project"]) for node in nodes}
    if len(projects) > 1:
        names = ", ".join(sorted("/".join(part for part in pair if part) for pair in projects))
        raise SigjepaError(f"The runs were logged to several W&B projects ({names}); a workspace shows one of them.")
    ((entity, project),) = projects
    groups = tuple(sorted({node["group"] for node in nodes}))
    return Destination(entity, project, groups, all_metrics(begun), begun[0].monitor)


def sweep_workspace(destination: Destination) -> Any:
    """Return the workspace of a sweep, not yet saved: its training runs, grouped by experiment.

    Raises SigjepaError when wandb-workspaces is not installed.
    """
    ws, wr = _libraries()
    filters = [ws.Metric("JobType") == "train"]
    if destination.groups:
        filters.append(ws.Metric("Group").isin([shortened(group, GROUP_LENGTH) for group in destination.groups]))
    experiment = wr.Config(IDENTITY)
    sections = [
        ws.Section(
            name=section,
            panels=[
                wr.LinePlot(
                    title=title,
                    x=STEP,
                    y=list(metrics),
                    groupby=experiment,
                    groupby_aggfunc="mean",
                    groupby_rangefunc="minmax",
                )
                for title, metrics in panels.items()
            ],
            is_open=True,
            layout_settings=ws.SectionLayoutSettings(columns=3, rows=3),
            panel_settings=ws.SectionPanelSettings(x_axis=STEP),
        )
        for section, panels in sections_of(destination.metrics).items()
    ]
    tested = [
        wr.BarPlot(title=f"{metric.label}, test", metrics=[f"test/{name}"], groupby=experiment, groupby_aggfunc="mean")
        for name, metric in destination.metrics.items()
        if metric.direction and "test" in metric.splits
    ]
    selected = monitored_metric(destination.monitor, destination.metrics)
    best = f"{destination.monitor}.{selected.direction}"
    on_test = destination.monitor.replace("val/", "test/")
    tables = [wr.WeavePanelSummaryTable(table_name=name) for name in TABLES]
    return ws.Workspace(
        entity=destination.entity or "",
        project=destination.project,
        name="sigjepa " + (", ".join(destination.groups) or destination.project),
        sections=[*sections, ws.Section(name="Results", panels=[*tested, *tables], is_open=True)],
        settings=ws.WorkspaceSettings(x_axis=STEP, max_runs=100),
        runset_settings=ws.RunsetSettings(
            filters=ws.And(*filters),
            groupby=[ws.Config("name"), ws.Config(IDENTITY)],
            order=[ws.Ordering(ws.Summary(best), ascending=selected.direction == "min")],
            pinned_columns=[
                "config:name",
                f"config:{IDENTITY}",
                "config:seed",
                f"summary:{best}",
                f"summary:{on_test}",
            ],
        ),
    )


def workspace_json(workspace: Any) -> str:
    """Return what saving the workspace would send, as indented JSON; needs no login and no network."""
    view = workspace._to_model()  # save() sends this; there is no public way to look at it first
    return json.dumps(view.model_dump(mode="json", by_alias=True, exclude_none=True), indent=2, ensure_ascii=False)


def save_workspace(workspace: Any) -> str:
    """Create the workspace on the W&B server and return its URL.

    Raises SigjepaError when nobody is logged in, or the server refuses or does not answer.
    """
    import wandb  # noqa: PLC0415 - slow, and only needed here

    if not wandb.login(prompt=False):
        raise SigjepaError(
            "Nobody is logged in to W&B: run `wandb login` or set WANDB_API_KEY. --dry-run prints the workspace "
            "without a login."
        )
    try:
        workspace.entity = workspace.entity or wandb.Api().default_entity
        return str(workspace.save().url)
    except Exception as error:  # its exceptions have no common class, and some are internal
        raise SigjepaError(
            f"W&B did not take the workspace: {str(error).strip()}. --dry-run prints it without W&B."
        ) from error


def _libraries() -> tuple[Any, Any]:
    try:
        import wandb_workspaces.reports.v2 as reports  # noqa: PLC0415 - an extra, and slow to import
        from wandb_workspaces import workspaces  # noqa: PLC0415
    except ModuleNotFoundError:
        raise SigjepaError("wandb-workspaces is not installed: pip install 'sigjepa[dashboard]'.") from None
    return workspaces, reports
