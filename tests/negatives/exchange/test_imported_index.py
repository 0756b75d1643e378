"""`negatives=index_file`: an index from a file, and what stands in for the meta file that it may lack."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from made_up import at, equal, times_of

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.exported import export
from sigjepa.negatives.exchange.imported_index import ImportedIndex
from sigjepa.negatives.index.pair_filter import PairFilter


def test_an_index_without_meta_has_no_scores(exported, corpus, shards, tmp_path, caplog):
    folder = exported.write()
    (folder / "hard_negatives.meta.json").unlink()
    recipe = ImportedIndex(folder / "hard_negatives.json")
    with caplog.at_level(logging.WARNING):
        index = recipe.prepare(corpus, shards, *at(tmp_path / "again"))
    assert "its scores are unknown, every pair counts as score_c=1" in caplog.text
    assert np.array_equal(index.negatives.values, exported.index.negatives.values)
    np.testing.assert_allclose(index.cosims, exported.index.cosims, atol=1e-6)
    assert set(index.scores.tolist()) == {1}
    assert len(index.related.values) == 0
    rows = index.summary_rows()
    assert rows["score_c=0 pairs"] == rows["score_c=1 pairs"] == rows["Model"] == rows["Judge"] == "unknown"
    assert rows["Filter"] == "both IDs in training corpus"
    with pytest.raises(SigjepaError, match="max_score_c=0.*pairs_file"):
        replace(recipe, filter=PairFilter(max_score_c=0)).prepare(corpus, shards, *at(tmp_path / "again"))
    export(index, corpus, tmp_path / "third")
    assert sorted(path.name for path in (tmp_path / "third").iterdir()) == [
        *("hard_negatives.json", "hard_negatives.meta.json")
    ]
    third = ImportedIndex(tmp_path / "third" / "hard_negatives.json").prepare(corpus, shards, *at(tmp_path / "again"))
    assert third.summary_rows()["score_c=1 pairs"] == "unknown"


def test_an_index_without_meta_is_told_from_random_pairs(exported, corpus, shards, make_shards, tmp_path):
    folder = exported.write()
    (folder / "hard_negatives.meta.json").unlink()
    recipe = ImportedIndex(folder / "hard_negatives.json")
    with pytest.raises(SigjepaError, match="random .*check_cosim=false"):
        recipe.prepare(corpus, make_shards(seed=1), *at(tmp_path / "again"))
    assert len(replace(recipe, check_cosim=False).prepare(corpus, make_shards(seed=1), *at(tmp_path / "again")))


def test_an_index_with_functions_outside_of_train(exported, corpus, shards, tmp_path):
    folder = exported.write()
    (folder / "hard_negatives.meta.json").unlink()
    path = folder / "hard_negatives.json"
    lists = json.loads(path.read_text())
    first, *_ = lists
    lists[first].append(45)
    path.write_text(json.dumps(lists, indent=1))
    line = 2 + len(lists[first])
    with pytest.raises(SigjepaError, match=rf"json:{line}: .*45 .*skip"):
        ImportedIndex(path).prepare(corpus, shards, *at(tmp_path / "again"))
    index = ImportedIndex(path, outside_train="skip").prepare(corpus, shards, *at(tmp_path / "again"))
    assert len(index) == len(exported.index)
    assert "| Pairs outside of the train split, left out | 1 |" in index.summary_table()
    path.write_text(json.dumps({"50": [51]}))
    with pytest.raises(SigjepaError, match="1 pairs .*train"):
        ImportedIndex(path, outside_train="skip").prepare(corpus, shards, *at(tmp_path / "again"))


def test_an_index_is_restricted_by_score_and_tier(exported, corpus, shards, tmp_path):
    folder = exported.write()
    recipe = ImportedIndex(folder / "hard_negatives.json", filter=PairFilter(max_score_c=0), tiers=["phase0"])
    index = recipe.prepare(corpus, shards, *at(tmp_path / "again"))
    assert set(index.scores.tolist()) == {0}
    assert not np.any(np.concatenate([index.negatives.pair_keys(), index.negatives.values]) % 2)
    assert "score_c ≤ 0" in index.summary_rows()["Filter"]
    files = times_of(tmp_path / "again", "*.json")
    assert equal(recipe.prepare(corpus, shards, *at(tmp_path / "again")), index)
    assert files == times_of(tmp_path / "again", "*.json")


def test_all_bounds_that_were_applied_are_recorded(exported, corpus, shards, tmp_path):
    """Of an index that is filtered, exported and filtered again, twice."""
    path, further = exported.write() / "hard_negatives.json", []
    for number, bounds in enumerate(({"max_per_anchor": 2, "max_cosim": 0.95}, {"range_min": 1}, {"min_cosim": 0.4})):
        index = ImportedIndex(path, filter=PairFilter(**bounds)).prepare(corpus, shards, *at(tmp_path / "again"))
        settings = index.metadata["filter"]
        assert {name: settings[name] for name in bounds} == bounds
        assert (settings["min_cosim"], settings["max_score_c"]) == (bounds.get("min_cosim", 0.3), 1)  # both filters'
        assert len(index.metadata["filtered_before"]) == number + 1
        rows = index.summary_rows()
        further.append((rows.get("Further bounds"), rows.get("Further bounds, before it was imported")))
        export(index, corpus, tmp_path / str(number))
        path = tmp_path / str(number) / "hard_negatives.json"
    first = "max_cosim=0.95, max_per_anchor=2"
    assert further == [(first, None), ("range_min=1", first), (None, f"{first}; then range_min=1")]
