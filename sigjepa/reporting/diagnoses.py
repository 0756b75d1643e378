"""The four diagnosed reasons of Exp 2.1's failure, and which of them runs support: each reason's remedy, tested."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sigjepa.evaluation.significance import BETTER, WORSE
from sigjepa.reporting.comparison import Comparison, Finding
from sigjepa.reporting.conclusions import finding_rows
from sigjepa.reporting.run import Run
from sigjepa.store.manifest import flatten

PUBLISHED = "exp2_1"
REMEDIES = {
    "hardneg_coverage": "coverage asymmetry",
    "hardneg_delayed": "too hard too early",
    "hardneg_score0": "ambiguous score_c = 1",
    "hardneg_per_anchor": "union dilution",
    "hardneg_curriculum": "all four together",
}
"""What each experiment takes away from Exp 2.1, and nothing else."""
REMEDIED = re.compile(r"negatives\.(tiers|filter\.max_score_c)\b|loss\.infonce\.(mined_candidates|schedule)\b")
"""The places of the settings that remedies change."""


def remedy_pairs(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Return each remedy among the runs with the Exp 2.1 of the same further settings, as both are called in tables.

    One without such an Exp 2.1, or with two that are equally near, has no place here: it would be no remedy alone.
    """
    published = {run.experiment: dict(flatten(run.identity)) for run in runs if run.name == PUBLISHED}
    pairs = []
    for label, identity in {run.experiment: run.identity for run in runs if run.name in REMEDIES}.items():
        changes = {other: _changes(settings, dict(flatten(identity))) for other, settings in published.items()}
        near = {other: len(places) for other, places in changes.items() if all(map(REMEDIED.match, places))}
        nearest = [other for other, count in near.items() if count == min(near.values())]
        pairs += [(label, nearest[0])] if len(nearest) == 1 else []
    return pairs


def _changes(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return the places of the settings in which two flattened ones differ."""
    absent = object()
    return [place for place in {*first, *second} if first.get(place, absent) != second.get(place, absent)]


def diagnosis_rows(comparison: Comparison) -> list[list[str]]:
    """Return a row a remedy under `["reason", *FINDING_HEADER]`, on the main metric."""
    findings = _main(comparison)
    cells = finding_rows(findings, comparison)
    return [[reason_of(finding), *row] for finding, row in zip(findings, cells, strict=True)]


def diagnosis_sentences(comparison: Comparison) -> list[str]:
    """Return what the tests say of each reason; one is supported only where its remedy is better than Exp 2.1."""
    return [_sentence(finding, comparison) for finding in _main(comparison)]


def reason_of(finding: Finding) -> str:
    """Return the reason that the experiment of a finding takes away."""
    return REMEDIES[finding.experiment.partition(" · ")[0]]


def _main(comparison: Comparison) -> list[Finding]:
    order = list(REMEDIES.values())
    findings = [finding for finding in comparison.also if finding.metric == comparison.main]
    return sorted(findings, key=lambda finding: order.index(reason_of(finding)))


def _sentence(finding: Finding, comparison: Comparison) -> str:
    reason, metric = reason_of(finding), comparison.metrics[finding.metric]
    if finding.effect is None:
        return f"{reason}: not tested ({finding.remark})."
    word = "neither supported nor ruled out"
    for verdict, said in ((BETTER, "supported"), (WORSE, "contradicted")):
        word = said if finding.verdict.startswith(verdict) else word
    difference = f"{metric.format_difference(finding.difference)}{metric.unit}"
    place = f"{comparison.split} {metric.label} by taking it away ({finding.experiment})"
    return f"{reason}: {word}, {difference} of {place}, {finding.verdict}."
