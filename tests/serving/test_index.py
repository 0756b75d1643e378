"""The index gives exactly the one score, and building it again encodes nothing that it has."""

import json

import numpy as np
import pytest
import torch
from fake_student import FakeStudent, write_files
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjepa.corpus.sources.folder import Folder
from sigjepa.data.views import TermRows, View, score
from sigjepa.errors import SigjepaError
from sigjepa.serving.body_index import BodyIndex
from sigjepa.serving.functions import FunctionsStage, Places, change_of
from sigjepa.serving.index_part import Block, IndexPart, layout_of, write_part
from sigjepa.serving.index_stage import IndexStage, batches
from sigjepa.store.store import Store


def built(output, sources, student, **settings):
    store = Store(output)
    functions = store.get(FunctionsStage(Folder([str(sources)])))
    return functions, store.get(IndexStage(functions, student, reuse=output / "index", **settings))


def random_views(draw, generator, size, constants):
    """Views of `size` rows: two dense, and sparse ones with terms that repeat, one value or three each, and none."""
    views = {}
    for name in ("first", "second"):
        views[name] = View(torch.randn(size, 3, generator=generator))
    for name, vocabulary, values in (("words", 7, 1), ("mentions", 5, 3), ("names", 3, 1), ("rare", 0, 1)):
        number = draw(st.integers(0, 40)) if vocabulary else 0
        rows = torch.randint(0, size, (number,), generator=generator).sort().values
        terms = torch.randint(-(2**62), 2**62, (max(vocabulary, 1),), generator=torch.Generator().manual_seed(1))
        chosen = terms[torch.randint(0, max(vocabulary, 1), (number,), generator=generator)]
        views[name] = View(TermRows(size, rows, chosen, torch.randn(number, values, generator=generator).relu()))
    if constants:
        views["names"].constants = torch.randn(size, generator=generator)
    return views


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_scores_and_shares_are_those_of_the_one_score(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("index")
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 10_000)))
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    parts = [random_views(data.draw, generator, size, constants=True) for size in sizes]
    index = BodyIndex.__new__(BodyIndex)
    index.parts = []
    for number, views in enumerate(parts):
        facts = write_part(folder, f"p{number}", layout_of(views), [(b"%016d" % number, Block.of(views))], {})
        index.parts.append(IndexPart.open(folder, facts))
    predictions = random_views(data.draw, generator, data.draw(st.integers(1, 3)), constants=False)
    expected = torch.cat([score(predictions, views) for views in parts], dim=1).numpy()
    np.testing.assert_allclose(index.scores(predictions), expected, rtol=1e-4, atol=1e-5)
    order = np.argsort(-expected, axis=1, kind="stable")
    of_views = {
        view: torch.cat([predictions[view].product(views[view]) for views in parts], dim=1).numpy() for view in parts[0]
    }
    for query, matches in enumerate(index.explain(predictions, order)):
        assert [match.row for match in matches] == list(order[query])
        np.testing.assert_allclose([match.score for match in matches], expected[query, order[query]], 1e-4, 1e-5)
        for view, products in of_views.items():
            shares = [next(share.value for share in match.shares if share.view == view) for match in matches]
            np.testing.assert_allclose(shares, products[query, order[query]], rtol=1e-4, atol=1e-5)


def test_search_gives_the_best_in_order_and_leaves_out_what_is_not_wanted(tmp_path):
    write_files(tmp_path / "sources")
    student = FakeStudent()
    functions, index = built(tmp_path / "out", tmp_path / "sources", student, functions_per_part=7)
    assert len(index.parts) > 1
    prediction = student.predict(["def read_csv(x):"])
    expected = score(prediction, student.encode_bodies(functions.bodies(0, len(functions))))[0].numpy()
    matches = index.search(prediction, [5])[0]
    np.testing.assert_allclose([match.score for match in matches], np.sort(expected)[::-1][:5], rtol=1e-5)
    others = index.search(prediction, [100], [[matches[0].row]])[0]
    assert len(others) == len(functions) - 1
    assert matches[0].row not in [match.row for match in others]
    words = next(share for share in matches[0].shares if share.view == "words")
    assert {term.text for term in words.terms} <= {"read", "csv", "x", "def"}
    near = index.neighbors(matches[0].row, 3)
    assert len(near) == 3
    assert matches[0].row not in [match.row for match in near]
    assert all(-1.001 <= match.score <= 1.001 for match in near)


