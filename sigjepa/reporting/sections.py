"""The sections of a report, each as Markdown: what the published write-up has, and what it lacked."""

from collections.abc import Sequence
from statistics import mean

from sigjepa.evaluation.significance import RULE
from sigjepa.reporting.comparison import Comparison
from sigjepa.reporting.conclusions import FINDING_HEADER, METRIC_LABELS, conclusions, finding_rows
from sigjepa.reporting.configurations import configuration_differences
from sigjepa.reporting.curves import curve_rows
from sigjepa.reporting.diagnoses import diagnosis_rows, diagnosis_sentences
from sigjepa.reporting.failure_modes import failure_mode_tables, health_table
from sigjepa.reporting.published import MARK, METRICS, NOTE, published_results, published_summary
from sigjepa.reporting.runs import FINISHED, Run, by_experiment, why_no_repetitions
from sigjepa.reporting.tables import (
    INTERVAL_NOTE,
    ONE_SEED_NOTE,
    OTHER_POOL_NOTE,
    PERCENT,
    markdown_table,
    results_table,
    spread_over_seeds,
)


def section(title: str, *paragraphs: str) -> str:
    """A section of the report; empty paragraphs are left out."""
    return "\n\n".join([f"## {title}", *(paragraph for paragraph in paragraphs if paragraph)]) + "\n"


def image(caption: str, name: str) -> str:
    """A figure of the report's folder."""
    return f"![{caption}](figures/{name}.png)"


def conclusions_section(comparison: Comparison) -> str:
    """What the figures support, by the tests alone."""
    sentences = "\n".join(f"- {sentence}" for sentence in conclusions(comparison))
    return section("What the figures support", sentences, f"How a verdict is reached: {RULE}")


def runs_section(runs: Sequence[Run]) -> str:
    """Every run by status; those that are not finished by name, with the reason."""
    unfinished = [run for run in runs if run.status != FINISHED]
    rows = [
        [run.experiment, "" if run.seed is None else str(run.seed), run.status, run.folder.name, run.reason]
        for run in unfinished
    ]
    count = f"{len(runs) - len(unfinished)} of {len(runs)} runs are finished."
    table = markdown_table(["experiment", "seed", "status", "folder", "reason"], rows) if rows else ""
    note = "What is not finished has no place in tables and tests." if rows else ""
    return section("Runs", count, table, note)


def results_section(finished: Sequence[Run], comparison: Comparison, published: bool) -> str:
    """The results table, the differences from the baseline experiment, and the published figures beside."""
    several = any(len(members) > 1 for members in by_experiment(finished).values())
    other_pool = any(run.pool() != finished[0].pool() for run in finished)
    single = any(len(members) == 1 for members in by_experiment(finished).values())
    doubts = {name: why_no_repetitions(members) for name, members in by_experiment(finished).items()}
    notes = [INTERVAL_NOTE if several else "", ONE_SEED_NOTE if single else "", OTHER_POOL_NOTE if other_pool else ""]
    return section(
        "Results",
        f"Ranks and MRR in percent; test figures are of the checkpoint that was best on val. "
        f"Baselines stand below, on the same pools with the same ranks. {' '.join(note for note in notes if note)}",
        results_table(finished),
        "\n".join(f"- {name} has no interval: {doubt}." for name, doubt in doubts.items() if doubt),
        f"Differences from {comparison.baseline} on {comparison.split}, in percentage points:",
        markdown_table(FINDING_HEADER, finding_rows(comparison.experiments))
        if comparison.experiments
        else "There is no other experiment.",
        image("Differences on Rank@10 with their 95 % intervals", "differences") if comparison.experiments else "",
        published_table(finished, comparison.baseline) if published else "",
    )


def diagnoses_section(comparison: Comparison) -> str:
    """Each diagnosed reason of Exp 2.1's failure, by what taking it away does."""
    sentences = "\n".join(f"- {sentence}" for sentence in diagnosis_sentences(comparison))
    return section(
        "The four diagnoses",
        f"Every remedy changes one thing of {comparison.baseline}, and is tested against it on {comparison.split}. "
        "Holm runs over this table.",
        sentences,
        markdown_table(["reason", *FINDING_HEADER], diagnosis_rows(comparison)),
    )


def published_table(finished: Sequence[Run], baseline: str) -> str:
    """The write-up's own table, metric by metric, with its figures as reference columns."""
    groups = by_experiment(finished)
    names = [name for name in published_results()["runs"] if name in groups]
    others = [name for name in names if name != baseline and baseline in names]
    header = ["metric", *names, *(f"Δ {name}" for name in others)]
    header += [f"{name} published {MARK}" for name in names] + [f"Δ {name} published {MARK}" for name in others]
    rows = []
    for metric in METRICS:
        scale, digits = (100, 2) if metric.rsplit("/", 1)[-1] in PERCENT else (1, 3)
        here = {name: scale * mean(run.figure(metric) for run in groups[name]) for name in names}
        there = {name: scale * published_summary(name)[metric] for name in names}
        cells = [spread_over_seeds(groups[name], metric) for name in names]
        cells += [f"{here[name] - here[baseline]:+.{digits}f}" for name in others]
        cells += [f"{there[name]:.{digits}f}" for name in names]
        cells += [f"{there[name] - there[baseline]:+.{digits}f}" for name in others]
        rows.append([metric, *cells])
    if not names:
        return ""
    return f"Beside the published write-up. {NOTE}\n\n{markdown_table(header, rows)}"


