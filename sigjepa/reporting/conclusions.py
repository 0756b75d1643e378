"""Verdicts as rows of a table and as plain sentences, never stronger than the tests behind them."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import mean

from sigjepa.evaluation.baselines import reference_label
from sigjepa.evaluation.metrics import Metric
from sigjepa.evaluation.power import MAX_SEEDS, POWER, seeds_needed
from sigjepa.evaluation.significance import BETTER, NOT_TESTED, ONE_SEED, WITHIN_NOISE, WORSE, Effect
from sigjepa.reporting.comparison import Comparison, Finding

RELATIONS = {
    BETTER: "better than",
    WORSE: "worse than",
    WITHIN_NOISE: "within noise of",
    NOT_TESTED: "not tested against",
    ONE_SEED: "by one seed neither better nor worse than",
}
FINDING_HEADER = ("experiment", "verdict", "against", "metric", "Δ", "95 % interval", "p", "adjusted p", "seeds")


def finding_rows(findings: Sequence[Finding], comparison: Comparison) -> list[list[str]]:
    """Return a row a finding under `FINDING_HEADER`; the remark stands behind `not tested`."""
    rows = []
    for finding in findings:
        metric = comparison.metrics[finding.metric]
        verdict, cells = f"{finding.verdict}: {finding.remark}", ["", "", "", "", "0"]
        if effect := finding.effect:
            interval = _interval(effect, metric)
            p_values = (_p_value(effect.test.p_value), _p_value(effect.adjusted))
            difference = metric.format_difference(finding.difference)
            verdict, cells = finding.verdict, [difference, interval, *p_values, str(len(effect.seeds))]
        rows.append([finding.experiment, verdict, reference_label(finding.reference), metric.label, *cells])
    return rows


def conclusions(comparison: Comparison) -> list[str]:
    """Return what the verdicts support, in sentences that claim no more.

    The first three are the main ones: the experiment that gains most over the baseline experiment, the experiments
    against the strongest trivial baseline, once for each pool and teacher, and which differences the seeds let one see.
    Then every other experiment on the main metric, other metrics whose verdict is better or worse, and each experiment
    beside each baseline.
    """
    metric = comparison.metrics[comparison.main]
    main = [finding for finding in comparison.experiments if finding.metric == comparison.main]
    tested = sorted(
        (finding for finding in main if finding.effect), key=lambda finding: -metric.gain(finding.difference)
    )
    place = f"On {comparison.split} {metric.label}"
    if tested:
        aside = f" (the best of {len(tested)} differences tested)" if len(tested) > 1 else ""
        first = _sentence(comparison, tested[0], aside)
    else:
        why = "; ".join(dict.fromkeys(finding.remark for finding in main)) or "there is no other experiment"
        first = f"{place}, no experiment is tested against {comparison.baseline}: {why}."
    trivial = [finding for finding in comparison.trivial if finding.metric == comparison.main and finding.effect]
    groups = _by_pool_and_levels(trivial, metric)
    sentences = [first]
    for group in groups or [[]]:
        names = ", ".join(dict.fromkeys(finding.experiment for finding in group))
        whose = f"on the pool and teacher of {names}, " if len(groups) > 1 else ""
        sentences.append(f"{place}, {whose}{_against_strongest(group, metric)}")
    sentences.append(_visible(comparison, tested))
    others = [*tested[1:], *(finding for finding in main if tested and not finding.effect)]
    others += [
        finding
        for finding in comparison.experiments
        if finding not in main and finding.verdict.startswith((BETTER, WORSE))
    ]
    sentences += [_sentence(comparison, finding) for finding in others]
    beside: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for finding in trivial:
        difference = (
            f"{reference_label(finding.reference)} ({metric.format_difference(finding.difference)}{metric.unit})"
        )
        beside[finding.experiment][_relation(finding, "{}")].append(difference)
    for experiment, relations in beside.items():
        parts = "; ".join(relation.format(", ".join(names)) for relation, names in relations.items())
        sentences.append(f"{place}, {experiment} is {parts}.")
    return sentences


def _by_pool_and_levels(tested: Sequence[Finding], metric: Metric) -> list[list[Finding]]:
    """Return the findings of experiments that have one pool, and the same baselines as far as these were measured."""
    groups: list[tuple[dict[str, str], list[Finding]]] = []
    for experiment in dict.fromkeys(finding.experiment for finding in tested):
        own = [finding for finding in tested if finding.experiment == experiment]
        pools = {finding.effect.pair.pool for finding in own if finding.effect}
        shown = {"": ", ".join(pools)} | {finding.reference: metric.format(finding.level) for finding in own}
        for known, group in groups:
            if all(known.get(name, text) == text for name, text in shown.items()):
                known.update(shown)
                group.extend(own)
                break
        else:
            groups.append((shown, own))
    return [group for _, group in groups]


def _against_strongest(tested: Sequence[Finding], metric: Metric) -> str:
    if not tested:
        return "no experiment is tested against a trivial baseline; the table says why."
    names = dict.fromkeys(finding.reference for finding in tested)
    scores = {name: mean(finding.level for finding in tested if finding.reference == name) for name in names}
    strongest = max(scores, key=lambda name: metric.gain(scores[name]))
    against = [finding for finding in tested if finding.reference == strongest]
    best = max(against, key=lambda finding: metric.gain(finding.difference))
    tally = Counter(finding.verdict for finding in against)
    better = sum(count for verdict, count in tally.items() if verdict.startswith(BETTER))
    label, percent = reference_label(strongest), " %" if metric.percent else ""
    experiments = f"{len(against)} experiment{'s' * (len(against) != 1)}"
    return (
        f"{better or 'none'} of {experiments} tested {'is' if better < 2 else 'are'} shown to be better "
        f"than {label} ({metric.format(scores[strongest])}{percent}), the strongest of {len(scores)} trivial baselines "
        f"tested ({', '.join(f'{count} {verdict}' for verdict, count in tally.items())}); the best, {best.experiment}, "
        f"is {_relation(best, label)}: {_details(best, metric)}."
    )


def _visible(comparison: Comparison, tested: Sequence[Finding]) -> str:
    """Return the smallest difference from the baseline experiment that the intervals over seeds would have shown."""
    metric = comparison.metrics[comparison.main]
    shows = f"a difference from {comparison.baseline} on {comparison.split} {metric.label} shows only above"
    effects = {finding.experiment: finding.effect for finding in tested if finding.effect}
    if not effects:
        return f"What the noise of seeds would let one see against {comparison.baseline} is unknown: nothing is tested."
    several = {name: effect for name, effect in effects.items() if len(effect.seeds) > 1}
    widths = sorted((effect.test.high - effect.test.difference, name) for name, effect in (several or effects).items())
    ends = dict.fromkeys((widths[0], widths[-1]))
    described = " to ".join(f"{metric.format(width)}{metric.unit} ({name})" for width, name in ends)
    if not several:
        return f"One seed each: the noise of seeds is unknown, so nothing is called. By packages, {shows} {described}."
    counts = " or ".join(map(str, sorted({len(effect.seeds) for effect in several.values()})))
    return f"With {counts} seeds, {shows} {described}: half the width of the 95 % interval."


def seeds_sentence(comparison: Comparison, difference: float) -> str:
    """Return how many seeds a sweep of these experiments needs to show a true `difference` on the main metric.

    difference: from the baseline experiment, as tables print it: in points where the metric is in percent.
    """
    metric = comparison.metrics[comparison.main]
    place = f"{difference:g}{metric.unit} of {comparison.split} {metric.label} from {comparison.baseline}"
    main = [finding for finding in comparison.experiments if finding.metric == comparison.main and finding.effect]
    known = {finding.experiment: finding.effect for finding in main if finding.effect and len(finding.effect.seeds) > 1}
    if not known:
        return f"How many seeds show {place} is unknown: run two experiments with two seeds each, or more, first."
    pairs = {
        (finding.experiment, finding.reference)
        for finding in (*comparison.experiments, *comparison.also)
        if finding.effect
    }
    true = difference / (100 if metric.percent else 1)
    needs = {name: seeds_needed(effect, true, len(pairs), len(main) + 1) for name, effect in known.items()}
    most = f"more than {MAX_SEEDS}"
    said = ", ".join(f"{name} {most if count is None else count}" for name, count in needs.items())
    limit = "; where that is many, packages are the limit: take a larger test split" if None in needs.values() else ""
    return (
        f"Seeds of every experiment that show a true difference of {place} with a probability of {POWER:.0%}, in a "
        f"report of {len(pairs)} comparison{'s' * (len(pairs) > 1)}: {said}{limit}."
    )


def _relation(finding: Finding, reference: str) -> str:
    return f"{RELATIONS[finding.verdict]} {reference}"


def _sentence(comparison: Comparison, finding: Finding, aside: str = "") -> str:
    metric = comparison.metrics[finding.metric]
    left_out = f" Left out: {finding.remark}." if finding.remark and finding.effect else ""
    relation = _relation(finding, reference_label(finding.reference))
    start = f"On {comparison.split} {metric.label}, {finding.experiment}{aside} is {relation}"
    return f"{start}: {_details(finding, metric)}.{left_out}"


def _details(finding: Finding, metric: Metric) -> str:
    if (effect := finding.effect) is None:
        return finding.remark
    over = f"over {len(effect.seeds)} seeds" if len(effect.seeds) > 1 else f"of seed {effect.seeds[0]} alone"
    p_values = f"; p {_p_value(effect.test.p_value)}, adjusted {_p_value(effect.adjusted)}"
    return (
        f"{metric.format_difference(finding.difference)}{metric.unit} (95 % interval {over} "
        f"{_interval(effect, metric)}{p_values if len(effect.seeds) > 1 else ''})"
    )


def _interval(effect: Effect, metric: Metric) -> str:
    return f"{metric.format_difference(effect.test.low)} to {metric.format_difference(effect.test.high)}"


def _p_value(value: float) -> str:
    return (
        "—" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
    )
