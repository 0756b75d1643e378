"""Checks of fields: what pydantic refuses is named by its key or line, and nothing is converted on the way."""

import inspect
import math
import pickle
from dataclasses import replace

import pytest
from pydantic import BaseModel, ConfigDict

from sigjepa.errors import SigjepaError
from sigjepa.runtime.fields import Cosine, Count, LineError, Score, component, parse_line


@component("group.part")
class Part:
    """A component with every kind of field."""

    cosim: Cosine = 1.0
    count: Count | None = None


class Line(BaseModel):
    """What a line of a file holds."""

    model_config = ConfigDict(strict=True)

    score: Score
    text: str = ""


def test_a_component_is_a_frozen_dataclass_with_the_signature_of_its_fields():
    part = Part(0.5, count=3)
    assert part == Part(cosim=0.5, count=3) == pickle.loads(pickle.dumps(part))
    assert replace(part, count=4).count == 4
    assert list(inspect.signature(Part).parameters) == ["cosim", "count"]
    with pytest.raises(AttributeError):
        part.count = 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cosim": 1.5}, r"group\.part\.cosim=1\.5.* 1"),
        ({"cosim": math.nan}, r"group\.part\.cosim=nan"),
        ({"cosim": "0.5"}, r"group\.part\.cosim='0\.5'.*number"),
        ({"cosim": True}, r"group\.part\.cosim=True"),
        ({"count": 0}, r"group\.part\.count=0"),
        ({"count": 2.0}, r"group\.part\.count=2\.0"),
    ],
)
def test_what_is_refused_is_named_by_its_key_and_value(arguments, message):
    with pytest.raises(SigjepaError, match=message):
        Part(**arguments)
    with pytest.raises(SigjepaError, match=message):
        replace(Part(), **arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "JSON"),
        (b"\xff", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"[1]", "JSON object"),
        (b"{}", "score"),
        (b'{"score": 4}', "score=4.* 3"),
        (b'{"score": true}', "score=True"),
        (b'{"score": 1.0}', r"score=1\.0"),
        (b'{"score": 1, "text": null}', "text=None.*string"),
    ],
)
def test_a_line_that_is_not_of_the_model_is_refused(text, message):
    with pytest.raises(LineError, match=message):
        parse_line(Line, text)


def test_a_long_value_is_cut_in_the_message():
    with pytest.raises(LineError, match="^score='x+…:.*integer$"):
        parse_line(Line, b'{"score": "' + b"x" * 500 + b'"}')
