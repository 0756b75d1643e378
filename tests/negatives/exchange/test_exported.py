"""What is exported comes back, to the same corpus or another; and what is not the same is told apart."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up import at, equal, made_up_shards

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.exported import export, write_judged
from sigjepa.negatives.exchange.field_map import FieldMap
from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.imported_index import ImportedIndex
from sigjepa.negatives.exchange.imported_pairs import ImportedPairs
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.judging.judged_pairs import JudgedPairs

NESTED = {"anchor_id": "anchor", "score_c": "judgement.score_c", "reason": "judgement.why"}


@pytest.mark.parametrize("recipe", [ImportedPairs, ImportedIndex])
def test_a_file_that_is_not_there(recipe, corpus, shards, tmp_path):
    with pytest.raises(SigjepaError, match="nothing.json .*negatives.path="):
        recipe(tmp_path / "nothing.json").prepare(corpus, shards, *at(tmp_path))
    with pytest.raises(SigjepaError, match="negatives.path="):
        recipe(tmp_path).prepare(corpus, shards, *at(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tiers": "phase0"}, "negatives.tiers='phase0'"),
        ({"tiers": []}, r"negatives.tiers=\[\]"),
        ({"ids": "keys"}, "negatives.ids='keys'.*'key'"),
        ({"outside_train": "ignore"}, "negatives.outside_train='ignore'.*'skip'"),
        ({"cosim_tolerance": -0.1}, "negatives.cosim_tolerance=-0.1"),
        ({"cosim_tolerance": float("nan")}, "negatives.cosim_tolerance=nan"),
        ({"check_cosim": "no"}, "negatives.check_cosim='no'"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    for recipe in (ImportedPairs, ImportedIndex):
        with pytest.raises(SigjepaError, match=message):
            recipe("a.json", **arguments)


@pytest.mark.parametrize("ids", ["position", "key"])
@pytest.mark.parametrize("fields", [None, NESTED])
def test_an_export_comes_back_as_it_was(exported, corpus, shards, tmp_path, ids, fields):
    folder = exported.write(ids=ids, fields=fields)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("hard_negatives.json", "hard_negatives.meta.json", "knn_results.jsonl", "knn_results.meta.json")
    ]
    pairs = ImportedPairs(folder / "knn_results.jsonl", PairFilter(min_cosim=0.3)).prepare(
        corpus, shards, *at(tmp_path / "again")
    )
    index = ImportedIndex(folder / "hard_negatives.json").prepare(corpus, shards, *at(tmp_path / "again"))
    assert equal(pairs, exported.index)
    assert equal(index, exported.index)
    for again in (pairs, index):
        for row in ("Model", "Filter", "Judge", "Unique anchors", "score_c=0 pairs"):
            assert again.summary_rows()[row] == exported.index.summary_rows()[row]
    line = json.loads((folder / "knn_results.jsonl").read_text().splitlines()[0])
    assert ("judgement" in line) == (fields is not None)
    assert isinstance(line["neighbor_id"], str if ids == "key" else int)


def test_exporting_again_changes_nothing_and_another_content_is_refused(exported, tmp_path):
    folder = exported.write()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    exported.write()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(SigjepaError, match="hard_negatives.json .*overwrite=true"):
        exported.write(ids="key")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    exported.write(ids="key", overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} != before
    (folder / "hard_negatives.json").unlink()
    (folder / "hard_negatives.json").mkdir()
    with pytest.raises(SigjepaError, match="hard_negatives.json "):
        exported.write(ids="key")


def test_positions_of_another_corpus_are_refused_with_both_hashes(exported, make_corpus, shards, tmp_path):
    folder, other = exported.write(), make_corpus("other")
    for recipe in (ImportedPairs(folder / "knn_results.jsonl"), ImportedIndex(folder / "hard_negatives.json")):
        with pytest.raises(SigjepaError, match="xxh3_128:small.*xxh3_128:other.*ids=key"):
            recipe.prepare(other, shards, *at(tmp_path / "again"))


def test_content_keys_find_their_functions_in_another_corpus(exported, make_corpus, shards, tmp_path):
    """The other corpus lacks the first two functions and has two more, so positions move by two."""
    folder, other = exported.write(ids="key"), make_corpus("other", first_key=2)
    moved = made_up_shards(shards.body_pooled.roll(-2, 0))
    for recipe in (
        ImportedPairs(folder / "knn_results.jsonl", PairFilter(min_cosim=0.3)),
        ImportedIndex(folder / "hard_negatives.json"),
    ):
        with pytest.raises(SigjepaError, match=" 60 .*outside_train=skip"):
            recipe.prepare(other, moved, *at(tmp_path / "again"))
        index = replace(recipe, outside_train="skip").prepare(other, moved, *at(tmp_path / "again"))
        old = exported.index
        known = (old.negatives.pair_keys() >= 2) & (old.negatives.values >= 2)
        assert index.negatives.pair_keys().tolist() == (old.negatives.pair_keys()[known] - 2).tolist()
        assert index.negatives.values.tolist() == (old.negatives.values[known] - 2).tolist()
        assert index.metadata["outside_pairs"] > 0


def test_another_teacher_is_named_by_what_differs(exported, corpus, make_shards, tmp_path):
    folder, other = exported.write(), make_shards(seed=1)
    for recipe in (ImportedPairs(folder / "knn_results.jsonl"), ImportedIndex(folder / "hard_negatives.json")):
        with pytest.raises(SigjepaError, match="layer.* 0.* 1.*check_cosim=false"):
            recipe.prepare(corpus, other, *at(tmp_path / "again"))
        index = replace(recipe, check_cosim=False).prepare(corpus, other, *at(tmp_path / "again"))
        assert index.summary_rows()["Model"] == "teacher"  # as the metadata says


@pytest.mark.parametrize("name", ["knn_results.jsonl", "hard_negatives.json"])
def test_a_file_that_its_sidecar_does_not_know_is_refused(exported, corpus, shards, tmp_path, name):
    folder = exported.write()
    text = (folder / name).read_text()
    (folder / name).write_text(text.replace("1", "2", 1))
    recipe = (ImportedPairs if name.endswith("l") else ImportedIndex)(folder / name)
    with pytest.raises(SigjepaError, match=rf"meta.json .*{name}.*xxh3.*export"):
        recipe.prepare(corpus, shards, *at(tmp_path / "again"))
    notes = folder / name.replace(".jsonl", ".json").replace(".json", ".meta.json")
    notes.write_text("[]")
    with pytest.raises(SigjepaError, match="meta.json .*digest"):
        recipe.prepare(corpus, shards, *at(tmp_path / "again"))


pairs = st.lists(
    st.tuples(st.integers(0, 39), st.integers(0, 39), st.integers(-100, 100), st.integers(0, 3), st.text(max_size=3)),
    unique_by=lambda row: row[:2],
    max_size=30,
).map(lambda rows: [row for row in rows if row[0] != row[1]])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs, st.sampled_from(["position", "key"]), st.sampled_from([None, NESTED]))
def test_any_pairs_survive_the_round_trip(tmp_path_factory, corpus, shards, rows, ids, fields):
    folder = tmp_path_factory.mktemp("round")
    columns = list(zip(*sorted(rows, key=lambda row: (row[0], -row[2], row[1])), strict=True)) or [()] * 5
    kinds = (np.int64, np.int64, np.float64, np.int8)
    arrays = [np.array(column, kind) for column, kind in zip(columns[:4], kinds, strict=True)]
    judged = JudgedPairs(arrays[0], arrays[1], arrays[2] / 100, arrays[3], "ein Richter", list(columns[4]))
    write_judged(folder / "mine.jsonl", judged, FunctionIds.of(corpus, ids), FieldMap(fields))
    recipe = ImportedPairs(folder / "mine.jsonl", PairFilter(min_cosim=-0.5), fields=fields, ids=ids, check_cosim=False)
    index = recipe.prepare(corpus, shards, *at(folder))
    expected = HardNegatives.from_judged(
        judged, train_ids=corpus.ids("train"), pair_filter=PairFilter(min_cosim=-0.5, max_score_c=1)
    )
    assert equal(index, expected)
    export(index, corpus, folder / "published", ids=ids, fields=fields)
    again = ImportedPairs(folder / "published" / "knn_results.jsonl", PairFilter(min_cosim=-0.5), check_cosim=False)
    assert equal(again.prepare(corpus, shards, *at(folder / "again")), index)
    filtered = ImportedIndex(folder / "published" / "hard_negatives.json", check_cosim=False)
    if len(index):
        assert equal(filtered.prepare(corpus, shards, *at(folder / "again")), index)
    (kept,) = (folder / "again").glob("judged/*/judged_pairs.parquet")
    assert JudgedPairs.read(kept, "").reasons == judged.reasons
