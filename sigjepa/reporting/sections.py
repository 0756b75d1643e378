"""The sections of a report, each as Markdown: what the published write-up has, and what it lacked."""

from collections.abc import Mapping, Sequence
from statistics import mean
from types import MappingProxyType

from sigjepa.evaluation.baselines import reference_label
from sigjepa.evaluation.metrics import Metrics, metric_at
from sigjepa.evaluation.significance import RULE
from sigjepa.reporting.comparison import Comparison
from sigjepa.reporting.conclusions import FINDING_HEADER, conclusions, finding_rows, seeds_sentence
from sigjepa.reporting.configurations import configuration_differences
from sigjepa.reporting.curves import curve_rows
from sigjepa.reporting.diagnoses import PUBLISHED, diagnosis_rows, diagnosis_sentences
from sigjepa.reporting.failure_modes import failure_mode_tables, health_table
from sigjepa.reporting.labels import label_of
from sigjepa.reporting.published import MARK, NOTE, published_results, published_summary
from sigjepa.reporting.run import Run
from sigjepa.reporting.runs import FINISHED, all_metrics, by_experiment, why_no_repetitions
from sigjepa.reporting.tables import (
    INTERVAL_NOTE,
    ONE_SEED_NOTE,
    OTHER_POOL_NOTE,
    markdown_table,
    of_pools,
    results_table,
    spread_over_seeds,
)
from sigjepa.reporting.trials import best_trials


def section(title: str, *paragraphs: str) -> str:
    """Return a section of the report; empty paragraphs are left out."""
    return "\n\n".join([f"## {title}", *(paragraph for paragraph in paragraphs if paragraph)]) + "\n"


def image(caption: str, name: str) -> str:
    """Return a figure of the report's folder."""
    return f"![{caption}](figures/{name}.png)"


def conclusions_section(pooled: Sequence[Run], comparison: Comparison, power: float | None) -> str:
    """Return what the figures support, by the tests alone, and the best trial of a search; power: a difference whose
    seeds are wanted.
    """
    said = conclusions(comparison) + ([seeds_sentence(comparison, power)] if power is not None else [])
    said += best_trials(pooled)
    sentences = "\n".join(f"- {sentence}" for sentence in said)
    return section("What the figures support", sentences)


def runs_section(runs: Sequence[Run], left_out: Mapping[str, Sequence[str]] = MappingProxyType({})) -> str:
    """Return every run by status; those that are not finished by name, with the reason.

    left_out: seeds whose folds can't be pooled and why, by experiment.
    """
    unfinished = [run for run in runs if run.status != FINISHED]
    several = any(run.fold is not None for run in runs)
    rows = [
        [
            *(run.experiment, number_or_nothing(run.seed), *([number_or_nothing(run.fold)] if several else [])),
            *(run.status, run.folder.name, run.reason),
        ]
        for run in unfinished
    ]
    count = f"{len(runs) - len(unfinished)} of {len(runs)} runs are finished."
    header = ["experiment", "seed", *(["fold"] if several else []), "status", "folder", "reason"]
    note = "What is not finished has no place in tables and tests." if rows else ""
    incomplete = "\n".join(f"- {name}, {reason}." for name, reasons in left_out.items() for reason in reasons)
    head = "Without place in tables and tests, for their folds can't be pooled:" if incomplete else ""
    return section("Runs", count, markdown_table(header, rows) if rows else "", note, head, incomplete)


def number_or_nothing(number: int | None) -> str:
    """Return a number as a cell, empty for None."""
    return "" if number is None else str(number)


def results_section(finished: Sequence[Run], comparison: Comparison, published: bool) -> str:
    """Return the results table, the differences from the baseline experiment, and the published figures beside."""
    several = any(len(members) > 1 for members in by_experiment(finished).values())
    other_pool = any(run.pool() != finished[0].pool() for run in finished)
    single = any(len(members) == 1 for members in by_experiment(finished).values())
    doubts = {name: why_no_repetitions(members) for name, members in by_experiment(finished).items()}
    notes = [INTERVAL_NOTE if several else "", ONE_SEED_NOTE if single else "", OTHER_POOL_NOTE if other_pool else ""]
    return section(
        "Results",
        f"{in_percent(all_metrics(finished))} Figures without a split are of test, and of the checkpoint that was best "
        f"on {selected_by(finished)}. Baselines stand below, on the same pools with the "
        f"same ranks. {sampled_note(finished)}{' '.join(note for note in notes if note)}",
        results_table(finished),
        "\n".join(f"- {name} has no interval: {doubt}." for name, doubt in doubts.items() if doubt),
        f"Differences from {comparison.baseline} on {comparison.split}, of percentages in points:",
        markdown_table(FINDING_HEADER, finding_rows(comparison.experiments, comparison))
        if comparison.experiments
        else "There is no other experiment.",
        image(f"Differences on {comparison.metrics[comparison.main].label} with their 95 % intervals", "differences")
        if comparison.experiments
        else "",
        published_table(finished, comparison.baseline) if published else "",
    )


def selected_by(runs: Sequence[Run]) -> str:
    """Return what the checkpoints of runs are best on; where that differs, with the experiments of each behind it."""
    labels: dict[str, dict[str, None]] = {}
    for run in runs:
        labels.setdefault(label_of(run.monitor, run.metrics), {})[run.experiment] = None
    return ", ".join(f"{label} ({', '.join(names)})" if len(labels) > 1 else label for label, names in labels.items())


def sampled_note(runs: Sequence[Run]) -> str:
    """Return the sentence that says in which samples runs are ranked, empty where pools are whole splits."""
    samples = dict.fromkeys(f"on {split} in a {text}" for run in runs for split, text in run.sampled_pools.items())
    return f"Ranks are {', '.join(samples)}: better than in the whole split. " if samples else ""


