"""What W&B calls things: the axis of curves, the summary of a metric, tags and names within its limits."""

import hashlib
from collections.abc import Mapping, Sequence

STEP = "trainer/global_step"
GROUP_LENGTH = NAME_LENGTH = 128  # W&B's limits
TAG_LENGTH = 64
SUMMARIES = {
    "max": ("val/rank1", "val/rank5", "val/rank10", "val/mrr", "val/cosine"),
    "min": ("train/loss", "train/step_loss", "train/{term}", "train/{term}_in_batch", "train/{term}_mined"),
}
"""Metrics whose best value is what a run is judged by; {term} is each loss term's name. Others keep their last."""


def summary_of(metric: str, loss_terms: Sequence[str]) -> str | None:
    """What stands for the whole curve of a metric: its `max`, its `min`, or, with None, its last value.

    The test split is looked at once, so there is nothing to choose among.
    """
    for summary, patterns in SUMMARIES.items():
        if any(metric == pattern.format(term=term) for pattern in patterns for term in (*loss_terms, "")):
            return summary
    return None


def shortened(text: str, limit: int) -> str:
    """`text`, its end replaced by a hash where it is longer than `limit`, so that different ones stay different."""
    return text if len(text) <= limit else f"{text[: limit - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def wandb_tags(choices: Mapping[str, str | Sequence[str]]) -> list[str]:
    """One tag a choice, written as the override that makes it: `experiment=exp1_4`, `loss=infonce`."""
    listed = {key: [value] if isinstance(value, str) else value for key, value in choices.items()}
    return [shortened(f"{key}={value}", TAG_LENGTH) for key, values in listed.items() for value in values]
