"""Keys and passwords: what one looks like, and keeping it out of all that a command writes."""

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sigjepa.errors import SigjepaError

MIN_LENGTH = 8  # shorter values of an environment variable stand in texts by chance
VARIABLE = re.compile(
    r"(?i)(?:^|_)(?:key|secret|token|cred|credential|auth|authorization|pass|passphrase|pat|dsn|cookie|jwt)s?(?:_?\d+)?$"
    r"|(?:password|passwd|_pwd|apikey|connection_string)s?(?:_?\d+)?$"
    r"|(?:^|_)(?:secret|password|passwd|credential|(?:access|api|private|encryption|signing|auth)_?key)s?_"
)
"""Names of environment variables that hold a credential: the words of gitleaks' rule `generic-api-key`, and more."""
INTERPOLATION = re.compile(r"\$\{\s*oc\.env\s*:\s*['\"]?([^,}\s'\"]+)")
"""An interpolation of an environment variable."""
KEY_NAME = (
    r"(?:[\w-]*_)?(?:api_?key|access_?key|private_?key|password|passwd|passphrase|secret)"
    r"|(?:(?:hf|wandb|access|auth|bearer|api)_?)?token|authorization"
)
NAMED = re.compile(
    rf"(?i)(?:^|[.+~{{\s,'\"])(?:{KEY_NAME})['\"]?\s*[=:]\s*['\"]?(?!null\b|none\b|['\"]|\?\?\?)[^\s,}}\]]"
)
"""A key of that name with a value, on a command line or inside of a dictionary."""
SHAPES = re.compile(  # prefixes of gitleaks' rules, service by service
    r"(?<![\w-])(?:"
    r"sk-[\w-]{12,}"  # OpenAI and the many that took over its form
    r"|(?:sk|rk)_(?:live|test)_\w{10,}"
    r"|hf_[A-Za-z0-9]{16,}|api_org_[A-Za-z0-9]{16,}"
    r"|wandb_v\d_\w{16,}"
    r"|gh[oprsu]_\w{20,}|github_pat_\w{20,}|gl(?:pat|dt|rt|cbt|ptt|soat)-[\w-]{16,}"
    r"|gsk_\w{20,}|AIza[\w-]{30,}|ya29\.[\w-]{20,}|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"
    r"|xox[abeoprs]-[\w-]{10,}|xapp-[\w-]{10,}|npm_[A-Za-z0-9]{36}|pypi-AgE[\w-]{30,}|dop_v1_[0-9a-f]{64}"
    r"|hvs\.[\w-]{20,}|dapi[0-9a-f]{32}|SG\.[\w-]{16,}\.[\w-]{16,}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]*"  # a JSON web token
    r"|-----BEGIN[ A-Z]* PRIVATE KEY-----[^-]*"
    r"|Bearer\s+[\w.~+/-]{8,}"
    r"|[a-z][a-z0-9+.-]*://[^\s/@:'\"]*:[^\s/@'\"]+(?=@)"  # user:password@
    r")"
)
WANDB_KEY = re.compile(r"(?<![\w/.:-])[0-9a-f]{40}(?![\w/.-])")  # a commit has that form, too
COMMIT = re.compile(r"(?i)(revision|commit|sha|digest|hash)['\"]?\s*[=:]\s*['\"]?$")
QUERY = re.compile(r"(?i)://[^\s'\"]*[?&](?:api_?key|key|access_token|token|sig|password)=[^\s&'\"]+")


RANDOM = (
    (re.compile(r"[A-Za-z0-9]{20,}"), 3.5),  # gitleaks' `generic-api-key`
    (re.compile(r"[A-Za-z0-9+=_-]{24,}"), 4.5),  # detect-secrets' `Base64HighEntropyString`
)
"""Runs of characters, and the entropy in bits a character from which a run looks drawn at random."""


def secrets_of_environment() -> dict[str, str]:
    """Return the values of the environment variables whose name, or whose look, says credential, by their names."""
    return {name: value for name, value in os.environ.items() if _is_secret(name, value)}


@lru_cache(maxsize=4096)
def _is_secret(name: str, value: str) -> bool:
    if len(value) < MIN_LENGTH or os.path.exists(value):  # noqa: PTH110  (a Path raises for one that is too long)
        return False
    return bool(VARIABLE.search(name) or SHAPES.search(value)) or looks_random(value)


def looks_random(value: str) -> bool:
    """Return whether a value holds a run of small letters, capitals and digits that has the entropy of a key."""
    runs = [(run, least) for pattern, least in RANDOM for run in pattern.findall(value)]
    return any(
        entropy(run) >= least and all(re.search(kind, run) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
        for run, least in runs
    )


def entropy(text: str) -> float:
    """Return the entropy of the characters of a text by their frequencies, in bits a character."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


def credentials_in(text: str, known: Iterable[str]) -> Iterator[str]:
    """Yield the parts of `text` that are among `known`, or look like a credential."""
    for value in known:
        if value and value in text:
            yield value
    for shape in (SHAPES, QUERY):
        yield from (found.group() for found in shape.finditer(text))
    for found in WANDB_KEY.finditer(text):
        if not COMMIT.search(text[: found.start()]):
            yield found.group()


def holds_credential(text: str, known: Iterable[str] | None = None) -> bool:
    """Return whether a text holds what is, or looks like, a key or a password.

    known: the secrets of the environment, from a caller that asks often.
    """
    known = secrets_of_environment().values() if known is None else known
    return next(credentials_in(text, known), None) is not None


def without_credentials(text: str, known: Iterable[str] = ()) -> str:
    """Return `text` with `<credential>` in the place of each.

    known: keys that are in use, such as that of an endpoint whose answer `text` is, whatever their variable is called.
    """
    known = (*secrets_of_environment().values(), *known)
    for found in sorted(set(credentials_in(text, known)), key=len, reverse=True):
        text = text.replace(found, "<credential>")
    return text


def refuse_credentials(arguments: Iterable[str]) -> None:
    """Raise SigjepaError for a command line that holds a credential; names its key, and never repeats its value."""
    for argument in arguments:
        if NAMED.search(argument) or holds_credential(argument):
            raise SigjepaError(refusal(argument.partition("=")[0] if "=" in argument else "an argument"))


def refuse_in_config(config: Any) -> None:
    """Raise SigjepaError for a config with a credential in it, or with an interpolation that brings one."""
    _refuse_below("", config, tuple(secrets_of_environment().values()))


def _refuse_below(key: str, node: Any, known: Sequence[str]) -> None:
    if isinstance(node, Mapping):
        for name, value in node.items():
            place = f"{key}.{name}".lstrip(".")
            named = re.fullmatch(f"(?i)(?:{KEY_NAME})", str(name)) is not None
            if (named and isinstance(value, str) and value) or holds_credential(str(name), known):
                raise SigjepaError(refusal(place))
            _refuse_below(place, value, known)
    elif isinstance(node, Sequence) and not isinstance(node, str):
        for position, value in enumerate(node):
            _refuse_below(f"{key}.{position}", value, known)
    elif isinstance(node, str):
        interpolated = any(VARIABLE.search(name) for name in INTERPOLATION.findall(node))
        if interpolated or holds_credential(f"{key.rpartition('.')[2]}={node}", known):
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
