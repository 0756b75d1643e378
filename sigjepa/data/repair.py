"""Making an artifact cache whole again: what is damaged is set aside and built anew, what is sound stays."""

import logging
from dataclasses import dataclass

from sigjepa.data.datamodule import FunctionDataModule
from sigjepa.errors import DamagedError

log = logging.getLogger(__name__)

MOST_REPAIRS = 1000


@dataclass(frozen=True)
class Repair:
    """One damage that was found, as its error says it."""

    problem: str


def repair_artifacts(datamodule: FunctionDataModule) -> list[Repair]:
    """Open every artifact that a run would use, and what those were made from, until nothing is damaged.

    Returns what was damaged. Raises SigjepaError for what building anew does not mend, such as a file that was brought.
    """
    repairs: list[Repair] = []
    while True:
        try:
            datamodule.verify()
            return repairs
        except DamagedError as damage:
            if len(repairs) == MOST_REPAIRS:
                raise
            log.warning("Repairing: %s", damage)
            damage.mend()
            repairs.append(Repair(str(damage).partition(". `python -m")[0]))
