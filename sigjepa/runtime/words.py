"""The words of a command line, as a shell gives them and as Hydra takes them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from sigjepa.errors import SigjepaError, nearest_name

FLAGS: Mapping[str, str] = MappingProxyType({})
QUOTES = ("'", '"')


def parse_words(words: Sequence[str], flags: Mapping[str, str] = FLAGS) -> tuple[Any, list[str]]:
    """Return Hydra's options and the overrides among `words`; raises SigjepaError for an option that nothing knows.

    Two options of Hydra are refused: they would run what a folder or a file of somebody's says.
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise SigjepaError(f"{message[:1].upper()}{message[1:]}. --help lists what can be given.")

    parser.error = refuse  # type: ignore[method-assign]  # it would print its usage and exit
    options, unknown = parser.parse_known_intermixed_args([word for word in words if word != "--version"])
    if unknown:
        known = {*flags, *re.findall(r"--[\w-]+", parser.format_usage())}
        raise SigjepaError(
            f"There is no option '{unknown[0]}'.{nearest_name(unknown[0], known)} --help lists what can be given."
        )
    if options.config_path:
        raise SigjepaError("--config-path would leave out the configs of sigjepa; --config-dir adds your own to them.")
    if options.experimental_rerun:
        raise SigjepaError("--experimental-rerun reads a pickle, which is code; resume=auto goes on with a run.")
    return options, list(options.overrides)


def refuse_without_assertions(words: Sequence[str]) -> None:
    """Raise SigjepaError for `range(…)` or `{…}` where Python leaves out the assertions by which Hydra reads them."""
    for word in words:
        if not __debug__ and re.search(r"=[^'\"]*[({]", word.replace("${", "")):
            raise SigjepaError(f"Hydra can't read {word} under PYTHONOPTIMIZE (python -O): unset it.")


def hydra_words(word: str, flags: Mapping[str, str], positional: str | None) -> list[str]:
    """Return a word of the command line as Hydra takes it; none for a flag that means nothing to it."""
    if word in flags:
        return [flags[word]] if flags[word] else []
    if positional is not None and not word.startswith("-") and ("=" not in word or Path(word).exists()):
        return [f"{positional}={quoted(word)}"]
    return [quote_value(word)]


def quoted(value: str) -> str:
    """Return a text as Hydra's grammar quotes it."""
    return QuotedString(value, Quote.double).with_quotes()


def quote_value(word: str) -> str:
    """Return `key=value` such that Hydra takes the value, or each item of a list, as a shell has given it.

    Quoted is a path that exists and has a sign of Hydra's grammar in it, as run folders have `=` and `,`, and what that
    grammar refuses: letters that are not ASCII, `'`, `(`, `#`.
    """
    key, equals, value = word.partition("=")
    if not equals or word.startswith("-"):
        return word
    if re.search(r"[=, ()]", value) and _exists(value):
        return f"{key}={quoted(value)}"
    if _is_understood(word):
        return word
    if "=" in value and not value.startswith("["):  # the name of a run's folder, though none is there
        return f"{key}={quoted(value)}"
    start, end = ("[", "]") if value.startswith("[") and value.endswith("]") else ("", "")
    return f"{key}={start}{','.join(map(_quote_item, _items(value.removeprefix(start).removesuffix(end))))}{end}"


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long for a name, or a zero in it
        return False


def _is_understood(word: str) -> bool:
    try:
        OverridesParser.create().parse_override(word).value()
    except HydraException:
        return False
    return True


def _items(text: str) -> list[str]:
    """Return the items between commas, those in brackets and in quotes of an item's own left whole."""
    items, quote, depth = [""], "", 0
    for letter in text:
        if letter == "," and not quote and depth == 0:
            items.append("")
            continue
        begins = not items[-1].strip()
        if letter == quote:
            quote = ""
        elif begins and letter in QUOTES and text.count(letter) > 1:
            quote = letter
        elif not quote and letter in "[{" and (begins or depth):
            depth += 1
        elif not quote and letter in "]}" and depth:
            depth -= 1
        items[-1] += letter
    return items


def _quote_item(item: str) -> str:
    return item if _is_understood(f"key={item}") else quoted(item.strip())
