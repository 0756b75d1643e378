"""Which of the four diagnosed reasons of Exp 2.1's failure a set of runs supports: each reason's remedy, tested."""

from collections.abc import Sequence

from sigjepa.evaluation.significance import BETTER, WORSE
from sigjepa.reporting.comparison import MAIN_METRIC, Comparison, Finding, compare
from sigjepa.reporting.conclusions import METRIC_LABELS, finding_rows
from sigjepa.reporting.runs import Run

PUBLISHED = "exp2_1"
REMEDIES = {
    "hardneg_coverage": "coverage asymmetry",
    "hardneg_delayed": "too hard too early",
    "hardneg_score0": "ambiguous score_c = 1",
    "hardneg_per_anchor": "union dilution",
    "hardneg_curriculum": "all four together",
}
"""What each experiment takes away from Exp 2.1, and nothing else."""


def compare_remedies(finished: Sequence[Run], split: str) -> Comparison | None:
    """Every remedy among the runs tested against Exp 2.1; None when it, or every remedy, is missing."""
    runs = [run for run in finished if run.experiment == PUBLISHED or run.experiment in REMEDIES]
    names = {run.experiment for run in runs}
    if PUBLISHED not in names or len(names) < 2:
        return None
    return compare(runs, PUBLISHED, trivial=(), split=split)


def diagnosis_rows(comparison: Comparison) -> list[list[str]]:
    """A row a remedy under `["reason", *FINDING_HEADER]`, on the main metric."""
    findings = _main(comparison)
    return [[REMEDIES[one.experiment], *cells] for one, cells in zip(findings, finding_rows(findings), strict=True)]


def diagnosis_sentences(comparison: Comparison) -> list[str]:
    """What the tests say of each reason; a reason is supported only where its remedy is better than Exp 2.1."""
    return [_sentence(one, comparison.split) for one in _main(comparison)]


def _main(comparison: Comparison) -> list[Finding]:
    order = list(REMEDIES)
    findings = [one for one in comparison.experiments if one.metric == MAIN_METRIC]
    return sorted(findings, key=lambda one: order.index(one.experiment))


def _sentence(finding: Finding, split: str) -> str:
    reason = REMEDIES[finding.experiment]
    place = f"{split} {METRIC_LABELS[MAIN_METRIC]}"
    if finding.effect is None:
        return f"{reason}: not tested ({finding.remark})."
    points = f"{100 * finding.difference:+.2f} points of {place} by taking it away ({finding.experiment})"
    if finding.verdict.startswith(BETTER):
        return f"{reason}: supported, {points}, {finding.verdict}."
    if finding.verdict.startswith(WORSE):
        return f"{reason}: contradicted, {points}, {finding.verdict}."
    return f"{reason}: neither supported nor ruled out, {points}, {finding.verdict}."
