"""Mining, judging and filtering as one: what is kept, what is reused, and what is refused."""

import json
import logging
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sigjepa.errors import SigjepaError
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.judging.judges.judge import Judge, Judgement
from sigjepa.negatives.judging.judges.structural import StructuralJudge
from sigjepa.negatives.recipe import NegativesRecipe
from sigjepa.store.files import read_json


class FakeCorpus:
    """60 functions: ids 0-39 train (even ids phase0, odd ones heads), 40-49 val, 50-59 test."""

    folder = Path("corpus/fake-0123")
    hash = "xxh3_128:fake"

    def __init__(self, n=60):
        self.splits = np.array(["train"] * (n - 20) + ["val"] * 10 + ["test"] * 10)
        self.tiers = np.array(["phase0", "heads"] * (n // 2))

    def __len__(self):
        return len(self.splits)

    def ids(self, split=None, tiers=None):
        chosen = self.splits == split
        if tiers is not None:
            chosen &= np.isin(self.tiers, tiers)
        return np.flatnonzero(chosen)

    def column(self, name):
        return [f"{name} {i}" for i in range(len(self))]


@dataclass
class ScriptedJudge(Judge):
    """Scores a pair by the sum of its ids and remembers what it was asked."""

    version: int = 1
    asked: list = field(default_factory=list)
    name: str = "scripted"
    limit: int | None = None
    unanswerable: int = -1

    def fingerprint(self):
        return {"judge": self.name, "version": self.version}

    def judge(self, requests):
        for request in requests:
            self.asked.append(request)
            score = (request.anchor_id + request.neighbor_id) % 4
            yield request, Judgement(None if score == self.unanswerable else score, "scripted")


def shards_of(embeddings, name="fake-4567"):
    return SimpleNamespace(
        folder=Path("teacher") / name,
        manifest={},
        ids=np.arange(len(embeddings)),
        body_pooled=torch.from_numpy(np.asarray(embeddings, dtype=np.float32)),
    )


@pytest.fixture
def corpus():
    return FakeCorpus()


@pytest.fixture
def shards():
    # Val and test bodies repeat train bodies: were they mined, they would be the nearest of all.
    rng = np.random.default_rng(0)
    train = rng.normal(size=(1, 8)) + 0.5 * rng.normal(size=(40, 8))
    return shards_of(np.concatenate([train, train[:20]]))


@pytest.fixture
def recipe():
    return NegativesRecipe(ScriptedJudge(), PairFilter(min_cosim=0.5), top_k=5)


def lines_of(data_dir):
    (path,) = data_dir.glob("judged/*/knn_results.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_only_train_functions_are_mined(recipe, corpus, shards, tmp_path):
    index = recipe.prepare(corpus, shards, tmp_path)
    lines = lines_of(tmp_path)
    assert lines
    assert {line[key] for line in lines for key in ("anchor_id", "neighbor_id")} <= set(range(40))
    assert {request.anchor_id for request in recipe.judge.asked} <= set(range(40))
    assert set(index.negatives.values.tolist()) <= set(range(40))
    assert 0 < index.coverage(corpus.ids("train")) <= 1
    assert index.coverage(corpus.ids("val")) == 0


def test_tiers_limit_what_is_mined(corpus, shards, tmp_path):
    index = NegativesRecipe(ScriptedJudge(), PairFilter(min_cosim=-1.0), tiers=["phase0"]).prepare(
        corpus, shards, tmp_path
    )
    assert all(line["anchor_id"] % 2 == 0 and line["neighbor_id"] % 2 == 0 for line in lines_of(tmp_path))
    assert index.statistics()["train_functions"] == 40
    assert index.statistics()["coverage"] == index.coverage(corpus.ids("train")) <= 0.5


def test_lines_are_ordered_and_in_range(recipe, corpus, shards, tmp_path):
    recipe.prepare(corpus, shards, tmp_path)
    lines = lines_of(tmp_path)
    keys = [(line["anchor_id"], -line["cosim"], line["neighbor_id"]) for line in lines]
    assert keys == sorted(keys)
    assert all(line["cosim"] >= 0.5 and line["judge"] == "scripted" for line in lines)
    assert np.bincount([line["anchor_id"] for line in lines]).max() == 5


def test_a_pair_and_its_reverse_are_judged_once(recipe, corpus, shards, tmp_path):
    recipe.prepare(corpus, shards, tmp_path)
    asked = [frozenset((request.anchor_id, request.neighbor_id)) for request in recipe.judge.asked]
    lines = lines_of(tmp_path)
    assert len(asked) == len(set(asked)) < len(lines)
    assert {frozenset((line["anchor_id"], line["neighbor_id"])) for line in lines} == set(asked)
    assert all(line["score_c"] == (line["anchor_id"] + line["neighbor_id"]) % 4 for line in lines)


def test_the_judge_sees_both_functions(recipe, corpus, shards, tmp_path):
    recipe.prepare(corpus, shards, tmp_path)
    for request in recipe.judge.asked:
        assert request.anchor_signature == f"signature {request.anchor_id}"
        assert request.anchor_body == f"body {request.anchor_id}"
        assert request.neighbor_signature == f"signature {request.neighbor_id}"
        assert request.neighbor_body == f"body {request.neighbor_id}"
    cosim = {(line["anchor_id"], line["neighbor_id"]): line["cosim"] for line in lines_of(tmp_path)}
    one = recipe.judge.asked[0]
    assert one.cosim == cosim.get((one.anchor_id, one.neighbor_id), cosim.get((one.neighbor_id, one.anchor_id)))


def test_index_is_the_filtered_lines(recipe, corpus, shards, tmp_path):
    index = recipe.prepare(corpus, shards, tmp_path)
    lines = lines_of(tmp_path)
    for anchor in range(40):
        mine = [line for line in lines if line["anchor_id"] == anchor]
        assert index.negatives_of(anchor).ids.tolist() == [n["neighbor_id"] for n in mine if n["score_c"] <= 1]
        assert {n["neighbor_id"] for n in mine if n["score_c"] >= 2} <= set(index.related_to(anchor).tolist())
    assert index.metadata["source"].endswith("/knn_results.jsonl")
    assert "| Judge | scripted |" in index.summary_table()


def test_second_preparation_reuses_everything(recipe, corpus, shards, tmp_path):
    first = recipe.prepare(corpus, shards, tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json*")}
    again = replace(recipe, judge=ScriptedJudge())
    second = again.prepare(corpus, shards, tmp_path)
    assert again.judge.asked == []
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json*")}
    assert second.statistics() == first.statistics()


def test_a_changed_filter_judges_nothing_again(recipe, corpus, shards, tmp_path):
    loose = recipe.prepare(corpus, shards, tmp_path)
    strict = replace(recipe, judge=ScriptedJudge(), filter=PairFilter(0.5, max_score_c=0))
    index = strict.prepare(corpus, shards, tmp_path)
    assert strict.judge.asked == []
    assert set(index.scores.tolist()) == {0}
    assert len(index) == (loose.scores == 0).sum()
    assert len(list(tmp_path.glob("judged/*/manifest.json"))) == 1
    assert len(list(tmp_path.glob("negatives/*/manifest.json"))) == 2


@pytest.mark.parametrize(
    "change",
    [{"top_k": 4}, {"filter": PairFilter(0.6)}, {"tiers": ["heads"]}, {"judge": ScriptedJudge(version=2)}],
)
def test_a_changed_input_judges_again(recipe, corpus, shards, tmp_path, change):
    recipe.prepare(corpus, shards, tmp_path)
    replace(recipe, **change).prepare(corpus, shards, tmp_path)
    assert len(list(tmp_path.glob("judged/*/manifest.json"))) == 2


def test_other_shards_or_corpus_judge_again(recipe, corpus, shards, tmp_path):
    recipe.prepare(corpus, shards, tmp_path)
    recipe.prepare(corpus, shards_of(shards.body_pooled.numpy(), "other-89ab"), tmp_path)
    corpus.hash = "xxh3_128:other"
    recipe.prepare(corpus, shards, tmp_path)
    assert len(list(tmp_path.glob("judged/*/manifest.json"))) == 3


def test_a_limit_is_part_of_what_was_judged_and_asks_only_the_difference(recipe, corpus, shards, tmp_path):
    few = replace(recipe, judge=ScriptedJudge(limit=10))
    few.prepare(corpus, shards, tmp_path)
    assert len(few.judge.asked) == 10
    (manifest,) = (read_json(path) for path in tmp_path.glob("judged/*/manifest.json"))
    assert (manifest["inputs"]["limit"], manifest["parse_errors"]) == (10, 0)
    assert manifest["not_asked"] > 0
    more = replace(recipe, judge=ScriptedJudge(limit=15))
    more.prepare(corpus, shards, tmp_path)
    assert len(more.judge.asked) == 5
    recipe.prepare(corpus, shards, tmp_path)
    assert len(recipe.judge.asked) == manifest["not_asked"] - 5
    assert len(list(tmp_path.glob("judged/*/manifest.json"))) == 3
    assert len(list(tmp_path.glob("judgements/*.jsonl"))) == 1


def test_pairs_without_a_score_are_neither_negatives_nor_related(recipe, corpus, shards, tmp_path, caplog):
    index = replace(recipe, judge=ScriptedJudge(unanswerable=3)).prepare(corpus, shards, tmp_path)
    lines = lines_of(tmp_path)
    assert {line["score_c"] for line in lines} == {0, 1, 2}
    unscored = [pair for pair in np.ndindex(40, 40) if sum(pair) % 4 == 3]
    assert not any(other in index.related_to(anchor) for anchor, other in unscored)
    (manifest,) = (read_json(path) for path in tmp_path.glob("judged/*/manifest.json"))
    assert manifest["parse_errors"] > 0
    assert manifest["pairs"] == len(lines)
    assert f"{manifest['parse_errors']} of " in caplog.text


def test_answers_outlive_the_artifacts_made_of_them(recipe, corpus, shards, tmp_path):
    first = recipe.prepare(corpus, shards, tmp_path)
    for folder in ("judged", "negatives"):
        shutil.rmtree(tmp_path / folder)
    again = replace(recipe, judge=ScriptedJudge())
    assert again.prepare(corpus, shards, tmp_path).statistics() == first.statistics()
    assert again.judge.asked == []


def test_an_interrupted_build_is_built_again(recipe, corpus, shards, tmp_path):
    first = recipe.prepare(corpus, shards, tmp_path)
    for manifest in tmp_path.rglob("manifest.json"):
        manifest.unlink()
    (next(tmp_path.glob("judged/*/")) / "knn_results.jsonl").write_text("half a li")
    second = recipe.prepare(corpus, shards, tmp_path)
    assert second.statistics() == first.statistics()
    assert not list(tmp_path.rglob("*.tmp"))


def test_manifests_hold_their_inputs(recipe, corpus, shards, tmp_path):
    recipe.prepare(corpus, shards, tmp_path)
    (manifest,) = (read_json(path) for path in tmp_path.glob("judged/*/manifest.json"))
    assert manifest["inputs"]["judge"] == {"judge": "scripted", "version": 1}
    mined = manifest["inputs"]["mined"]
    assert (mined["corpus"], mined["shards"]) == (corpus.hash, "fake-4567")
    (manifest,) = (read_json(path) for path in tmp_path.glob("mined/*/manifest.json"))
    assert manifest["inputs"] == mined
    (manifest,) = (read_json(path) for path in tmp_path.glob("negatives/*/manifest.json"))
    assert manifest["inputs"]["filter"]["max_score_c"] == 1


def test_positive_aware_filters_read_the_teachers_signatures(corpus, shards, tmp_path):
    """Signatures that point at the anchor's own body let every negative pass; ones that point away, none."""
    generator = torch.Generator().manual_seed(0)
    near = shards.body_pooled + 0.01 * torch.randn(shards.body_pooled.shape, generator=generator)
    recipe = NegativesRecipe(ScriptedJudge(), PairFilter(0.5, relative_margin=0.001, absolute_margin=0.001))
    shards.signature_pooled = near
    unbounded = NegativesRecipe(ScriptedJudge(), PairFilter(min_cosim=0.5)).prepare(corpus, shards, tmp_path)
    assert len(recipe.prepare(corpus, shards, tmp_path)) == len(unbounded) > 0
    shards.signature_pooled, shards.folder = -near, Path("teacher/other")
    assert len(recipe.prepare(corpus, shards, tmp_path)) == 0


def test_another_filter_mines_and_judges_nothing_again(recipe, corpus, shards, tmp_path):
    recipe.prepare(corpus, shards, tmp_path)
    asked = len(recipe.judge.asked)
    narrow = replace(recipe, filter=PairFilter(0.5, 0.9, max_score_c=0, range_max=2, max_per_anchor=1))
    index = narrow.prepare(corpus, shards, tmp_path)
    assert len(recipe.judge.asked) == asked
    assert len(list(tmp_path.glob("mined/*/manifest.json"))) == len(list(tmp_path.glob("judged/*/manifest.json"))) == 1
    assert np.diff(index.negatives.offsets).max() == 1


def test_no_pair_reaches_the_threshold(corpus, tmp_path, caplog):
    recipe = NegativesRecipe(ScriptedJudge(), PairFilter(min_cosim=0.8))
    with caplog.at_level(logging.WARNING):
        index = recipe.prepare(corpus, shards_of(np.eye(60) + 0.02), tmp_path)
    assert len(index) == 0
    assert index.coverage(corpus.ids("train")) == 0
    assert "no two bodies reach min_cosim=0.80, the highest cosine is 0.0" in caplog.text
    assert "| Total pairs | 0 |" in index.summary_table()


def test_no_judged_pair_is_a_negative(corpus, shards, tmp_path, caplog):
    class EverythingIsRelated(ScriptedJudge):
        def judge(self, requests):
            return ((request, Judgement(2, "")) for request in requests)

    index = NegativesRecipe(EverythingIsRelated(), PairFilter(min_cosim=0.5)).prepare(corpus, shards, tmp_path)
    assert len(index) == 0
    assert index.statistics()["related_pairs"] > 0
    assert "judged pairs passes the filter {'min_cosim': 0.5" in caplog.text


def test_a_single_function_has_no_pairs(tmp_path, caplog):
    corpus = FakeCorpus(22)
    recipe = NegativesRecipe(ScriptedJudge(), tiers=["phase0"])
    assert len(recipe.prepare(corpus, shards_of(np.ones((22, 4))), tmp_path)) == 0
    assert "fewer than two functions" in caplog.text


def test_an_empty_train_split_is_an_error(recipe, tmp_path):
    with pytest.raises(SigjepaError, match=r"train split of .* has no functions in any tier"):
        recipe.prepare(FakeCorpus(20), shards_of(np.ones((20, 4))), tmp_path)


def test_shards_of_a_smaller_corpus(recipe, corpus, tmp_path):
    with pytest.raises(SigjepaError, match="does not hold every function"):
        recipe.prepare(corpus, shards_of(np.ones((30, 4))), tmp_path)


def test_vectors_without_a_cosine_are_named(recipe, corpus, shards, tmp_path):
    shards.body_pooled[[5, 50]] = float("nan")  # 50 is a test function, which is not mined
    with pytest.raises(SigjepaError, match="embeddings of function 5 are NaN"):
        recipe.prepare(corpus, shards, tmp_path)


@pytest.mark.parametrize(
    ("judgements", "message"),
    [
        (lambda requests: ((request, Judgement(4, "")) for request in requests), r"gave pair \(\d+, \d+\) score_c=4"),
        (lambda requests: ((request, Judgement(True, "")) for request in requests), "score_c=True"),
        (lambda requests: ((request, Judgement(1, "")) for request in list(requests)[:1]), "gave 1 judgements for"),
        (lambda requests: ((request, Judgement(1, "")) for request in [*requests] * 2), r"or had answered before"),
        (lambda requests: ((replace(request, anchor_key="?"), Judgement(1, "")) for request in requests), "not asked"),
    ],
)
def test_a_judge_that_breaks_its_contract(corpus, shards, tmp_path, judgements, message):
    judge = ScriptedJudge()
    judge.judge = judgements
    with pytest.raises(SigjepaError, match=message):
        NegativesRecipe(judge, PairFilter(min_cosim=0.5)).prepare(corpus, shards, tmp_path)
    assert not [path for path in tmp_path.rglob("manifest.json") if path.parent.parent.name != "mined"]


def test_altered_judged_pairs(recipe, corpus, shards, tmp_path):
    recipe.prepare(corpus, shards, tmp_path)
    (path,) = tmp_path.glob("judged/*/knn_results.jsonl")
    text = path.read_text()
    other_filter = replace(recipe, filter=PairFilter(0.5, max_score_c=0))
    path.write_text(text.replace('"score_c": 2', '"score_c": 0'))
    with pytest.raises(SigjepaError, match=r"knn_results.jsonl was altered after it was judged"):
        other_filter.prepare(corpus, shards, tmp_path)
    path.write_text(text[:-20])
    with pytest.raises(SigjepaError, match=r"knn_results.jsonl:\d+: not valid JSON"):
        other_filter.prepare(corpus, shards, tmp_path)
    path.unlink()
    with pytest.raises(SigjepaError, match=r"knn_results.jsonl is missing"):
        other_filter.prepare(corpus, shards, tmp_path)


def test_scores_of_the_structural_judge_are_named_a_heuristic(corpus, shards, tmp_path):
    index = NegativesRecipe(StructuralJudge(), PairFilter(min_cosim=0.5)).prepare(corpus, shards, tmp_path)
    assert {line["judge"] for line in lines_of(tmp_path)} == {"structural (heuristic)"}
    assert "| Judge | structural (heuristic) |" in index.summary_table()
    assert "heuristic" in index.folder.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top_k": 0}, "negatives.top_k must be at least 1"),
        ({"tiers": "phase0"}, "negatives.tiers must be a list"),
        ({"tiers": []}, "negatives.tiers must be a list"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(SigjepaError, match=message):
        NegativesRecipe(ScriptedJudge(), **arguments)
