"""Mining, judging and filtering as one: what is kept, what is reused, and what is refused."""

import logging
import pickle
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from made_up import MadeUpCorpus, at, equal, made_up_shards, times_of

from sigjepa.errors import DamagedError, SigjepaError
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.judging.judges.judge import Judge, Judgement
from sigjepa.negatives.judging.judges.structural import StructuralJudge
from sigjepa.negatives.sources import MinedNegatives
from sigjepa.store.manifest import Manifest
from sigjepa.store.store import Store


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


@pytest.fixture
def corpus():
    return MadeUpCorpus()


@pytest.fixture
def shards():
    # Val and test bodies repeat train bodies: were they mined, they would be the nearest of all.
    rng = np.random.default_rng(0)
    train = rng.normal(size=(1, 8)) + 0.5 * rng.normal(size=(40, 8))
    return made_up_shards(np.concatenate([train, train[:20]]))


@pytest.fixture
def source():
    return MinedNegatives(ScriptedJudge(), PairFilter(min_cosim=0.5), top_k=5)


def lines_of(data_dir):
    (path,) = data_dir.glob("judged/*/judged_pairs.parquet")
    return pq.read_table(path).to_pylist()


def manifest_of(data_dir, kind):
    (path,) = data_dir.glob(f"{kind}/*/manifest.json")
    return Manifest.read(path.parent)


def test_only_train_functions_are_mined(source, corpus, shards, tmp_path):
    index = source.prepare(corpus, shards, *at(tmp_path))
    lines = lines_of(tmp_path)
    assert lines
    assert {line[key] for line in lines for key in ("anchor_id", "neighbor_id")} <= set(range(40))
    assert {request.anchor_id for request in source.judge.asked} <= set(range(40))
    assert set(index.negatives.values.tolist()) <= set(range(40))
    assert 0 < index.coverage(corpus.ids("train")) <= 1
    assert index.coverage(corpus.ids("val")) == 0


def test_tiers_limit_what_is_mined(corpus, shards, tmp_path):
    index = MinedNegatives(ScriptedJudge(), PairFilter(min_cosim=-1.0), tiers=["phase0"]).prepare(
        corpus, shards, *at(tmp_path)
    )
    assert all(line["anchor_id"] % 2 == 0 and line["neighbor_id"] % 2 == 0 for line in lines_of(tmp_path))
    assert index.statistics()["train_functions"] == 40
    assert index.statistics()["coverage"] == index.coverage(corpus.ids("train")) <= 0.5


def test_lines_are_ordered_and_in_range(source, corpus, shards, tmp_path):
    source.prepare(corpus, shards, *at(tmp_path))
    lines = lines_of(tmp_path)
    keys = [(line["anchor_id"], -line["cosim"], line["neighbor_id"]) for line in lines]
    assert keys == sorted(keys)
    assert all(line["cosim"] >= 0.5 and line["reason"] == "scripted" for line in lines)
    assert np.bincount([line["anchor_id"] for line in lines]).max() == 5


def test_a_pair_and_its_reverse_are_judged_once(source, corpus, shards, tmp_path):
    source.prepare(corpus, shards, *at(tmp_path))
    asked = [frozenset((request.anchor_id, request.neighbor_id)) for request in source.judge.asked]
    lines = lines_of(tmp_path)
    assert len(asked) == len(set(asked)) < len(lines)
    assert {frozenset((line["anchor_id"], line["neighbor_id"])) for line in lines} == set(asked)
    assert all(line["score_c"] == (line["anchor_id"] + line["neighbor_id"]) % 4 for line in lines)


def test_the_judge_sees_both_functions(source, corpus, shards, tmp_path):
    source.prepare(corpus, shards, *at(tmp_path))
    for request in source.judge.asked:
        assert request.anchor_signature == f"signature{request.anchor_id:04}"
        assert request.anchor_body == f"body{request.anchor_id:04}"
        assert request.neighbor_signature == f"signature{request.neighbor_id:04}"
        assert request.neighbor_body == f"body{request.neighbor_id:04}"
    cosim = {(line["anchor_id"], line["neighbor_id"]): line["cosim"] for line in lines_of(tmp_path)}
    one = source.judge.asked[0]
    assert one.cosim == cosim.get((one.anchor_id, one.neighbor_id), cosim.get((one.neighbor_id, one.anchor_id)))


