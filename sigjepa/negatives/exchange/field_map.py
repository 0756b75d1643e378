"""The field map of judged pairs."""

from collections.abc import Mapping

from sigjepa.runtime import field_map
from sigjepa.runtime.field_map import MISSING

__all__ = ["KEYS", "MISSING", "FieldMap"]

KEYS = ("anchor_id", "neighbor_id", "cosim", "score_c", "judge", "reason")
"""What a line holds."""


class FieldMap(field_map.FieldMap):
    """What a file calls the fields of a judged pair: the file's name by ours, None for ours."""

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        super().__init__(names, KEYS, "a judged pair", "negatives.fields")