def in_percent(metrics: Metrics) -> str:
    """Return the sentence that says which figures of a table are in percent."""
    return f"{', '.join(metric.label for metric in metrics.values() if metric.percent)} in percent."


def diagnoses_section(comparison: Comparison) -> str:
    """Return each diagnosed reason of Exp 2.1's failure, by what taking it away does."""
    sentences = "\n".join(f"- {sentence}" for sentence in diagnosis_sentences(comparison))
    return section(
        "The four diagnoses",
        f"Every remedy changes one thing of {PUBLISHED}, and is tested against it on {comparison.split}, in the same "
        "family as all other tests of this report.",
        sentences,
        markdown_table(["reason", *FINDING_HEADER], diagnosis_rows(comparison)),
    )


def published_table(finished: Sequence[Run], baseline: str) -> str:
    """Return the write-up's own table, metric by metric, with its figures as reference columns."""
    groups, metrics = by_experiment(finished), all_metrics(finished)
    there = {name: published_summary(name) for name in published_results()["runs"] if name in groups}
    if not there:
        return ""
    names, others = list(there), [name for name in there if name != baseline and baseline in there]
    header = ["metric", *names, *(f"Δ {name}" for name in others)]
    header += [f"{name} published {MARK}" for name in names] + [f"Δ {name} published {MARK}" for name in others]
    rows = []
    for key in there[names[0]]:
        metric = metrics.get(key.partition("/")[2])
        if metric is None or not all(run.measures(key, metric) for name in names for run in groups[name]):
            continue
        here = {name: mean(run.figure(key) for run in groups[name]) for name in names}
        cells = [spread_over_seeds(groups[name], key, metric) for name in names]
        cells += [metric.format_difference(here[name] - here[baseline]) for name in others]
        cells += [metric.format(there[name][key]) for name in names]
        cells += [metric.format_difference(there[name][key] - there[baseline][key]) for name in others]
        rows.append([label_of(key, metrics), *cells])
    return f"Beside the published write-up. {NOTE}\n\n{markdown_table(header, rows)}"


def tests_section(comparison: Comparison) -> str:
    """Return how a verdict is reached, the tests against the trivial baselines, and those within every seed."""
    header = ["experiment", "against", "metric", "seed", "Δ", "95 % interval", "permutation p", "McNemar p"]
    rows = []
    for finding in comparison.experiments:
        metric = comparison.metrics[finding.metric]
        for seed, test in finding.effect.by_seed.items() if finding.effect is not None else ():
            mcnemar = finding.effect.mcnemar.get(seed) if finding.effect is not None else None
            rows.append(
                [
                    *(finding.experiment, reference_label(finding.reference), metric.label, str(seed)),
                    metric.format_difference(test.difference),
                    f"{metric.format_difference(test.low)} to {metric.format_difference(test.high)}",
                    f"{test.p_value:.4f}",
                    "" if mcnemar is None else f"{mcnemar:.4f}",
                ]
            )
    return section(
        "Tests",
        f"How a verdict is reached: {RULE}",
        f"Against the baselines that need no training, on {comparison.split}:",
        markdown_table(FINDING_HEADER, finding_rows(comparison.trivial, comparison)),
        f"Within every seed, against {comparison.baseline}: signs of "
        "whole packages are permuted, McNemar's test counts queries, and no p-value is adjusted."
        if rows
        else "",
        markdown_table(header, rows) if rows else "",
    )


def curves_section(runs: Sequence[Run], key: str, epochs: Sequence[int], published: bool) -> str:
    """Return the training curves at chosen epochs, and their figure."""
    header, rows = curve_rows(runs, key, epochs, published)
    label, metric = label_of(key, all_metrics(runs)), metric_at(key, all_metrics(runs))
    seeds = "seeds" if all(run.fold is None for run in runs) else "seeds and folds"
    return section(
        "Training curves",
        f"{label}{' in percent' if metric.percent else ''}, mean over the {seeds} that reached an epoch; epochs count "
        f"from 0; best and last epochs marked. {NOTE if published else ''}".strip(),
        markdown_table(header, rows),
        image(f"{label} by epoch, band from the least to the greatest of the {seeds}", "curves"),
    )


def hard_negatives_section(finished: Sequence[Run]) -> str:
    """Return the summary of each experiment's hard-negative index, and the figures of the four failure modes."""
    first = {name: runs[0] for name, runs in by_experiment(finished).items()}
    indices = {  # each fold has an index of its own
        name if run.fold is None else f"{name}, fold {run.fold}": run.provenance["hard_negatives"]
        for name, run in first.items()
    }
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
    """Return the collapse gauges of the best checkpoint and their curves."""
    header, rows = health_table(finished)
    return section(
        "Health",
        "Collapse would show as a deviation near 0, an effective rank near 1 or a pairwise cosine near 1 where the "
        "targets have neither. Predictions on val; L2-normalized, 1 is the deviation of a uniform sphere.",
        markdown_table(header, rows),
        image("Gauges by epoch", "health"),
    )


def configuration_section(finished: Sequence[Run]) -> str:
    """Return what differs between the experiments' configurations, code and artifacts."""
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
    """Return how to make this report again, and from which commits, corpora and machines the runs came."""
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
        + ", ".join(f"{sizes.get(f'{split}_functions', 0):,} {split}" for split in ("train", "val", "test"))
        + of_pools(finished[0].sampled_pools)
        + ("" if finished[0].fold is None else f", in fold {finished[0].fold}"),
        f"- training time of all runs together: {hours:.1f} h",
    ]
    return section("Origin", "\n".join(lines))
