"""Checks of fields by pydantic: arguments of components, and lines of files that others may have written."""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Annotated, Any, TypeVar, dataclass_transform

import pydantic
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sigjepa.errors import SigjepaError

Class = TypeVar("Class")
Model = TypeVar("Model", bound=BaseModel)

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


class LineError(ValueError):
    """A line that does not hold what it must; the message says why, for the caller to name file and number."""


def parse_line(model: type[Model], text: bytes) -> Model:
    """Return the JSON object on a line as a `model`; raises LineError for another line."""
    return validate(model, json_object(text))


def json_object(text: bytes) -> dict[str, Any]:
    """Return the JSON object on a line; raises LineError for another line."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, a number of thousands of digits, deep nesting
        raise LineError(f"not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise LineError("not a JSON object")
    return value


def validate(model: type[Model], value: Any, names: Mapping[str, str] | None = None) -> Model:
    """Return `value` as a `model`; raises LineError naming the first field that is wrong, as `names` call it."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise LineError(problem(error, names)) from None


def problem(error: ValidationError, names: Mapping[str, str] | None = None) -> str:
    """Return what is wrong with the first field that is, such as `score_c=7: input should be less than …`."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"] if not str(part).endswith("]"))
    place = (names or {}).get(place, place)
    message = first["msg"][:1].lower() + first["msg"][1:]
    return f"{place}: {message}" if first["type"] == "missing" else f"{place}={_shown(first['input'])}: {message}"


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, int | float | None) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
