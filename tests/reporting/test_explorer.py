import json
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.evaluation.ranks import pool_ranks
from sigjepa.reporting.explorer import FunctionText, explore, highlight
from sigjepa.reporting.page import script_json
from sigjepa.reporting.retrieval import Retrieval

POOL, WIDTH = 30, 6
COPIES = ((3, 7), (3, 21), (10, 11))  # rows whose bodies are the same


def function(key):
    return FunctionText(f"def name_{key}(first, second):", f"x = {key}\nreturn first", f"name_{key}", "repo", "file.py")


@pytest.fixture
def bodies():
    bodies = torch.from_numpy(np.random.default_rng(0).normal(size=(POOL, WIDTH)).astype(np.float32))
    for original, copy in COPIES:
        bodies[copy] = bodies[original]
    return bodies


@pytest.fixture
def functions():
    texts = {100 + row: function(row) for row in range(POOL)}
    for original, copy in COPIES:
        texts[100 + copy] = FunctionText("def other():", texts[100 + original].body, f"copy_{copy}", "repo", "b.py")
    return texts


@pytest.fixture
def shown(bodies):
    def retrieval(seed, noise):
        generator = np.random.default_rng(seed)
        predictions = (bodies.numpy() + noise * generator.normal(size=(POOL, WIDTH))).astype(np.float32)
        return Retrieval(np.arange(100, 100 + POOL), predictions, pool_ranks(torch.from_numpy(predictions), bodies))

    return {"weak": retrieval(1, 2.0), "strong": retrieval(2, 0.7)}


def naive_cosine(first, second):
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


def test_the_retrieved_are_a_naive_cosine_sort(shown, bodies, functions):
    data = explore(shown, bodies, functions, queries=POOL)
    assert sorted(query.id for query in data.queries) == list(functions)
    for query in data.queries:
        for name, answer in zip(data.runs, query.answers, strict=True):
            own = query.id - 100
            prediction = shown[name].predictions[own].astype(np.float64)
            cosines = [naive_cosine(prediction, body) for body in bodies.numpy().astype(np.float64)]
            # Bodies that are the same score the same, so ids decide among them.
            wanted = sorted(range(POOL), key=lambda row: (-round(cosines[row], 6), row))[:5]
            assert [one.id - 100 for one in answer.retrieved] == wanted
            for one in answer.retrieved:
                body = bodies.numpy()[one.id - 100]
                assert one.score == pytest.approx(cosines[one.id - 100], abs=1e-4)
                assert one.teacher_cosine == pytest.approx(naive_cosine(bodies.numpy()[own], body), abs=1e-4)
            assert answer.score == pytest.approx(cosines[own], abs=1e-4)
            assert answer.optimistic == shown[name].ranks.optimistic[own]
            assert answer.pessimistic == shown[name].ranks.pessimistic[own]


def test_the_true_body_and_its_copies_are_marked(shown, bodies, functions):
    data = explore(shown, bodies, functions, queries=POOL)
    (query,) = (query for query in data.queries if query.id == 103)
    matches = {one.id: one.match for one in query.answers[1].retrieved}
    assert {key: value for key, value in matches.items() if value} == {103: "true", 107: "copy", 121: "copy"}
    assert query.answers[1].pessimistic - query.answers[1].optimistic == 2


def test_kinds_are_the_extremes(shown, bodies, functions):
    data = explore(shown, bodies, functions, queries=4, compared=("weak", "strong"))
    expected = {name: (run.ranks.optimistic + run.ranks.pessimistic) / 2 for name, run in shown.items()}
    mean = (expected["weak"] + expected["strong"]) / 2
    change = np.log2(expected["weak"] / expected["strong"])
    for kind, score in (("hardest", mean), ("easiest", -mean), ("changed", np.abs(change))):
        chosen = [query.id - 100 for query in data.queries if kind in query.kinds]
        others = [row for row in range(POOL) if row not in chosen]
        assert len(chosen) == 4
        assert min(score[chosen]) >= max(score[others])
    for query in data.queries:
        assert query.change == pytest.approx(
            math.log2(expected["weak"][query.id - 100] / expected["strong"][query.id - 100]), abs=1e-4
        )


def test_the_sample_is_the_same_every_time(shown, bodies, functions):
    first, second = (explore(shown, bodies, functions, queries=5, compared=("weak", "strong")) for _ in range(2))
    assert first == second
    assert first.json() == second.json()


def test_equal_queries_are_taken_in_the_order_of_ids():
    bodies = torch.eye(8)
    perfect = Retrieval(np.arange(8), bodies.numpy(), pool_ranks(bodies, bodies))
    data = explore({"one": perfect}, bodies, {row: function(row) for row in range(8)}, queries=2)
    assert {query.id: query.kinds for query in data.queries} == {0: ("hardest", "easiest"), 1: ("hardest", "easiest")}


def test_a_run_that_changes_nothing_has_no_changed_queries(shown, bodies, functions):
    same = {"weak": shown["weak"], "again": shown["weak"]}
    data = explore(same, bodies, functions, queries=3, compared=("weak", "again"))
    assert not any("changed" in query.kinds for query in data.queries)


def test_json_has_every_function_once(shown, bodies, functions):
    data = explore(shown, bodies, functions, queries=3, compared=("weak", "strong"))
    value = json.loads(data.json())
    used = {one["id"] for query in value["queries"] for answer in query["answers"] for one in answer["retrieved"]}
    used |= {query["id"] for query in value["queries"]}
    assert set(value["functions"]) == {str(key) for key in used}
    for key, text in value["functions"].items():
        assert "".join(part for _, part in text["body"]) == functions[int(key)].body
        assert "".join(part for _, part in text["signature"]) == functions[int(key)].signature


def test_size_of_36_queries_and_4_runs():
    generator = np.random.default_rng(0)
    count, width = 1000, 16
    bodies = torch.from_numpy(generator.normal(size=(count, width)).astype(np.float32))
    line = "    values = [compute(item, scale=2.5) for item in sorted(items)]  # a comment\n"
    texts = {
        row: FunctionText(f"def f{row}(items):", line * 15 + f"    return {row}", f"f{row}", "r", "p.py")
        for row in range(count)
    }
    shown = {}
    for name in "abcd":
        predictions = generator.normal(size=(count, width)).astype(np.float32)
        shown[name] = Retrieval(np.arange(count), predictions, pool_ranks(torch.from_numpy(predictions), bodies))
    page = explore(shown, bodies, texts, queries=12, compared=("a", "b")).json()
    assert len(page.encode()) < 2_500_000


@given(st.text())
def test_script_json_round_trips_and_never_ends_its_element(text):
    written = script_json({"code": text})
    assert json.loads(written) == {"code": text}
    assert not re.search("[<>&\u2028\u2029]", written)


@given(st.text(alphabet=st.characters(exclude_characters="\r\ufeff")))
def test_highlighting_keeps_the_code(code):
    assert "".join(text for _, text in highlight(code)) == code


def test_highlighting_names_the_classes():
    tokens = highlight("@wraps\ndef area(radius):  # of a circle\n    return len('x') * 3.5 is not None")
    classes = {text.strip(): kind for kind, text in tokens}
    assert classes["@wraps"] == "d"
    assert classes["def"] == classes["return"] == classes["is not None"] == "k"
    assert classes["area"] == "f"
    assert classes["# of a circle"] == "c"
    assert classes["len"] == "b"
    assert classes["'x'"] == "s"
    assert classes["3.5"] == "m"
