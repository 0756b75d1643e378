"""Function ids, by which a file names the functions of a corpus: by position, or by content key."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sigjepa.errors import SigjepaError, nearest_name

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus

KINDS = ("position", "key")
UNKNOWN = -1
"""The position of a function that the corpus does not have."""

MAX_ID = 2**63 - 1


def check_kind(kind: str) -> None:
    """Raise SigjepaError for a kind of ids that is not one of `KINDS`."""
    if kind not in KINDS:
        raise SigjepaError(f"ids={kind} is not one of {', '.join(KINDS)}.{nearest_name(kind, KINDS)}")


@dataclass(frozen=True)
class FunctionIds:
    """Translates the ids of a file to positions in a corpus of `n_functions`, and back.

    keys: the content key of each function; None when the file's ids are positions already.
    """

    n_functions: int
    keys: Sequence[str] | None = None

    @classmethod
    def of(cls, corpus: "Corpus", kind: str) -> "FunctionIds":
        """Return the ids of a `kind`, 'position' or 'key'; raises SigjepaError for another."""
        check_kind(kind)
        return cls(len(corpus), corpus.column("key") if kind == "key" else None)

    @property
    def kind(self) -> str:
        """The kind of the ids, of `KINDS`."""
        return "position" if self.keys is None else "key"

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {key: position for position, key in enumerate(self.keys or ())}

    def is_id(self, value: Any) -> bool:
        """Return whether a JSON value has the form of an id, known or not."""
        if self.keys is not None:
            return isinstance(value, str)
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_ID

    def find(self, value: Any) -> int:
        """Return the position of the function with this id, or `UNKNOWN`."""
        if self.keys is not None:
            return self._positions.get(value, UNKNOWN)
        return value if 0 <= value < self.n_functions else UNKNOWN

    def from_json_key(self, text: str) -> Any:
        """Return the id that a key of a JSON object stands for; a key that stands for none comes back as it is."""
        decimal = self.keys is None and text.isascii() and text.isdecimal() and len(text) < 19
        return int(text) if decimal and str(int(text)) == text else text

    def names(self, positions: Iterable[int]) -> list[Any]:
        """Return what a file calls the functions at `positions`."""
        return list(positions) if self.keys is None else [self.keys[position] for position in positions]
