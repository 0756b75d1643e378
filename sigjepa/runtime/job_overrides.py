"""How Hydra is called: once where that is enough, and with overrides that only a sweep's jobs can take left to them.

Such a one is `negatives.tiers=null` where `negatives` is swept.
"""

import functools
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException

from sigjepa.runtime.config_files import config_directory
from sigjepa.runtime.words import quoted

SETS_MODE = re.compile(r"^-c|config|searchpath|hydra\.mode|hydra=\{")
"""A word that may set `hydra.mode`, or bring a file that does."""


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
                with mode_of_words(typed):
                    command()
                return
            except ConfigCompositionException as error:
                if not {"-m", "--multirun"} & set(options) or (left := leave_to_jobs(overrides, error)) is None:
                    raise
                overrides = left
    finally:
        sys.argv[1:] = typed


@contextmanager
def mode_of_words(words: Sequence[str]) -> Iterator[None]:
    """Context manager: Hydra does not compose a config only to see `hydra.mode`, where no word can have set it."""
    composed = Hydra.get_mode
    if not (any(SETS_MODE.search(word) for word in words) or _a_file_sets_mode()):
        Hydra.get_mode = lambda *_, **__: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.get_mode = composed  # type: ignore[method-assign]


@functools.cache
def _a_file_sets_mode() -> bool:
    """Return whether a config of a checkout sets `hydra.mode`, which none of ours does."""
    files = config_directory().rglob("*.yaml")
    return any(re.search(r"\bmode: *\W?(RUN|MULTIRUN)\b", path.read_text(encoding="utf-8")) for path in files)


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
