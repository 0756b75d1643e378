"""A W&B workspace that compares the runs of a sweep: their ranks, the four failure modes, their health."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sigjepa.errors import SigjepaError
from sigjepa.reporting.runs import Run
from sigjepa.training.wandb_names import GROUP_LENGTH, STEP, shortened

LOGGER = "sigjepa.training.loggers.wandb_logger"
SECTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "Retrieval": {
        "Rank@10 on val": ("val/rank10",),
        "Rank@1 on val": ("val/rank1",),
        "Rank@5 on val": ("val/rank5",),
        "MRR on val": ("val/mrr",),
        "cosine to the true body": ("val/cosine",),
        "loss": ("train/loss",),
    },
    "Failure modes": {
        "coverage: share of anchors with hard negatives": ("train/infonce_covered_anchors",),
        "too hard too early: loss of the first step": ("train/first_loss",),
        "too hard too early: in-batch loss": ("train/infonce_in_batch",),
        "too hard too early: loss added by mined candidates": ("train/infonce_mined",),
        "too hard too early: cosine of negatives with the body": ("train/infonce_negative_cosim",),
        "too hard too early: softmax mass on mined candidates": ("train/infonce_mined_mass",),
        "ambiguous score_c = 1: pairs by score": ("train/infonce_pairs_score0", "train/infonce_pairs_score1"),
        "union dilution: unique rows appended a step": ("train/infonce_unique_negatives",),
        "union dilution: own negatives of a covered anchor": ("train/infonce_negatives_per_covered_anchor",),
        "weight of mined candidates": ("train/infonce_mined_weight",),
    },
    "Health": {
        "standard deviation, predictions and targets": ("val/prediction_std", "val/target_std"),
        "effective rank, predictions and targets": ("val/effective_rank", "val/target_effective_rank"),
        "pairwise cosine, predictions and targets": ("val/pairwise_cosine", "val/target_pairwise_cosine"),
        "gradient norm": ("train/gradient_norm",),
        "temperature": ("train/infonce_temperature",),
    },
}
"""Metrics by panel by section; every panel draws one line an experiment, its mean and its band over seeds."""
TABLES = ("results", "hard_negatives")


@dataclass(frozen=True)
class Destination:
    """Where runs were logged: the W&B entity (None is the default one), project, and the groups in it."""

    entity: str | None
    project: str
    groups: tuple[str, ...] = ()


def logged_to(runs: Sequence[Run]) -> Destination:
    """Where the runs' W&B loggers sent them.

    Raises SigjepaError when none of them was logged to W&B, or two went to different projects, which no workspace
    can show together.
    """
    begun = [run for run in runs if (run.folder / "provenance.json").exists()]
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
    return Destination(entity, project, tuple(sorted({node["group"] for node in nodes})))


def sweep_workspace(destination: Destination) -> Any:
    """The workspace of a sweep, not yet saved: its training runs, grouped by experiment.

    Raises SigjepaError when wandb-workspaces is not installed.
    """
    ws, wr = _libraries()
    filters = [ws.Metric("JobType") == "train"]
    if destination.groups:
        filters.append(ws.Metric("Group").isin([shortened(group, GROUP_LENGTH) for group in destination.groups]))
    experiment = wr.Config("name")
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
        for section, panels in SECTIONS.items()
    ]
    tested = [
        wr.BarPlot(title=f"{metric}, best checkpoint", metrics=[metric], groupby=experiment, groupby_aggfunc="mean")
        for metric in ("test/rank10", "test/mrr")
    ]
    tables = [wr.WeavePanelSummaryTable(table_name=name) for name in TABLES]
    return ws.Workspace(
        entity=destination.entity or "",
        project=destination.project,
        name="sigjepa " + (", ".join(destination.groups) or destination.project),
        sections=[*sections, ws.Section(name="Results", panels=[*tested, *tables], is_open=True)],
        settings=ws.WorkspaceSettings(x_axis=STEP, max_runs=100),
        runset_settings=ws.RunsetSettings(
            filters=ws.And(*filters),
            groupby=[ws.Config("name")],
            order=[ws.Ordering(ws.Summary("val/rank10.max"), ascending=False)],
            pinned_columns=["config:name", "config:seed", "summary:val/rank10.max", "summary:test/rank10"],
        ),
    )


def workspace_json(workspace: Any) -> str:
    """What saving the workspace would send, as indented JSON; needs no login and no network."""
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