def test_index_is_the_filtered_lines(source, corpus, shards, tmp_path):
    index = source.prepare(corpus, shards, *at(tmp_path))
    lines = lines_of(tmp_path)
    for anchor in range(40):
        mine = [line for line in lines if line["anchor_id"] == anchor]
        assert index.negatives_of(anchor).ids.tolist() == [n["neighbor_id"] for n in mine if n["score_c"] <= 1]
        assert {n["neighbor_id"] for n in mine if n["score_c"] >= 2} <= set(index.related_to(anchor).tolist())
    assert index.metadata["source"].startswith("judged/scripted-")
    assert "| Judge | scripted |" in index.summary_table()


def test_second_preparation_reuses_everything(source, corpus, shards, tmp_path):
    first = source.prepare(corpus, shards, *at(tmp_path))
    files = times_of(tmp_path, "*.*")
    again = replace(source, judge=ScriptedJudge())
    second = again.prepare(corpus, shards, *at(tmp_path))
    assert again.judge.asked == []
    assert files == times_of(tmp_path, "*.*")
    assert second.statistics() == first.statistics()


def test_a_changed_filter_judges_nothing_again(source, corpus, shards, tmp_path):
    loose = source.prepare(corpus, shards, *at(tmp_path))
    strict = replace(source, judge=ScriptedJudge(), filter=PairFilter(0.5, max_score_c=0))
    index = strict.prepare(corpus, shards, *at(tmp_path))
    assert strict.judge.asked == []
    assert set(index.scores.tolist()) == {0}
    assert len(index) == (loose.scores == 0).sum()
    assert len(list(tmp_path.glob("judged/*/manifest.json"))) == 1
    assert len(list(tmp_path.glob("negatives/*/manifest.json"))) == 2


@pytest.mark.parametrize(
    "change",
    [{"top_k": 4}, {"filter": PairFilter(0.6)}, {"tiers": ["heads"]}, {"judge": ScriptedJudge(version=2)}],
)
def test_a_changed_input_judges_again(source, corpus, shards, tmp_path, change):
    source.prepare(corpus, shards, *at(tmp_path))
    replace(source, **change).prepare(corpus, shards, *at(tmp_path))
    assert len(list(tmp_path.glob("judged/*/manifest.json"))) == 2


def test_other_shards_or_corpus_judge_again(source, corpus, shards, tmp_path):
    source.prepare(corpus, shards, *at(tmp_path))
    source.prepare(corpus, made_up_shards(shards.body_pooled.numpy(), "other"), *at(tmp_path))
    corpus.hash = "xxh3_128:other"
    source.prepare(corpus, shards, *at(tmp_path))
    assert len(list(tmp_path.glob("judged/*/manifest.json"))) == 3


def test_a_limit_is_part_of_what_was_judged_and_asks_only_the_difference(source, corpus, shards, tmp_path):
    few = replace(source, judge=ScriptedJudge(limit=10))
    few.prepare(corpus, shards, *at(tmp_path))
    assert len(few.judge.asked) == 10
    manifest = manifest_of(tmp_path, "judged")
    assert (manifest.inputs["limit"], manifest.facts["metadata"]["parse_errors"]) == (10, 0)
    assert manifest.facts["metadata"]["not_asked"] > 0
    more = replace(source, judge=ScriptedJudge(limit=15))
    more.prepare(corpus, shards, *at(tmp_path))
    assert len(more.judge.asked) == 5
    source.prepare(corpus, shards, *at(tmp_path))
    assert len(source.judge.asked) == manifest.facts["metadata"]["not_asked"] - 5
    assert len(list(tmp_path.glob("judged/*/manifest.json"))) == 3
    answers = [path.read_text().count("\n") for path in sorted(tmp_path.glob("responses/*.jsonl"))]
    assert answers == [10, 5, len(source.judge.asked)]
    assert len(list(tmp_path.glob("responses/*.fingerprint.json"))) == 1


