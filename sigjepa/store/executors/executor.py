"""The protocol of an executor, and the check of its numbers."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from sigjepa.errors import SigjepaError
from sigjepa.store.build import PartRecord
from sigjepa.store.stage import Part, Stage


def check_number(key: str, value: Any, least: int, *, whole: bool = True) -> None:
    """Raise SigjepaError for a setting that is no number of at least so much, or none that is `whole`."""
    if not isinstance(value, int if whole else int | float) or isinstance(value, bool) or not value >= least:
        raise SigjepaError(f"executor.{key}={value} must be a {'whole ' if whole else ''}number, at least {least}.")


class Executor(Protocol):
    """Builds parts of a stage, which need nothing of each other."""

    def run(self, stage: Stage[Any], parts: Sequence[Part], folder: Path) -> Iterator[PartRecord]:
        """Build parts below the stage's folder; yield the record of each as it comes, in any order.

        Raises SigjepaError for what a stage refuses, and when workers are lost for good; what is finished is kept.
        """
