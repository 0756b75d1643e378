"""Field maps: what a file calls the fields of its records, with dots into nested objects."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sigjepa.errors import SigjepaError, nearest_name

MISSING = object()
"""Stands for a field that a line does not have, as opposed to one that is null."""


class FieldMap:
    """Reads and writes the fields of a record under other names.

    names: the file's name by ours, such as `{score_c: judgement.score_c}`; a field that is not named keeps its own.
    keys: our names. record: what it is. setting: the config key of `names`. Raises SigjepaError for a name that is not
    among `keys`, and for two fields in one place.
    """

    def __init__(self, names: Mapping[str, str] | None, keys: Sequence[str], record: str, setting: str) -> None:
        self.setting = setting
        self.given = {str(ours): str(theirs) for ours, theirs in (names or {}).items()}
        for name in self.given:
            if name not in keys:
                raise SigjepaError(
                    f"The field map names '{name}', which is no field of {record} ({', '.join(keys)})."
                    f"{nearest_name(name, keys)} It goes from our name to the file's, as in "
                    f"fields={{{keys[0]}: inner.{keys[0]}}}."
                )
        self.names = {name: self.given.get(name, name) for name in keys}
        self._paths = {name: tuple(theirs.split(".")) for name, theirs in self.names.items()}
        self._check_places()

    def _check_places(self) -> None:
        placed: list[tuple[str, tuple[str, ...]]] = []
        for name, path in self._paths.items():
            for other, taken in placed:
                if path[: len(taken)] == taken or taken[: len(path)] == path:
                    raise SigjepaError(
                        f"The field map puts {other} ('{self.names[other]}') and {name} ('{self.names[name]}') in one "
                        "place; give each a field of its own."
                    )
            placed.append((name, path))

    def get(self, line: Mapping[str, Any], name: str) -> Any:
        """Return the value of our field `name` on a line, or `MISSING`; what is inside of null is null."""
        value: Any = line
        for part in self._paths[name]:
            if value is None:
                return None
            if not isinstance(value, Mapping):
                return MISSING
            value = value.get(part, MISSING)
        return value

    def line(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return `values` by our names as the object that the file holds."""
        line: dict[str, Any] = {}
        for name, value in values.items():
            *outer, last = self._paths[name]
            inner = line
            for part in outer:
                inner = inner.setdefault(part, {})
            inner[last] = value
        return line

    def absence(self, line: Mapping[str, Any], name: str) -> str:
        """Return the message for a line that lacks our field `name`: the nearest that it has, and how to map it."""
        theirs, keys = self.names[name], list(_dotted(line))
        nearest = nearest_name(theirs, keys) or nearest_name(name, keys)
        return (
            f"no field '{theirs}' for {name}.{nearest} The line has {', '.join(keys) or 'none'}; "
            f"name it with {self.setting}={{{name}: <field>}}"
        )


def _dotted(line: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in line.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{key}.")