def test_pairs_without_a_score_are_neither_negatives_nor_related(source, corpus, shards, tmp_path, caplog):
    index = replace(source, judge=ScriptedJudge(unanswerable=3)).prepare(corpus, shards, *at(tmp_path))
    lines = lines_of(tmp_path)
    assert {line["score_c"] for line in lines} == {0, 1, 2}
    unscored = [pair for pair in np.ndindex(40, 40) if sum(pair) % 4 == 3]
    assert not any(other in index.related_to(anchor) for anchor, other in unscored)
    manifest = manifest_of(tmp_path, "judged")
    assert manifest.facts["metadata"]["parse_errors"] > 0
    assert manifest.facts["pairs"] == len(lines)
    assert f"{manifest.facts['metadata']['parse_errors']} of " in caplog.text


def test_answers_outlive_the_artifacts_made_of_them(source, corpus, shards, tmp_path):
    first = source.prepare(corpus, shards, *at(tmp_path))
    for folder in ("judged", "negatives"):
        shutil.rmtree(tmp_path / folder)
    again = replace(source, judge=ScriptedJudge())
    assert again.prepare(corpus, shards, *at(tmp_path)).statistics() == first.statistics()
    assert again.judge.asked == []


def test_manifests_say_what_was_built_from_what(source, corpus, shards, tmp_path):
    index = source.prepare(corpus, shards, *at(tmp_path))
    mined, judged, negatives = (manifest_of(tmp_path, kind) for kind in ("mined", "judged", "negatives"))
    assert judged.inputs["judge"] == {"judge": "scripted", "version": 1}
    assert judged.inputs["mined"] == mined.inputs
    assert (mined.inputs["corpus"], mined.inputs["shards"]) == (corpus.hash, shards.folder.name)
    assert negatives.inputs["filter"]["max_score_c"] == 1
    assert mined.upstream == {"corpus": corpus.reference, "shards": shards.reference}
    assert judged.upstream == {"mined": mined.reference, "corpus": corpus.reference}
    assert negatives.upstream["judged"] == judged.reference
    assert index.reference == negatives.reference
    assert index.metadata == negatives.facts["metadata"]
    assert index.statistics() == negatives.facts["statistics"]


def test_positive_aware_filters_read_the_teachers_signatures(corpus, shards, tmp_path):
    """Signatures that point at the anchor's own body let every negative pass; ones that point away, none."""
    generator = torch.Generator().manual_seed(0)
    near = shards.body_pooled + 0.01 * torch.randn(shards.body_pooled.shape, generator=generator)
    source = MinedNegatives(ScriptedJudge(), PairFilter(0.5, relative_margin=0.001, absolute_margin=0.001))
    shards.signature_pooled = near
    unbounded = MinedNegatives(ScriptedJudge(), PairFilter(min_cosim=0.5)).prepare(corpus, shards, *at(tmp_path))
    assert len(source.prepare(corpus, shards, *at(tmp_path))) == len(unbounded) > 0
    shards.signature_pooled, shards.folder = -near, Path("teacher/other")
    assert len(source.prepare(corpus, shards, *at(tmp_path))) == 0


def test_another_filter_mines_and_judges_nothing_again(source, corpus, shards, tmp_path):
    source.prepare(corpus, shards, *at(tmp_path))
    asked = len(source.judge.asked)
    narrow = replace(source, filter=PairFilter(0.5, 0.9, max_score_c=0, range_max=2, max_per_anchor=1))
    index = narrow.prepare(corpus, shards, *at(tmp_path))
    assert len(source.judge.asked) == asked
    assert len(list(tmp_path.glob("mined/*/manifest.json"))) == len(list(tmp_path.glob("judged/*/manifest.json"))) == 1
    assert np.diff(index.negatives.offsets).max() == 1


def test_no_pair_reaches_the_threshold(corpus, tmp_path, caplog):
    source = MinedNegatives(ScriptedJudge(), PairFilter(min_cosim=0.8))
    with caplog.at_level(logging.WARNING):
        index = source.prepare(corpus, made_up_shards(np.eye(60) + 0.02), *at(tmp_path))
    assert len(index) == 0
    assert index.coverage(corpus.ids("train")) == 0
    assert "no two bodies reach min_cosim=0.80, the highest cosine is 0.0" in caplog.text
    assert "| Total pairs | 0 |" in index.summary_table()


