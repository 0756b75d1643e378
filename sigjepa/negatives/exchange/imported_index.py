"""Hard negatives from a `hard_negatives.json` that a person brings, already filtered: `negatives=index_file`."""

import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sigjepa.negatives.exchange.document import Document
from sigjepa.negatives.exchange.imports import ASSUMED_SCORE, ImportedFile
from sigjepa.negatives.exchange.metadata import metadata_path
from sigjepa.negatives.exchange.train_pairs import TrainPairs
from sigjepa.negatives.index.hard_negatives import RELATED_FROM
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.runtime.fields import Cosine, LineError, Score, component, problem, validate

log = logging.getLogger(__name__)

Lists = dict[str, Annotated[list[int | str], Field(min_length=1)]]
LISTS = TypeAdapter(Lists, config=ConfigDict(strict=True))
KEPT = ("judge", "filter", "filtered_before", "unscored_pairs", "scores_known")
"""What stays true of an index wherever it is imported."""
WAY_OUT = "repair it, export it again with `python -m sigjepa.export`, or use the corpus that it was made for."


class Columns(BaseModel):
    """What the meta file holds by anchor, a value for each of its negatives; and the related functions of each."""

    model_config = ConfigDict(strict=True)

    scores: dict[str, list[Score]]
    cosims: dict[str, list[Cosine]]
    related: dict[str, list[int | str]]


@component("negatives")
class ImportedIndex(ImportedFile):
    """An index: `{"<anchor>": [ids]}`, `ImportedFile`.

    Without a meta file nobody knows the scores: every pair is a negative and counts as `score_c = 1`, cosines are
    those of the shards, and no related pairs are masked.
    """

    kind: ClassVar[str] = "index"

    def read(self, pairs: TrainPairs, recorded: Mapping[str, Any]) -> tuple[JudgedPairs, dict[str, Any]]:
        """Return the negatives with their scores and the related pairs as `score_c = 2`, and what is recorded.

        Raises SigjepaError naming file, line and way out for what is wrong with either file.
        """
        path = Path(self.path)
        document, notes = Document(path, WAY_OUT), Document(metadata_path(path), WAY_OUT)
        lists = _lists(document)
        columns = _columns(notes, recorded, lists) if recorded else None
        for key, place, pair in _pairs(document, lists, pairs):
            if pair is not None and columns is None:
                pairs.add(pair, math.nan, ASSUMED_SCORE)
            elif pair is not None and columns is not None:
                pairs.add(pair, columns.cosims[key][place], columns.scores[key][place])
        if columns is None:
            log.warning(
                "%s has no %s beside it: its scores are unknown, every pair counts as score_c=1, and no related pair "
                "is masked.",
                path,
                notes.path.name,
            )
            return pairs.judged("unknown"), {"scores_known": False}
        pairs.begin_list()
        for _, _, pair in _pairs(notes, columns.related, pairs):
            if pair is not None:
                pairs.add(pair, math.nan, RELATED_FROM)
        known = {name: recorded[name] for name in KEPT if name in recorded}
        return pairs.judged(str(recorded.get("judge"))), {"scores_known": True, **known}


def _lists(document: Document) -> Lists:
    content = document.read()
    try:
        return LISTS.validate_python(content)
    except ValidationError as error:
        key = next(iter(error.errors()[0]["loc"]), None)
        raise document.wrong(f"holds no lists of function ids: {problem(error)}", key) from None


def _columns(notes: Document, recorded: Mapping[str, Any], lists: Lists) -> Columns:
    try:
        columns = validate(Columns, recorded)
    except LineError as error:
        raise notes.wrong(str(error)) from None
    for name in ("scores", "cosims"):
        column = getattr(columns, name)
        if {key: len(values) for key, values in column.items()} != {key: len(values) for key, values in lists.items()}:
            raise notes.wrong(f"does not have one of its {name} for each pair of the index")
    return columns


def _pairs(
    document: Document, lists: Mapping[str, list[int | str]], pairs: TrainPairs
) -> Iterator[tuple[str, int, tuple[int, int] | None]]:
    """Yield key and place of each pair, and its positions, or None outside of the train split."""
    for key, values in lists.items():
        anchor = pairs.ids.from_json_key(key)
        for place, value in enumerate(values):
            try:
                yield key, place, pairs.inside(anchor, value)
            except LineError as error:
                raise document.wrong(str(error), key, value) from None
