"""`negatives=pairs_file`: judged pairs from a file, filtered as mined ones, and what is noticed of it."""

import json
import logging

import numpy as np
import pytest
from made_up import MadeUpCorpus, at, equal
from published_index import FUNCTIONS, MODEL, PUBLISHED, SOURCE, published_pairs, rows_of

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.exported import write_judged
from sigjepa.negatives.exchange.field_map import FieldMap
from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.imported_pairs import ImportedPairs
from sigjepa.negatives.exchange.index_file import write_index
from sigjepa.negatives.index.pair_filter import PairFilter


def rewrite(path, change):
    """Apply `change` to every line, with its number from 0; None takes a line out."""
    lines = [change(number, json.loads(line)) for number, line in enumerate(path.read_text().splitlines())]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines if line is not None))


def test_imported_pairs_are_filtered_as_mined_ones(file, corpus, shards, tmp_path, expected):
    index = ImportedPairs(file, PairFilter(min_cosim=0.3)).prepare(corpus, shards, *at(tmp_path))
    assert equal(index, expected)
    assert index.reference.folder.startswith("imported-")
    rows = index.summary_rows()
    assert (rows["Source"], rows["Model"], rows["Judge"]) == (f"`{file}`", "teacher", "an LLM")
    assert rows["Filter"] == "cosim ≥ 0.30, score_c ≤ 1, both IDs in training corpus"


def test_a_second_import_opens_what_is_there(file, corpus, shards, tmp_path, monkeypatch):
    first = ImportedPairs(file).prepare(corpus, shards, *at(tmp_path))
    monkeypatch.setattr(ImportedPairs, "read", None)
    assert equal(ImportedPairs(file).prepare(corpus, shards, *at(tmp_path)), first)
    strict = ImportedPairs(file, PairFilter(max_score_c=0)).prepare(corpus, shards, *at(tmp_path))
    assert set(strict.scores.tolist()) == {0}
    moved = file.rename(tmp_path / "moved.jsonl")
    assert ImportedPairs(moved).prepare(corpus, shards, *at(tmp_path)).metadata["source"] == str(moved)
    assert len(list(tmp_path.glob("judged/*/manifest.json"))) == 1


def test_a_changed_file_is_read_again(file, corpus, shards, tmp_path):
    before = ImportedPairs(file, PairFilter(min_cosim=0.3)).prepare(corpus, shards, *at(tmp_path))
    rewrite(file, lambda _, line: line | {"score_c": 0})
    after = ImportedPairs(file, PairFilter(min_cosim=0.3)).prepare(corpus, shards, *at(tmp_path))
    assert len(after) > len(before)
    assert after.statistics()["related_pairs"] == 0


def test_tiers_limit_what_is_kept(file, corpus, shards, tmp_path):
    index = ImportedPairs(file, PairFilter(min_cosim=-1.0), tiers=["phase0"]).prepare(corpus, shards, *at(tmp_path))
    assert len(index)
    assert not np.any(np.concatenate([index.negatives.pair_keys(), index.negatives.values, index.related.values]) % 2)
    assert index.statistics()["train_functions"] == 40


def test_what_was_left_out_is_counted_and_said(file, corpus, shards, tmp_path, expected):
    rewrite(file, lambda number, line: line | ({"score_c": None} if number < 3 else {}))
    with file.open("a") as stream:
        stream.write(json.dumps({"anchor_id": 1, "neighbor_id": 45, "cosim": 0.5, "score_c": 0}) + "\n")
    with pytest.raises(SigjepaError, match=":241: .* 45 .*outside_train=skip"):
        ImportedPairs(file, PairFilter(min_cosim=0.3)).prepare(corpus, shards, *at(tmp_path))
    index = ImportedPairs(file, PairFilter(min_cosim=0.3), outside_train="skip").prepare(corpus, shards, *at(tmp_path))
    table = index.summary_table()
    assert "| Pairs without a score, left out | 3 |" in table
    assert "| Pairs outside of the train split, left out | 1 |" in table
    assert index.statistics()["pairs"] + index.statistics()["related_pairs"] > 0
    assert set(index.negatives.values.tolist()) <= set(expected.negatives.values.tolist())


def test_a_filter_that_lets_nothing_pass_warns(file, corpus, shards, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert len(ImportedPairs(file, PairFilter(min_cosim=1.0)).prepare(corpus, shards, *at(tmp_path))) == 0
    assert "There are no hard negatives" in caplog.text


def test_cosines_of_another_corpus_are_noticed(file, corpus, shards, make_shards, tmp_path):
    other = make_shards(seed=1)
    with pytest.raises(SigjepaError, match=r"\d+ of 240 .*check_cosim=false"):
        ImportedPairs(file).prepare(corpus, other, *at(tmp_path))
    assert not list(tmp_path.rglob("manifest.json"))
    index = ImportedPairs(file, PairFilter(min_cosim=0.3), check_cosim=False).prepare(corpus, other, *at(tmp_path))
    assert index.summary_rows()["Model"] == "unknown"
    named = ImportedPairs(file, PairFilter(min_cosim=0.3), check_cosim=False, model=MODEL).prepare(
        corpus, other, *at(tmp_path)
    )
    assert named.summary_rows()["Model"] == MODEL


def test_a_few_cosines_may_be_off_and_rounding_always(file, corpus, shards, tmp_path):
    rewrite(file, lambda number, line: line | {"cosim": 0.0 if number in (5, 6) else round(line["cosim"], 2)})
    assert len(ImportedPairs(file, PairFilter(min_cosim=0.3)).prepare(corpus, shards, *at(tmp_path)))
    rewrite(file, lambda number, line: line | ({"cosim": -0.9} if number in (7, 8) else {}))
    with pytest.raises(SigjepaError, match=r"[34] of 240"):
        ImportedPairs(file, PairFilter(min_cosim=0.3)).prepare(corpus, shards, *at(tmp_path))


def test_arguments_of_the_filter_and_the_map():
    with pytest.raises(SigjepaError, match="negatives.filter.min_cosim=nan"):
        ImportedPairs("a.jsonl", PairFilter(min_cosim=float("nan")))
    with pytest.raises(SigjepaError, match="'score'"):
        ImportedPairs("a.jsonl", fields={"score": "score_c"})


@pytest.mark.slow  # 90,000 lines; the table itself is tested beside the summary
def test_the_published_file_prints_the_published_table(tmp_path, monkeypatch, make_shards):
    """The file of Exp 2.1 by its statistics: imported, filtered and printed, the table is that of the write-up."""
    monkeypatch.chdir(tmp_path)
    judged, train = published_pairs()
    (tmp_path / "docs").mkdir()
    fields = {"anchor_id": "anchor", "neighbor_id": "neighbor", "cosim": "cosine_similarity"}
    write_judged(tmp_path / SOURCE, judged, FunctionIds(FUNCTIONS), FieldMap(fields))
    corpus = MadeUpCorpus("published")
    corpus.splits = np.full(FUNCTIONS, "test", dtype="<U5")
    corpus.splits[train] = "train"
    recipe = ImportedPairs(SOURCE, fields=fields, check_cosim=False, model=MODEL)
    index = recipe.prepare(corpus, make_shards(4), *at(tmp_path / "data"))
    file = write_index(index, tmp_path, FunctionIds(FUNCTIONS))
    printed = rows_of(index.summary_table(file.stat().st_size).split("\n\n")[0])
    published = rows_of(PUBLISHED)
    assert [printed[0], *printed[2:]] == [published[0], *published[2:]]