def tests_section(comparison: Comparison) -> str:
    """The tests within every seed, and those against the trivial baselines."""
    header = ["experiment", "against", "metric", "seed", "Δ", "95 % bootstrap interval", "permutation p", "McNemar p"]
    rows = [
        [
            *(finding.experiment, finding.reference, METRIC_LABELS[finding.metric], str(seed)),
            f"{100 * test.difference:+.2f}",
            f"{100 * test.low:+.2f} to {100 * test.high:+.2f}",
            f"{test.p_value:.4f}",
            f"{finding.effect.mcnemar[seed]:.4f}" if seed in finding.effect.mcnemar else "",
        ]
        for finding in comparison.experiments
        if finding.effect is not None
        for seed, test in finding.effect.by_seed.items()
    ]
    return section(
        "Tests",
        f"Against the baselines that need no training, on {comparison.split}:",
        markdown_table(FINDING_HEADER, finding_rows(comparison.trivial)),
        f"Within every seed, against {comparison.baseline}: paired over the queries, p-values not adjusted."
        if rows
        else "",
        markdown_table(header, rows) if rows else "",
    )


def curves_section(runs: Sequence[Run], metric: str, epochs: Sequence[int], published: bool) -> str:
    """The training curves at chosen epochs, and their figure."""
    header, rows = curve_rows(runs, metric, epochs, published)
    return section(
        "Training curves",
        f"{metric} in percent, mean over the seeds that reached an epoch, which count from 0; "
        f"best and last epochs marked. {NOTE if published else ''}".strip(),
        markdown_table(header, rows),
        image(f"{metric} by epoch, band from the least to the greatest seed", "curves"),
    )


def hard_negatives_section(finished: Sequence[Run]) -> str:
    """The summary of each experiment's hard-negative index, and the figures of the four failure modes."""
    indices = {name: runs[0].provenance["hard_negatives"] for name, runs in by_experiment(finished).items()}
    mined = {name: index for name, index in indices.items() if index}
    statistics = list(dict.fromkeys(key for index in mined.values() for key in index))
    summary = markdown_table(
        ["statistic", *mined], [[key, *(index.get(key, "") for index in mined.values())] for key in statistics]
    )
    tables = [
        f"### {title}\n\n{markdown_table(header, rows)}"
        for title, (header, rows) in failure_mode_tables(finished).items()
    ]
    return section(
        "Hard negatives",
        summary if mined else "No experiment mined hard negatives.",
        "The four reasons that the published Exp 2.1 failed for, as figures of these runs; means over seeds and over "
        "the epochs in which mined candidates stood in the softmax. They describe the runs; whether a remedy helps is "
        "for the tests above.",
        *tables,
        image("Gauges of the mined candidates by epoch", "mined") if mined else "",
    )


def health_section(finished: Sequence[Run]) -> str:
    """The collapse gauges of the best checkpoint and their curves."""
    header, rows = health_table(finished)
    return section(
        "Health",
        "Collapse would show as a deviation near 0, an effective rank near 1 or a pairwise cosine near 1 where the "
        "targets have neither. Predictions on val; L2-normalised, 1 is the deviation of a uniform sphere.",
        markdown_table(header, rows),
        image("Gauges by epoch", "health"),
    )


def configuration_section(finished: Sequence[Run]) -> str:
    """What differs between the experiments' configurations, code and artifacts."""
    differences = configuration_differences(finished)
    names = list(by_experiment(finished))
    rows = [[f"`{key}`", *(f"`{values[name]}`" for name in names)] for key, values in differences.items()]
    table = markdown_table(["key", *names], rows)
    return section(
        "Configuration differences",
        "Everything else is equal: configuration, code, versions and artifacts." if rows else "There is no difference.",
        table if rows else "",
    )


def origin_section(finished: Sequence[Run], command: str) -> str:
    """How to make this report again, and from which commits, corpora and machines the runs came."""
    commits = dict.fromkeys(
        f"{str(run.provenance['git']['sha'])[:12]}{' (dirty)' if run.provenance['git']['dirty'] else ''}"
        for run in finished
    )
    corpora = dict.fromkeys(f"`{run.provenance['artifacts']['corpus']}` ({run.pool()})" for run in finished)
    sizes = finished[0].summary
    hours = sum(float(run.summary.get("wall_seconds", 0.0)) for run in finished) / 3600
    lines = [
        f"- command: `{command}`",
        f"- commits: {', '.join(commits)}",
        f"- corpora: {', '.join(corpora)}",
        "- functions: "
        + ", ".join(f"{sizes.get(f'{split}_functions', 0):,} {split}" for split in ("train", "val", "test")),
        f"- training time of all runs together: {hours:.1f} h",
    ]
    return section("Origin", "\n".join(lines))
