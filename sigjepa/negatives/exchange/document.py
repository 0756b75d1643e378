"""A JSON file that a person may have written: read, and found wrong with its line."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sigjepa.errors import SigjepaError


@dataclass(frozen=True)
class Document:
    """A JSON file that is being read, and what a person can do when it is wrong."""

    path: Path
    way_out: str

    def read(self) -> Any:
        """Return its content; raises SigjepaError when it is missing, no JSON, or has a key twice."""
        try:
            return json.loads(self.path.read_bytes(), object_pairs_hook=self._unique)
        except FileNotFoundError:
            raise self.wrong("does not exist") from None
        except OSError as error:
            raise self.wrong(f"cannot be read ({error.strerror})") from None
        except json.JSONDecodeError as error:
            raise self.wrong(f"is not valid JSON ({error.msg})", line=error.lineno) from None
        except (ValueError, RecursionError) as error:
            raise self.wrong(f"is not valid JSON ({error})") from None

    def _unique(self, items: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(items)
        if len(mapping) < len(items):
            keys = [key for key, _ in items]
            repeated = next(key for key in keys if keys.count(key) > 1)
            raise self.wrong(f"has the key {repeated!r} twice", repeated)
        return mapping

    def wrong(self, problem: str, key: Any = None, value: Any = None, line: int | None = None) -> SigjepaError:
        """Return the error to raise; `line`, or that of a `key` and a `value` in its list, is named where known."""
        if key is not None:
            line = self._line(str(key), value)
        return SigjepaError(f"{self.path}{f':{line}:' if line else ''} {problem}; {self.way_out}")

    def _line(self, key: str, value: Any) -> int | None:
        text = self.path.read_text(encoding="utf-8")
        place = [found.start() for found in re.finditer(rf"{re.escape(json.dumps(key))}\s*:", text)]
        if not place:
            return None
        start = place[-1]
        if value is not None:
            listed = text[start : text.find("]", start)]
            spelled = rf'(?<![\w."-]){re.escape(json.dumps(value))}(?![\w."])'
            start += max((found.start() for found in re.finditer(spelled, listed)), default=0)
        return text.count("\n", 0, start) + 1
