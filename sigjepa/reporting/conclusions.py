"""Verdicts as rows of a table and as plain sentences, never stronger than the tests behind them."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from statistics import mean

from sigjepa.evaluation.significance import BETTER, NOT_TESTED, ONE_SEED, WITHIN_NOISE, WORSE
from sigjepa.reporting.comparison import MAIN_METRIC, Comparison, Finding
from sigjepa.reporting.tables import LABELS

METRIC_LABELS = {"rank1": "Rank@1", "rank5": "Rank@5", "rank10": "Rank@10", "mrr": "MRR"}
RELATIONS = {
    BETTER: "better than",
    WORSE: "worse than",
    WITHIN_NOISE: "within noise of",
    NOT_TESTED: "not tested against",
}
FINDING_HEADER = ("experiment", "against", "metric", "seeds", "Δ points", "95 % interval", "p", "Holm p", "verdict")


def label_of(reference: str) -> str:
    """What tables call a baseline; an experiment has its own name."""
    return LABELS.get(reference, reference)


def finding_rows(findings: Sequence[Finding]) -> list[list[str]]:
    """A row a finding under `FINDING_HEADER`; the remark stands behind `not tested`."""
    rows = []
    for one in findings:
        cells = ["0", "", "", "", "", f"{one.verdict}: {one.remark}"]
        if effect := one.effect:
            interval = " to ".join(map(_points, effect.interval))
            p_values = (_p_value(effect.over_queries.p_value), _p_value(effect.adjusted))
            cells = [str(len(effect.by_seed)), _points(one.difference), interval, *p_values, one.verdict]
        rows.append([one.experiment, label_of(one.reference), METRIC_LABELS[one.metric], *cells])
    return rows


def conclusions(comparison: Comparison) -> list[str]:
    """What the verdicts support, in sentences that claim no more.

    The first three are the main ones: the experiment that differs most from the baseline experiment, the experiments
    against the strongest trivial baseline, and which differences the seeds let one see. Then every other experiment on
    Rank@10, other metrics whose verdict is better or worse, and what each experiment is worth beside each baseline.
    """
    main = [one for one in comparison.experiments if one.metric == MAIN_METRIC]
    tested = sorted((one for one in main if one.effect), key=lambda one: -one.difference)
    place = f"On {comparison.split} {METRIC_LABELS[MAIN_METRIC]}"
    if tested:
        aside = f" (the highest of {len(tested)} differences tested)" if len(tested) > 1 else ""
        first = _sentence(comparison.split, tested[0], aside)
    else:
        why = "; ".join(dict.fromkeys(one.remark for one in main)) or "there is no other experiment"
        first = f"{place}, no experiment is tested against {comparison.baseline}: {why}."
    sentences = [first, f"{place}, {_against_strongest(comparison.trivial)}", _visible(comparison, tested)]
    others = [*tested[1:], *(one for one in main if tested and not one.effect)]
    others += [one for one in comparison.experiments if one not in main and one.verdict.startswith((BETTER, WORSE))]
    sentences += [_sentence(comparison.split, one) for one in others]
    beside: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for one in comparison.trivial:
        if one.metric == MAIN_METRIC and one.effect:
            beside[one.experiment][_relation(one, "{}")].append(
                f"{label_of(one.reference)} ({_points(one.difference)} points)"
            )
    for experiment, relations in beside.items():
        parts = "; ".join(relation.format(", ".join(names)) for relation, names in relations.items())
        sentences.append(f"{place}, {experiment} is {parts}.")
    return sentences


def _against_strongest(trivial: Sequence[Finding]) -> str:
    tested = [one for one in trivial if one.metric == MAIN_METRIC and one.effect]
    if not tested:
        return "no experiment is tested against a trivial baseline; the table says why."
    names = dict.fromkeys(one.reference for one in tested)
    scores = {name: mean(one.level for one in tested if one.reference == name) for name in names}
    strongest = max(scores, key=lambda name: scores[name])
    against = [one for one in tested if one.reference == strongest]
    highest = max(against, key=lambda one: one.difference)
    tally = Counter(one.verdict for one in against)
    better = sum(count for verdict, count in tally.items() if verdict.startswith(BETTER))
    beside = f"the strongest of {len(scores)} trivial baselines tested"
    return (
        f"{better or 'none'} of {len(against)} experiments tested {'is' if better < 2 else 'are'} shown to be better "
        f"than {label_of(strongest)} ({100 * scores[strongest]:.2f} %), {beside} "
        f"({', '.join(f'{count} {verdict}' for verdict, count in tally.items())}); the highest, {highest.experiment}, "
        f"is {_relation(highest, label_of(strongest))}: {_details(highest)}."
    )


def _visible(comparison: Comparison, tested: Sequence[Finding]) -> str:
    """The smallest difference from the baseline experiment that the intervals over seeds would have shown."""
    place = f"{comparison.split} {METRIC_LABELS[MAIN_METRIC]}"
    shows = f"a difference from {comparison.baseline} on {place} shows only above"
    effects = {one.experiment: one.effect for one in tested if one.effect}
    widths = {name: effect.over_seeds.half_width for name, effect in effects.items()}
    known = sorted((width, name) for name, width in widths.items() if width is not None)
    if known:
        counts = sorted({effects[name].over_seeds.count for _, name in known})
        ends = (f"{100 * width:.2f} points ({name})" for width, name in dict.fromkeys((known[0], known[-1])))
        start = f"With {' or '.join(map(str, counts))} seeds, {shows} {' to '.join(ends)}"
        return f"{start}: half the width of the 95 % interval over seeds."
    if effects:
        widest = max((effect.over_queries.high - effect.over_queries.low) / 2 for effect in effects.values())
        return f"One seed each: the noise of seeds is unknown. Over queries alone, {shows} {100 * widest:.2f} points."
    return f"What the noise of seeds would let one see against {comparison.baseline} is unknown: nothing is tested."


def _relation(finding: Finding, reference: str) -> str:
    word = finding.verdict.removesuffix(f" {ONE_SEED}")
    return f"{RELATIONS[word]} {reference}{finding.verdict.removeprefix(word)}"


def _sentence(split: str, finding: Finding, aside: str = "") -> str:
    left_out = f" Left out: {finding.remark}." if finding.remark and finding.effect else ""
    relation = _relation(finding, label_of(finding.reference))
    start = f"On {split} {METRIC_LABELS[finding.metric]}, {finding.experiment}{aside} is {relation}"
    return f"{start}: {_details(finding)}.{left_out}"


def _details(finding: Finding) -> str:
    if (effect := finding.effect) is None:
        return finding.remark
    seeds = sorted(effect.by_seed)
    over = f"over {len(seeds)} seeds" if len(seeds) > 1 else f"over queries, seed {seeds[0]} alone"
    return (
        f"{_points(finding.difference)} points (95 % interval {over} {' to '.join(map(_points, effect.interval))}; "
        f"permutation p {_p_value(effect.over_queries.p_value)}, Holm {_p_value(effect.adjusted)})"
    )


def _points(fraction: float) -> str:
    return f"{round(100 * fraction, 2) + 0.0:+.2f}"  # + 0.0: no "-0.00"


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
