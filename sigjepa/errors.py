"""The one exception that a user is meant to read."""

import difflib
from collections.abc import Iterable


class SigjepaError(Exception):
    """A mistake in the input or configuration: the message names the culprit and the way out.

    Entry points print it as one line and exit with status 1; anything else is a defect and keeps its traceback.
    """


def nearest_name(name: str, known: Iterable[str]) -> str:
    """The hint ` Did you mean 'x'?` for a misspelt name, or an empty string when nothing known is near."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{matches[0]}'?" if matches else ""
