"""The four diagnosed reasons of Exp 2.1's failure, and which of them runs support: each reason's remedy, tested."""

from collections.abc import Sequence

from sigjepa.evaluation.significance import BETTER, WORSE
from sigjepa.reporting.comparison import Comparison, Finding, compare
from sigjepa.reporting.conclusions import finding_rows
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
    """Test every remedy among the runs against Exp 2.1; None when it, or every remedy, is missing."""
    runs = [run for run in finished if run.experiment == PUBLISHED or run.experiment in REMEDIES]
    names = {run.experiment for run in runs}
    if PUBLISHED not in names or len(names) < 2:
        return None
    return compare(runs, PUBLISHED, trivial=(), split=split)


def diagnosis_rows(comparison: Comparison) -> list[list[str]]:
    """Return a row a remedy under `["reason", *FINDING_HEADER]`, on the main metric."""
    findings = _main(comparison)
    cells = finding_rows(findings, comparison)
    return [[REMEDIES[finding.experiment], *row] for finding, row in zip(findings, cells, strict=True)]


def diagnosis_sentences(comparison: Comparison) -> list[str]:
    """Return what the tests say of each reason; one is supported only where its remedy is better than Exp 2.1."""
    return [_sentence(finding, comparison) for finding in _main(comparison)]


def _main(comparison: Comparison) -> list[Finding]:
    order = list(REMEDIES)
    findings = [finding for finding in comparison.experiments if finding.metric == comparison.main]
    return sorted(findings, key=lambda finding: order.index(finding.experiment))


def _sentence(finding: Finding, comparison: Comparison) -> str:
    reason, metric = REMEDIES[finding.experiment], comparison.metrics[finding.metric]
    if finding.effect is None:
        return f"{reason}: not tested ({finding.remark})."
    word = "neither supported nor ruled out"
    for verdict, said in ((BETTER, "supported"), (WORSE, "contradicted")):
        word = said if finding.verdict.startswith(verdict) else word
    difference = f"{metric.format_difference(finding.difference)}{metric.unit}"
    place = f"{comparison.split} {metric.label} by taking it away ({finding.experiment})"
    return f"{reason}: {word}, {difference} of {place}, {finding.verdict}."
