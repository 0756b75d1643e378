"""The one exception that a user is meant to read."""

import difflib
from collections.abc import Callable, Iterable
from typing import Self


class SigjepaError(Exception):
    """A mistake in the input or configuration: the message names the culprit and the way out.

    Entry points print it as one line and exit with status 1; anything else is a defect and keeps its traceback.
    """


class DamagedError(SigjepaError):
    """A file that this project wrote is not as it was written.

    problem: which file, and what is wrong with it. way_out: a sentence. mend: does what the way out says; what is
    damaged is set aside, so that it is built again, and nothing is thrown away.
    """

    def __init__(self, problem: str, way_out: str, mend: Callable[[], None]) -> None:
        super().__init__(f"{problem}. {way_out}")
        self.problem = problem
        self.way_out = way_out
        self.mend = mend

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, Callable[[], None]]]:
        """Return all arguments: jobs that run side by side send their errors to the process that started them."""
        return type(self), (self.problem, self.way_out, self.mend)


class StorageError(SigjepaError, OSError):
    """A file could not be written because of the disk, not of what was to be written."""


class LostProcessError(SigjepaError):
    """Another process of the run is gone, or is not heard of any more."""


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return the hint ` Did you mean 'x'?` for a misspelled name, or an empty string when nothing known is near."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{matches[0]}'?" if matches else ""
