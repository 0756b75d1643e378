"""Hard negatives from a judged file that a person brings, one pair a line: `negatives=pairs_file`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.field_map import MISSING, FieldMap
from sigjepa.negatives.exchange.imports import ImportedFile
from sigjepa.negatives.exchange.train_pairs import TrainPairs
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.runtime.fields import Cosine, LineError, Score, component, json_object, validate
from sigjepa.store.progress import progress

REQUIRED = ("anchor_id", "neighbor_id", "cosim")
OPTIONAL = ("score_c", "judge", "reason")


class Figures(BaseModel):
    """The figures of a line; a score that is null or missing was given by nobody."""

    model_config = ConfigDict(strict=True)

    cosim: Cosine
    score_c: Score | None


@component("negatives")
class ImportedPairs(ImportedFile):
    """Judged pairs from a JSONL file, one pair a line, filtered as mined ones are: `ImportedFile`.

    A pair whose score is null or missing was judged by nobody: it is left out and counted, neither negative nor masked.

    Args:
        fields: what the file calls its fields, by our name, dots reaching into nested objects; None is as the meta file
            says, or our names.
        judge: who scored, where the file does not say.
    """

    kind: ClassVar[str] = "judged"

    filter: PairFilter = field(default_factory=lambda: PairFilter(min_cosim=0.80))
    fields: Mapping[str, str] | None = None
    judge: str | None = None

    def __post_init__(self) -> None:
        FieldMap(self.fields)  # checks its own

    def arguments(self) -> dict[str, Any]:
        """Return what reading the file depends on."""
        return super().arguments() | {"fields": FieldMap(self.fields).given, "judge": self.judge}

    def read(self, pairs: TrainPairs, recorded: Mapping[str, Any]) -> tuple[JudgedPairs, dict[str, Any]]:
        """Return the scored pairs of train functions, and how many nobody scored.

        Raises SigjepaError naming file, line and way out for one that is not JSON, lacks a field, names a function
        outside of corpus or train split, pairs one with itself or twice with another, or has a score or cosine out of
        range; and for a file whose lines all lack a field.
        """
        path, fields = Path(self.path), FieldMap(self.fields if self.fields is not None else recorded.get("fields"))
        judge = self.judge or recorded.get("judge") or "unknown"
        judges: dict[str, None] = {}
        found: set[str] = set()
        first: Mapping[str, Any] = {}
        unscored = 0
        for number, text in enumerate(_lines(path), start=1):
            try:
                line = json_object(text)
                first = first or line
                anchor, neighbor, cosim = (_required(fields, line, name) for name in REQUIRED)
                values = {name: fields.get(line, name) for name in OPTIONAL}
                present = {name: value for name, value in values.items() if value is not MISSING}
                found |= present.keys()
                pair = pairs.inside(anchor, neighbor)
                figures = validate(Figures, {"cosim": cosim, "score_c": present.get("score_c")}, fields.names)
            except LineError as error:
                raise SigjepaError(f"{path}:{number}: {error}. Repair the line, or take it out.") from None
            if pair is None:
                continue
            if figures.score_c is None:
                unscored += 1
                continue
            pairs.add(pair, figures.cosim, figures.score_c, _text(present.get("reason")))
            judges[_text(present.get("judge")) or judge] = None
        for name in OPTIONAL:
            if first and name not in found and (name == "score_c" or name in fields.given):
                raise SigjepaError(f"{path}:1: {fields.absence(first, name)}. No line of the file has it.")
        return pairs.judged(" + ".join(judges) or judge), {"unscored_pairs": unscored}


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            yield from progress(stream, f"read {path.name}", unit="line")
    except OSError as error:
        raise SigjepaError(f"{path} cannot be read ({error.strerror}); give negatives.path=<file>.") from None


def _required(fields: FieldMap, line: Mapping[str, Any], name: str) -> Any:
    value = fields.get(line, name)
    if value is MISSING:
        raise LineError(fields.absence(line, name))
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode(errors="replace").decode()  # half a surrogate pair can be written in JSON, but to no file
