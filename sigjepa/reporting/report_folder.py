"""The report's folder: `report.md`, `report.html` and `figures/`, from run directories alone."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import torch

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.baselines import reference_label
from sigjepa.evaluation.first_bodies import term_texts
from sigjepa.evaluation.metrics import metric_at
from sigjepa.evaluation.plateau import Plateau
from sigjepa.reporting import sections
from sigjepa.reporting.ceilings import DIRECTIONS, ceiling_text, experiment_of, measure_ceiling
from sigjepa.reporting.comparison import Comparison, compare
from sigjepa.reporting.diagnoses import remedy_pairs
from sigjepa.reporting.evidence import Evidence, open_evidence, same_teacher
from sigjepa.reporting.explorer import ExplorerData, FunctionText, explore
from sigjepa.reporting.fold_text import folds_section
from sigjepa.reporting.folds import pool_folds
from sigjepa.reporting.page import render_page, without_html
from sigjepa.reporting.plots import (
    MINED_GAUGES,
    TRAINING_GAUGES,
    plot_ceiling,
    plot_curves,
    plot_differences,
    plot_gauges,
)
from sigjepa.reporting.retrieval import ExplainedRetrieval, Retrieval
from sigjepa.reporting.run import Run
from sigjepa.reporting.runs import FINISHED, all_metrics, by_experiment
from sigjepa.reporting.unseen import unseen_section
from sigjepa.store.files import atomic_path
from sigjepa.store.progress import stage
from sigjepa.training.run_file_names import CURVES_FILE

FOLDED = (
    *("Unseen signatures", "Folds", "The four diagnoses", "Tests", "The teacher's ceiling", "Hard negatives", "Health"),
    *("Configuration differences", "Origin"),
)
"""Sections of the page that a reader unfolds; what the figures support, results and curves are in sight."""
LEVELS = ("zero_shot", "zero_shot_centred", "bm25", "fusion", "free_name_counts")
"""Baselines whose level the curves are drawn against."""


def check_comparable(finished: Sequence[Run], allow_different_pools: bool) -> None:
    """Raise SigjepaError when runs are of different pools, unless the reader asked to see them side by side."""
    pools = {run.pool(): run for run in reversed(finished)}
    if len(pools) > 1 and not allow_different_pools:
        named = "; ".join(f"{run.folder} has {pool}" for pool, run in list(pools.items())[::-1][:2])
        raise SigjepaError(
            f"The runs are of {len(pools)} different pools, by their corpora or what was sampled: {named}. Their ranks "
            "can't be compared. Report them one by one, or mark them side by side with allow_different_pools=true."
        )


def report_markdown(
    runs: Sequence[Run],
    figures: Path,
    *,
    command: str,
    baseline: str | None,
    split: str,
    metric: str | None,
    epochs: Sequence[int],
    published: bool,
    power: float | None,
    evidence: Evidence | SigjepaError,
) -> str:
    """Return the whole report as Markdown; its figures are drawn into `figures`.

    Before any run is finished it has their list and their curves. metric: whose curves are shown, None is what the
    first run is selected by. power: a difference of which the seeds that show it are wanted. evidence: of the
    first finished run, or why it could not be opened. Raises SigjepaError
    for a file that can't be read.
    """
    finished = [run for run in runs if run.status == FINISHED]
    pooled, left_out = pool_folds(finished)
    written = [run for run in runs if (run.folder / CURVES_FILE).exists() and (run in finished or run.rows)]
    parts = [f"# {title_of(runs)}\n"]
    key = metric or (written[0].monitor if written else "")
    if written:
        metric_at(key, all_metrics(written))  # a wrong name ends the report before all are left out
        written = [run for run in written if run in finished or any(key in row for row in run.rows)]
    if not pooled:
        parts.append(sections.runs_section(runs, left_out))
        if written:
            parts.append(sections.curves_section(written, key, epochs, published))
            plot_curves(written, figures / "curves", key)
        return without_html("\n".join(parts))
    comparison = compare(finished, baseline or pooled[0].experiment, split=split, also=remedy_pairs(pooled))
    draw_figures(pooled, written, comparison, figures, key)
    parts += [
        sections.conclusions_section(pooled, comparison, power),
        sections.runs_section(runs, left_out),
        sections.results_section(pooled, comparison, published),
        *filter(None, [unseen_section(pooled, comparison.split), folds_section(pooled, comparison)]),
        *([sections.diagnoses_section(comparison)] if comparison.also else []),
        sections.curves_section(written, key, epochs, published),
        sections.tests_section(comparison),
        ceiling_section(finished, split, evidence, figures),
        sections.hard_negatives_section(finished),
        sections.health_section(finished),
        sections.configuration_section(pooled),
        sections.origin_section(finished, command),
    ]
    return without_html("\n".join(parts))


def title_of(runs: Sequence[Run]) -> str:
    """Return what the report is called: the experiments of its finished runs, or of all while none is."""
    finished = [run for run in runs if run.status == FINISHED]
    return f"sigjepa: {', '.join(by_experiment(finished or runs))}"


@stage("Drawing figures")
def draw_figures(
    pooled: Sequence[Run], written: Sequence[Run], comparison: Comparison, figures: Path, key: str
) -> None:
    """Draw curves, differences and gauges; pooled: the finished runs among those that have `written` epochs."""
    finished = [run for run in written if run.status == FINISHED]
    measured = pooled[0].baselines if all(run.baselines == pooled[0].baselines for run in pooled) else {}
    levels = {reference_label(name): measured[name][key] for name in LEVELS if key in measured.get(name, {})}
    plot_curves(written, figures / "curves", key, levels)
    gauges = [name for name, metric in all_metrics(finished).items() if not metric.direction and not metric.beside]
    plot_gauges(finished, figures / "health", [*TRAINING_GAUGES, *(f"val/{name}" for name in gauges)])
    if any(run.provenance["hard_negatives"] for run in finished):
        plot_gauges(finished, figures / "mined", MINED_GAUGES)
    main = comparison.metrics[comparison.main]
    differences = {  # those from the mean body would be off the scale
        f"{finding.experiment} - {reference_label(finding.reference)}": (
            finding.difference,
            finding.effect.test.low,
            finding.effect.test.high,
        )
        for finding in (*comparison.experiments, *comparison.trivial)
        if finding.metric == comparison.main and finding.effect is not None and finding.reference != "mean_body"
    }
    title = f"difference in {comparison.split} {main.label}{main.unit and ', percentage points'}, 95 % interval"
    plot_differences(differences, figures / "differences", title, 100 if main.percent else 1)


@stage("Measuring the ceiling")
def ceiling_section(finished: Sequence[Run], split: str, evidence: Evidence | SigjepaError, figures: Path) -> str:
    """Return the teacher's ceiling and why runs miss, or what is missing to tell."""
    if isinstance(evidence, SigjepaError):
        return sections.section("The teacher's ceiling", f"Not measured: {evidence}")
    served = same_teacher(finished[0], [run for run in finished if run.scores_by_cosine])
    if not served:
        return sections.section("The teacher's ceiling", "Not measured: no student scores by the cosine of one vector.")
    train_ids = torch.from_numpy(evidence.corpus.ids("train"))
    ceiling = measure_ceiling(served, evidence.targets, train_ids, split)
    curves = {
        DIRECTIONS[curve.directions]: dict(zip(curve.cosines, curve.means["rank10"], strict=True))
        for curve in ceiling.curves
    }
    plateaus: dict[str, list[Plateau]] = {}
    for name, plateau in ceiling.plateaus.items():
        plateaus.setdefault(experiment_of(name), []).append(plateau)
    points = {
        name: (mean(plateau.mean_cosine for plateau in members), mean(plateau.rank10 for plateau in members))
        for name, members in plateaus.items()
    }
    plot_ceiling(curves, points, figures / "ceiling")
    fold = finished[0].fold
    return sections.section(
        "The teacher's ceiling",
        "" if fold is None else f"Of fold {fold} alone: each fold has a pool of its own.",
        *ceiling_text(ceiling),
        sections.image("Rank@10 by cosine, and where the runs are", "ceiling"),
    )