def test_only_changed_files_are_encoded_again_and_the_bytes_are_those_of_a_fresh_build(tmp_path):
    sources = tmp_path / "sources"
    write_files(sources, files=6)
    first = FakeStudent()
    built(tmp_path / "out", sources, first, functions_per_part=9)
    changed = sources / "module_2.py"
    changed.write_text(changed.read_text().replace("return", "print(x)\n    return", 1))
    (sources / "module_4.py").unlink()
    (sources / "module_5.py").rename(sources / "a_new_name.py")
    again, fresh = FakeStudent(), FakeStudent()
    functions, index = built(tmp_path / "out", sources, again, functions_per_part=9)
    assert len(again.encoded) == 4
    assert all(
        functions[row].path == "module_2.py" for row in range(len(functions)) if functions[row].body in again.encoded
    )
    assert index.manifest.facts["encoded"] == 4
    _, anew = built(tmp_path / "elsewhere", sources, fresh, functions_per_part=9)
    assert len(fresh.encoded) == len(functions)
    assert index.manifest.files == anew.manifest.files


def test_another_students_bodies_and_damaged_parts_are_not_taken_over(tmp_path):
    write_files(tmp_path / "sources")
    built(tmp_path / "out", tmp_path / "sources", FakeStudent())
    other = FakeStudent("other")
    functions, _ = built(tmp_path / "out", tmp_path / "sources", other)
    assert len(other.encoded) == len(functions)
    for file in (tmp_path / "out").glob("index/*/part-00000.dense.npy"):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    (tmp_path / "sources" / "module_0.py").unlink()
    again = FakeStudent()
    functions, _ = built(tmp_path / "out", tmp_path / "sources", again)
    assert len(again.encoded) == len(functions)


def test_every_function_is_kept_with_its_place_and_an_empty_source_is_refused(tmp_path):
    write_files(tmp_path / "sources", files=2)
    twin = tmp_path / "sources" / "twin.py"
    twin.write_text((tmp_path / "sources" / "module_0.py").read_text())
    functions = Store(tmp_path / "out").get(FunctionsStage(Folder([str(tmp_path / "sources")])))
    assert len(functions) == 12
    places = Places.of(Folder([str(tmp_path / "sources")]))
    (row, *_) = places.rows_of(functions, twin)
    function = functions[row]
    assert (function.path, function.line) == ("twin.py", 1)
    assert change_of(function, places.file_of(function)) is None
    twin.write_text("# other\n")
    assert change_of(function, places.file_of(function)) == "changed"
    twin.unlink()
    assert change_of(function, places.file_of(function)) == "removed"
    (tmp_path / "empty").mkdir()
    with pytest.raises(SigjepaError, match=r"corpus\.source"):
        Store(tmp_path / "out").get(FunctionsStage(Folder([str(tmp_path / "empty")])))


@pytest.mark.parametrize("lengths", [[], [1], [3000, 3000], [10] * 300, [1, 500, 600, 1200, 5000]])
def test_batches_hold_every_body_once_and_little_padding(lengths):
    ranges = list(batches(lengths))
    assert [row for rows in ranges for row in rows] == list(range(len(lengths)))
    assert all(len(rows) == 1 or len(rows) * lengths[rows[-1]] <= 2048 for rows in ranges)


def test_an_index_can_be_read_as_numbers(tmp_path):
    write_files(tmp_path / "sources", files=1)
    functions, index = built(tmp_path / "out", tmp_path / "sources", FakeStudent())
    assert json.loads((index.folder / "manifest.json").read_text())["facts"]["functions"] == len(functions)
    assert index.parts[0].text(0) is None
