"""The protocol of an executor."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from sigjepa.store.build import PartRecord
from sigjepa.store.stage import Part, Stage


class Executor(Protocol):
    """Builds parts of a stage, which need nothing of each other."""

    def run(self, stage: Stage[Any], parts: Sequence[Part], folder: Path) -> Iterator[PartRecord]:
        """Build parts below the stage's folder; yield the record of each as it comes, in any order.

        Raises SigjepaError for what a stage refuses, and when workers are lost for good; what is finished is kept.
        """