@stage("Writing the report")
def write_report(
    output: Path, markdown: str, title: str, explorer: ExplorerData | None = None, refresh_seconds: int | None = None
) -> Path:
    """Write `report.md` and `report.html` into `output`, where the figures are already; returns the page's path."""
    with atomic_path(output / "report.md") as temporary:
        temporary.write_text(markdown, encoding="utf-8")
    page = render_page(markdown, output, explorer=explorer, title=title, refresh_seconds=refresh_seconds, folded=FOLDED)
    with atomic_path(output / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    return output / "report.html"


def evidence_or_reason(finished: Sequence[Run], data_dir: Path | None) -> Evidence | SigjepaError:
    """Return the evidence of the first finished run, or why there is none: then no ceiling and no explorer."""
    try:
        if not finished:
            raise SigjepaError("no run is finished.")
        return open_evidence(finished[0], data_dir)
    except SigjepaError as error:
        return error


@stage("Exploring errors")
def explore_runs(
    finished: Sequence[Run], baseline: str | None, split: str, evidence: Evidence | SigjepaError, queries: int
) -> ExplorerData | None:
    """Return the error explorer of one run of each experiment, the first seed's.

    None without evidence or queries. A student of several views is shown by what its run has kept, with the reasons.

    Largest changes are between the baseline experiment and the one that differs most from it on the split.
    """
    if isinstance(evidence, SigjepaError) or queries < 1:
        return None
    kept = [run for run in same_teacher(finished[0], finished) if run.scores_by_cosine or run.is_explained]
    shown = {name: runs[0] for name, runs in by_experiment(kept).items()}
    if not shown:
        return None
    baseline = baseline or next(iter(shown))
    ids = next(iter(shown.values())).ranks(split)[0]
    columns = {name: evidence.corpus.column(name) for name in FunctionText.__dataclass_fields__}
    texts = {
        int(function_id): FunctionText(**{name: column[function_id] for name, column in columns.items()})
        for function_id in ids
    }
    terms = None
    retrievals: dict[str, Retrieval | ExplainedRetrieval] = {}
    for name, run in shown.items():
        ranks = run.ranks(split)[1]
        if run.scores_by_cosine:
            retrievals[name] = Retrieval(*run.predictions(split), ranks)
            continue
        terms = terms or term_texts([text.signature for text in texts.values()], [text.body for text in texts.values()])
        signatures = {function_id: text.signature for function_id, text in texts.items()}
        retrievals[name] = ExplainedRetrieval(*run.first_bodies(split), ranks, terms, signatures)
    level = f"{split}/{finished[0].monitor.partition('/')[2]}"
    others = [name for name in shown if name != baseline and baseline in shown]
    furthest = max(
        others,
        key=lambda name: abs(shown[name].summary.get(level, 0.0) - shown[baseline].summary.get(level, 0.0)),
        default=None,
    )
    compared = (baseline, furthest) if furthest is not None else None
    return explore(retrievals, evidence.targets[ids].float(), texts, queries=queries, compared=compared)
