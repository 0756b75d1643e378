"""Keys and passwords: what one looks like, and keeping it out of all that a command writes."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sigjepa.errors import SigjepaError

MIN_LENGTH = 8  # shorter values of an environment variable stand in texts by chance
VARIABLE = re.compile(r"(?i)(^|_)(api_?key|token|secret|password|passwd)(_?\d+)?$")
"""Names of environment variables that hold a credential."""
KEY_NAME = (
    r"(?:[\w-]*_)?(?:api_?key|access_?key|password|passwd|secret)"
    r"|(?:(?:hf|wandb|access|auth|bearer|api)_?)?token|authorization"
)
NAMED = re.compile(
    rf"(?i)(?:^|[.+~{{\s,'\"])(?:{KEY_NAME})['\"]?\s*[=:]\s*['\"]?(?!null\b|none\b|['\"]|\?\?\?)[^\s,}}\]]"
)
"""A key of that name with a value, on a command line or inside of a dictionary."""
SHAPES = re.compile(
    r"(?<![\w-])(?:"
    r"sk-[\w-]{12,}"  # OpenAI and the many that took over its form
    r"|hf_[A-Za-z0-9]{16,}"
    r"|wandb_v\d_\w{16,}"
    r"|gh[oprsu]_\w{20,}|github_pat_\w{20,}"
    r"|gsk_\w{20,}|AIza[\w-]{30,}|AKIA[A-Z0-9]{16}|xox[abp]-[\w-]{10,}"
    r"|Bearer\s+[\w.~+/-]{8,}"
    r"|[a-z][a-z0-9+.-]*://[^\s/@:'\"]*:[^\s/@'\"]+(?=@)"  # user:password@
    r")"
)
WANDB_KEY = re.compile(r"(?<![\w/.:-])[0-9a-f]{40}(?![\w/.-])")  # a commit has that form, too
COMMIT = re.compile(r"(?i)(revision|commit|sha|digest|hash)['\"]?\s*[=:]\s*['\"]?$")
QUERY = re.compile(r"(?i)://[^\s'\"]*[?&](?:api_?key|key|access_token|token|sig|password)=[^\s&'\"]+")


def secrets_of_environment() -> dict[str, str]:
    """Return the values of the environment variables that hold a credential, by the variable's name."""
    return {
        name: value
        for name, value in os.environ.items()
        if len(value) >= MIN_LENGTH and VARIABLE.search(name) and not value.startswith("/")
    }


def credentials_in(text: str, known: Iterable[str] = ()) -> Iterator[str]:
    """Yield the parts of `text` that are a credential of the environment, are among `known`, or look like one."""
    for value in (*secrets_of_environment().values(), *known):
        if value and value in text:
            yield value
    for shape in (SHAPES, QUERY):
        yield from (found.group() for found in shape.finditer(text))
    for found in WANDB_KEY.finditer(text):
        if not COMMIT.search(text[: found.start()]):
            yield found.group()


def holds_credential(text: str) -> bool:
    """Return whether a text holds what is, or looks like, a key or a password."""
    return next(credentials_in(text), None) is not None


def without_credentials(text: str, known: Iterable[str] = ()) -> str:
    """Return `text` with `<credential>` in the place of each.

    known: keys that are in use, such as that of an endpoint whose answer `text` is, whatever their variable is called.
    """
    for found in sorted(set(credentials_in(text, known)), key=len, reverse=True):
        text = text.replace(found, "<credential>")
    return text


def refuse_credentials(arguments: Iterable[str]) -> None:
    """Raise SigjepaError for a command line that holds a credential; names its key, and never repeats its value."""
    for argument in arguments:
        if NAMED.search(argument) or holds_credential(argument):
            raise SigjepaError(refusal(argument.partition("=")[0] if "=" in argument else "an argument"))


def refuse_in_config(config: Any, prefix: str = "") -> None:
    """Raise SigjepaError for a resolved config with a credential in it, as a file of it or an interpolation brings."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            place = f"{prefix}{key}"
            named = re.fullmatch(f"(?i)(?:{KEY_NAME})", str(key)) is not None
            if (named and isinstance(value, str) and value) or holds_credential(str(key)):
                raise SigjepaError(refusal(place))
            refuse_in_config(value, f"{place}.")
    elif isinstance(config, Sequence) and not isinstance(config, str):
        for position, value in enumerate(config):
            refuse_in_config(value, f"{prefix}{position}.")
    elif isinstance(config, str):
        key = prefix.removesuffix(".")
        if holds_credential(f"{key.rpartition('.')[2]}={config}"):
            raise SigjepaError(refusal(key))


def refusal(key: str) -> str:
    """Return what to say of a credential under `key`: which environment variable it belongs into."""
    shown = without_credentials(key).lstrip("+~")
    variable = variable_for(shown)
    return (
        f"'{shown}' holds what looks like a key or a password. Configurations, command lines and logs are kept with "
        f"every run, so it is refused, and not shown here. Put it into the environment variable {variable} and leave "
        "it out of the command and of every config file."
    )


def variable_for(key: str) -> str:
    """Return the environment variable in which the part of the framework that `key` belongs to looks for its key."""
    if "wandb" in key or key.startswith("logger"):
        return "WANDB_API_KEY"
    if key.startswith("teacher") or "hf_" in key.lower():
        return "HF_TOKEN"
    for judge in ("negatives.judge", "reference"):
        if key.startswith(f"{judge}."):
            return f"that {judge}.api_key_env names (OPENAI_API_KEY)"
    return "of the service (WANDB_API_KEY, OPENAI_API_KEY, HF_TOKEN)"
