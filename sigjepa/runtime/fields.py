"""Checks of fields by pydantic: arguments of components, and lines of files that others may have written."""

import functools
from collections.abc import Callable
from dataclasses import field
from typing import Annotated, Any, TypeVar, dataclass_transform

import pydantic
from pydantic import ConfigDict, Field, ValidationError

from sigjepa.errors import SigjepaError, nearest_name

Class = TypeVar("Class")

Cosine = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Score = Annotated[int, Field(ge=0, le=3)]
"""A `score_c`, 0 unrelated to 3 equivalent."""
Tiers = Annotated[list[str], Field(min_length=1)]

STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)
"""No value is converted: `true` is no number, `"1"` is none, and 1.0 is no integer."""


@dataclass_transform(frozen_default=True, field_specifiers=(field, Field))
def component(key: str) -> Callable[[type[Class]], type[Class]]:
    """Make a frozen dataclass of a component whose config stands under `key`.

    What pydantic refuses raises SigjepaError naming the config key, the value, and what it must be.
    """

    def decorate(plain: type[Class]) -> type[Class]:
        checked: Any = pydantic.dataclasses.dataclass(frozen=True, config=STRICT)(plain)
        initialize = checked.__init__

        @functools.wraps(initialize)
        def init(self: Any, *arguments: Any, **keywords: Any) -> None:
            try:
                initialize(self, *arguments, **keywords)
            except ValidationError as error:
                raise SigjepaError(f"{key}.{problem(error)}; change that key.") from None

        checked.__init__ = init
        result: type[Class] = checked
        return result

    return decorate


def problem(error: ValidationError) -> str:
    """Return what is wrong with the first field that is, such as `score_c=7: input should be less than …`."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"] if not str(part).endswith("]"))
    message = first["msg"][:1].lower() + first["msg"][1:]
    return f"{place}: {message}" if first["type"] == "missing" else f"{place}={_shown(first['input'])}: {message}"


def choice(key: str, value: str, known: tuple[str, ...]) -> None:
    """Raise SigjepaError naming the nearest of the `known` values when `value` is none of them."""
    if value not in known:
        raise SigjepaError(f"{key}={value} is not one of {', '.join(known)}.{nearest_name(value, known)}")


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, int | float | None) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