def test_no_judged_pair_is_a_negative(corpus, shards, tmp_path, caplog):
    class EverythingIsRelated(ScriptedJudge):
        def judge(self, requests):
            return ((request, Judgement(2, "")) for request in requests)

    index = MinedNegatives(EverythingIsRelated(), PairFilter(min_cosim=0.5)).prepare(corpus, shards, *at(tmp_path))
    assert len(index) == 0
    assert index.statistics()["related_pairs"] > 0
    assert "judged pairs passes the filter {'min_cosim': 0.5" in caplog.text


def test_a_single_function_has_no_pairs(tmp_path, caplog):
    corpus = MadeUpCorpus(n=22)
    source = MinedNegatives(ScriptedJudge(), tiers=["phase0"])
    assert len(source.prepare(corpus, made_up_shards(np.ones((22, 4))), *at(tmp_path))) == 0
    assert "fewer than two functions" in caplog.text


def test_an_empty_train_split_is_an_error(source, tmp_path):
    with pytest.raises(SigjepaError, match="train .*tier"):
        source.prepare(MadeUpCorpus(n=20), made_up_shards(np.ones((20, 4))), *at(tmp_path))


def test_vectors_without_a_cosine_are_named(source, corpus, shards, tmp_path):
    shards.body_pooled[[5, 50]] = float("nan")  # 50 is a test function, which is not mined
    with pytest.raises(SigjepaError, match="function 5 "):
        source.prepare(corpus, shards, *at(tmp_path))


@pytest.mark.parametrize(
    ("judgements", "message"),
    [
        (lambda requests: ((request, Judgement(4, "")) for request in requests), r"\(\d+, \d+\) score_c=4"),
        (lambda requests: ((request, Judgement(True, "")) for request in requests), "score_c=True"),
        (lambda requests: ((request, Judgement(1, "")) for request in list(requests)[:1]), "1 judgements"),
        (lambda requests: ((request, Judgement(1, "")) for request in [*requests] * 2), r"pair \("),
        (lambda requests: ((replace(request, anchor_key="?"), Judgement(1, "")) for request in requests), r"pair \("),
    ],
)
def test_a_judge_that_breaks_its_contract(corpus, shards, tmp_path, judgements, message):
    judge = ScriptedJudge()
    judge.judge = judgements
    with pytest.raises(SigjepaError, match=message):
        MinedNegatives(judge, PairFilter(min_cosim=0.5)).prepare(corpus, shards, *at(tmp_path))
    assert {path.parent.parent.name for path in tmp_path.rglob("manifest.json")} == {"mined", "functions"}


def test_altered_judged_pairs_are_noticed_whatever_is_filtered(source, corpus, shards, tmp_path):
    source.prepare(corpus, shards, *at(tmp_path))
    (path,) = tmp_path.glob("judged/*/judged_pairs.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedError, match="judged_pairs.parquet"):
        replace(source, filter=PairFilter(0.5, max_score_c=0)).prepare(corpus, shards, *at(tmp_path))


def test_stages_can_be_sent_to_other_processes(source, corpus, shards, tmp_path):
    """Each stage is what an executor pickles: the work that it then does is the same."""
    sent = []

    def get(stage):
        stage = pickle.loads(pickle.dumps(stage))
        sent.append(stage.kind)
        return Store(tmp_path / "sent").get(stage)

    assert equal(source.prepare(corpus, shards, get, tmp_path / "sent"), source.prepare(corpus, shards, *at(tmp_path)))
    assert sent == ["mined", "judged", "negatives"]


def test_scores_of_the_structural_judge_are_named_a_heuristic(corpus, shards, tmp_path):
    index = MinedNegatives(StructuralJudge(), PairFilter(min_cosim=0.5)).prepare(corpus, shards, *at(tmp_path))
    assert manifest_of(tmp_path, "judged").facts["metadata"]["judge"] == "structural (heuristic)"
    assert "| Judge | structural (heuristic) |" in index.summary_table()
    assert "heuristic" in index.reference.folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top_k": 0}, "negatives.top_k=0"),
        ({"tiers": "phase0"}, "negatives.tiers='phase0'"),
        ({"tiers": []}, "negatives.tiers"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(SigjepaError, match=message):
        MinedNegatives(ScriptedJudge(), **arguments)
