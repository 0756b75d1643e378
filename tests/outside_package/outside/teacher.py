"""A teacher that reads all code in lower case."""

from collections.abc import Sequence
from typing import Any

from sigjepa.teacher.encoder import Encoded, FrozenTeacher


class LowerCaseTeacher(FrozenTeacher):
    """FrozenTeacher on lower-cased texts."""

    def fingerprint(self) -> dict[str, Any]:
        """Return everything that a state depends on."""
        return {**super().fingerprint(), "lower_case": True}

    def encode(self, texts: Sequence[str], max_tokens: int, **options: Any) -> Encoded:
        """Return the states of the texts in lower case."""
        return super().encode([text.lower() for text in texts], max_tokens, **options)
