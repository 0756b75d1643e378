"""Agreement of two judges on the same pairs: confusion, raw agreement and Cohen's κ with their intervals."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sigjepa.negatives.judging.judges.judge import SCORES

HIGHEST_NEGATIVE = 1  # the highest score_c that may become a hard negative

NORMAL_97_5 = 1.959963984540054  # quantile of the normal distribution

Table = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, eq=False)
class Agreement:
    """The agreement of two judges on `pairs` pairs that both gave a score.

    confusion: `[4, 4]`, rows by the reference's score, columns by the judge's. observed: share of equal scores. kappa:
    of the four scores. weighted_kappa: with quadratic weights, so that 0 against 3 counts nine times 0 against 1.
    negative_confusion, negative_observed, negative_kappa: the same of the decision that matters, score_c <= 1 or not.
    """

    pairs: int
    confusion: Table
    observed: Estimate
    kappa: Estimate
    weighted_kappa: Estimate
    negative_confusion: Table
    negative_observed: Estimate
    negative_kappa: Estimate

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in asdict(self).items()
        }


def agreement(reference: Sequence[int], judge: Sequence[int]) -> Agreement:
    """Return the agreement of two lists of scores of the same pairs."""
    scores = confusion(reference, judge, len(SCORES))
    reference_positive, judge_positive = (
        [int(score > HIGHEST_NEGATIVE) for score in side] for side in (reference, judge)
    )
    negatives = confusion(reference_positive, judge_positive, 2)
    return Agreement(
        pairs=int(scores.sum()),
        confusion=scores,
        observed=observed(scores),
        kappa=kappa(scores),
        weighted_kappa=kappa(scores, quadratic=True),
        negative_confusion=negatives,
        negative_observed=observed(negatives),
        negative_kappa=kappa(negatives),
    )


def confusion(reference: Sequence[int], judge: Sequence[int], categories: int) -> Table:
    """Return how many pairs got each combination of categories `[C, C]`, rows by the reference."""
    table = np.zeros((categories, categories), dtype=np.int64)
    np.add.at(table, (np.asarray(reference, dtype=np.int64), np.asarray(judge, dtype=np.int64)), 1)
    return table


def observed(table: Table) -> Estimate:
    """Return the share of pairs on the diagonal of a confusion `[C, C]`, with Wilson's interval."""
    from scipy import stats  # noqa: PLC0415 - slow to import

    count, total = int(np.trace(table)), int(table.sum())
    if not total:
        return Estimate(None, None, None)
    interval = stats.binomtest(count, total).proportion_ci(method="wilson")
    return Estimate(count / total, float(interval.low), float(interval.high))


def kappa(table: Table, *, quadratic: bool = False) -> Estimate:
    """Return Cohen's κ of a confusion `[C, C]`, with the interval of its asymptotic variance.

    Undefined without pairs, and when both judges gave all of them one and the same category: chance alone explains
    that. Source: Fleiss, Cohen and Everitt (1969), Large sample standard errors of kappa and weighted kappa.
    """
    if np.count_nonzero(table.sum(axis=0) + table.sum(axis=1)) < 2:
        return Estimate(None, None, None)
    categories = np.arange(len(table))
    distance = np.abs(categories[:, None] - categories)
    weights = 1 - (distance / (len(table) - 1)) ** 2 if quadratic else (distance == 0).astype(float)
    total = table.sum()
    shares = table / total
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    by_chance = rows @ weights @ columns
    value = ((weights * shares).sum() - by_chance) / (1 - by_chance)
    marginals = (weights @ columns)[:, None] + rows @ weights
    spread = (shares * (weights - marginals * (1 - value)) ** 2).sum() - (value - by_chance * (1 - value)) ** 2
    half = NORMAL_97_5 * math.sqrt(max(0.0, spread / total)) / (1 - by_chance)
    return Estimate(float(value), float(max(-1.0, value - half)), float(min(1.0, value + half)))


def agreement_text(result: Agreement, reference: str, judge: str) -> str:
    """Return the confusion and the figures as two Markdown tables."""
    reference, judge = (name.replace("|", "/") for name in (reference, judge))
    columns = list(SCORES)
    rows = [
        f"| rows: {reference}, columns: {judge} | {' | '.join(map(str, columns))} | all |",
        f"|---|{'---|' * (len(columns) + 1)}",
        *(
            f"| {score}, {SCORES[score]} | {' | '.join(f'{count:,}' for count in counts)} | {counts.sum():,} |"
            for score, counts in zip(columns, result.confusion, strict=True)
        ),
        f"| all | {' | '.join(f'{count:,}' for count in result.confusion.sum(axis=0))} | {result.pairs:,} |",
    ]
    figures = {
        "same score": result.observed,
        "Cohen's κ": result.kappa,
        "Cohen's κ, quadratic weights": result.weighted_kappa,
        f"same decision, negative (score_c ≤ {HIGHEST_NEGATIVE}) or not": result.negative_observed,
        "Cohen's κ of that decision": result.negative_kappa,
    }
    rows += ["", "| figure | value | 95 % interval |", "|---|---|---|", *(_row(*figure) for figure in figures.items())]
    return "\n".join(rows)


def _row(name: str, estimate: Estimate) -> str:
    value = "undefined" if estimate.value is None else f"{estimate.value:.2f}"
    interval = "" if estimate.low is None or estimate.high is None else f"{estimate.low:.2f} to {estimate.high:.2f}"
    return f"| {name} | {value} | {interval} |"
