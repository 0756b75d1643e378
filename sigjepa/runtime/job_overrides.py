"""Overrides of a sweep that only its jobs can take, as `negatives.tiers=null` where `negatives` is swept."""

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException

from sigjepa.runtime.words import quoted


def run_hydra(command: Callable[[], Any]) -> None:
    """Call a command that `hydra.main` made; again, where a sweep has an override that only its jobs can take.

    Options may stand among the overrides: Hydra takes them before or after all of these.
    """
    typed = sys.argv[1:]
    overrides = get_args_parser().parse_intermixed_args(typed).overrides
    options = [word for word in typed if word not in overrides]
    try:
        while True:
            sys.argv[1:] = [*options, *overrides]
            try:
                command()
                return
            except ConfigCompositionException as error:
                if not {"-m", "--multirun"} & set(options) or (left := leave_to_jobs(overrides, error)) is None:
                    raise
                overrides = left
    finally:
        sys.argv[1:] = typed


def leave_to_jobs(overrides: Sequence[str], error: ConfigCompositionException) -> list[str] | None:
    """Return the overrides of a sweep with that which `error` names in `hydra.sweeper.params`; None without one.

    Hydra composes a sweep without what is swept first, and there a key of a swept group may be missing. What stands in
    `hydra.sweeper.params` it reads for the jobs alone, so that a key that they lack as well is refused once more.
    """
    missing = re.search(r"[Cc]ould not override '([^'@]+)'", str(error))
    parsed = [(word, OverridesParser.create().parse_override(word)) for word in overrides]
    late = {
        word: override.get_value_element_as_str()
        for word, override in parsed
        if missing and override.get_key_element() == missing.group(1) and not override.is_sweep_override()
    }
    if missing is None or not late or any("$" in word or "@" in word for word in late):  # these are not for `params`
        return None
    params = ",".join(f"{missing.group(1)}:{quoted(value)}" for value in late.values())
    return [*(word for word in overrides if word not in late), f"++hydra.sweeper.params={{{params}}}"]
