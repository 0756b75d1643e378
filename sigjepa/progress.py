"""Progress of anything over five seconds: a bar on a terminal, one line a minute in a log file."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress(
    items: Iterable[Item] | None, description: str, *, total: int | None = None, unit: str = "it"
) -> "tqdm[Item]":
    """A `tqdm` over `items` (or a manual one when `items` is None) that suits where standard error goes."""
    interval = 0.1 if sys.stderr.isatty() else 60.0
    return tqdm(items, desc=description, total=total, unit=unit, mininterval=interval, delay=1.0, dynamic_ncols=True)
