"""Names in W&B: the axis of curves, and tags and names within its limits."""

import hashlib
from collections.abc import Mapping, Sequence

STEP = "trainer/global_step"
IDENTITY = "experiment"
"""The key of a run's config that tells experiments apart: name, and hash of the settings without the seed."""
GROUP_LENGTH = NAME_LENGTH = 128  # W&B's limits
TAG_LENGTH = 64


def shortened(text: str, limit: int) -> str:
    """Return `text`, its end replaced by a hash where it is longer than `limit`, so that different ones stay
    different.
    """
    return text if len(text) <= limit else f"{text[: limit - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def wandb_tags(choices: Mapping[str, str | Sequence[str]]) -> list[str]:
    """Return one tag a choice, written as the override that makes it: `experiment=exp1_4`, `loss=infonce`."""
    listed = {key: [value] if isinstance(value, str) else value for key, value in choices.items()}
    return [shortened(f"{key}={value}", TAG_LENGTH) for key, values in listed.items() for value in values]
