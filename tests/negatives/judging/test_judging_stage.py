"""Judging in parts: the same bytes in whatever parts and by whatever writers, and nothing asked twice."""

import json
import multiprocessing
import pickle
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from made_up import MadeUpCorpus, ledger_lines, times_of

from sigjepa.errors import SigjepaError
from sigjepa.negatives.judging import answers, judged_functions, questions
from sigjepa.negatives.judging.judges.judge import Judge, Judgement
from sigjepa.negatives.judging.judges.structural import StructuralJudge
from sigjepa.negatives.judging.response_cache import ledgers
from sigjepa.negatives.judging.stage import JudgedPairsStage, judge_pairs
from sigjepa.negatives.mining.pairs import Pairs
from sigjepa.store.build import build_part
from sigjepa.store.manifest import Manifest
from sigjepa.store.store import Store


@dataclass
class NotingJudge(Judge):
    """Scores by the keys, none where they add up to a multiple of `unusable`; notes in files what it is asked."""

    log: Path
    name: str = "noting"
    limit: int | None = None
    unusable: int = 7
    fails_at: str | None = None
    parse_error_retries: int = 0

    def fingerprint(self):
        return {"judge": self.name}

    def features(self, signature, body):
        self.note("read", body)
        return f"{signature} {body}".encode()

    def judge(self, requests):
        for request in reversed(list(requests)):
            assert request.anchor_features == f"{request.anchor_signature} {request.anchor_body}".encode()
            if self.fails_at in request.pair:
                raise SigjepaError("The endpoint is gone.")
            self.note("asked", *request.pair)
            number = sum(int(key[3:]) for key in request.pair)
            yield request, Judgement(None if number % self.unusable == 0 else number % 4, f"sum {number}")

    def note(self, *words):
        with self.log.open("a") as stream:
            stream.write(json.dumps(words) + "\n")

    def noted(self):
        return Counter(map(tuple, map(json.loads, self.log.read_text().splitlines())))


@dataclass(frozen=True)
class Pickling:
    """An executor that sends stage and parts as to other processes, last part first."""

    built: list = field(default_factory=list)

    def run(self, stage, parts, folder):
        for part in reversed(parts):
            self.built.append((stage.kind, part.name))
            yield build_part(pickle.loads(pickle.dumps(stage)), pickle.loads(pickle.dumps(part)), folder)


def mined(seed=0, most=5, name="mined"):
    """Pairs of 40 functions, some in both directions, as the store gives them."""
    rng, ids = np.random.default_rng(seed), np.arange(40)
    anchors = np.repeat(ids, most)
    neighbors = np.concatenate([rng.choice(np.setdiff1d(ids, [one]), most, replace=False) for one in ids])
    cosim = rng.random(len(anchors)).round(3)
    order = np.lexsort((neighbors, -cosim, anchors))
    facts = {"metadata": {"model": "m"}}
    manifest = Manifest(Path("mined") / name, "mined", "made up", {"seed": seed}, name, facts, {})
    return Pairs(anchors[order], neighbors[order], cosim[order], 1.0, manifest)


@pytest.fixture
def judge(tmp_path):
    return NotingJudge(tmp_path / "log")


@pytest.fixture
def in_parts(monkeypatch):
    """Parts of a few functions and questions."""
    monkeypatch.setattr(judged_functions, "IDS_PER_PART", 8)
    monkeypatch.setattr(answers, "QUESTIONS_PER_PART", 17)
    monkeypatch.setattr(questions, "QUESTIONS_AT_ONCE", 5)


def judged(folder, judge, executor=None, pairs=None):
    """The judged pairs, and the digests of their files with the facts."""
    store = Store(folder, *filter(None, [executor]))
    stage = JudgedPairsStage(mined() if pairs is None else pairs, judge, MadeUpCorpus(), folder)
    result = store.get(stage)
    manifest = Manifest.read(store.folder(stage))
    return result, (manifest.reference.digest, dict(manifest.facts))


def columns(pairs):
    return [getattr(pairs, name).tolist() for name in ("anchor_ids", "neighbor_ids", "cosim", "score_c")]


def test_parts_and_writers_decide_nothing(judge, tmp_path, request):
    whole, expected = judged(tmp_path / "whole", judge)
    request.getfixturevalue("in_parts")
    executor = Pickling()
    assert judged(tmp_path / "parts", judge, executor)[1] == expected
    assert Counter(kind for kind, _ in executor.built) == {"functions": 5, "answers": 12, "judged": 1}
    assert len(ledgers(tmp_path / "parts", judge)) == 12
    in_process, counts = judge_pairs(mined(), judge, MadeUpCorpus(), tmp_path / "refresh")
    assert (columns(in_process), in_process.reasons) == (columns(whole), whole.reasons)
    assert {**expected[1]["metadata"], **counts} == expected[1]["metadata"]
    noted = judge.noted()
    assert {noted["read", f"body{number:04}"] for number in range(40)} == {3}  # once each time
    assert {count for (word, *_), count in noted.items() if word == "asked"} == {3}


def test_a_pair_has_the_score_and_reason_of_its_question(judge, tmp_path, in_parts):
    result, (_, facts) = judged(tmp_path, judge)
    sums = (result.anchor_ids + result.neighbor_ids).tolist()
    assert result.score_c.tolist() == [number % 4 for number in sums]
    assert list(result.reasons) == [f"sum {number}" for number in sums]
    pairs = mined()
    scored = (pairs.anchor_ids + pairs.neighbor_ids) % judge.unusable != 0
    assert columns(result)[:3] == [column[scored].tolist() for column in pairs.columns]
    unordered = {frozenset(pair) for pair in zip(pairs.anchor_ids.tolist(), pairs.neighbor_ids.tolist(), strict=True)}
    lost = sum(sum(pair) % judge.unusable == 0 for pair in unordered)
    told = {name: facts["metadata"][name] for name in ("questions", "parse_errors", "not_asked")}
    assert told == {"questions": len(unordered), "parse_errors": lost, "not_asked": 0}


def test_a_limit_chooses_the_same_pairs_in_any_parts(judge, tmp_path, request):
    _, expected = judged(tmp_path / "whole", replace(judge, limit=50))
    request.getfixturevalue("in_parts")
    _, parts = judged(tmp_path / "parts", replace(judge, limit=50), Pickling())
    assert parts == expected
    assert parts[1]["metadata"]["not_asked"] == parts[1]["metadata"]["questions"] - 50
    judged(tmp_path / "parts", replace(judge, limit=60), Pickling())
    assert sorted(judge.noted()[key] for key in judge.noted() if key[0] == "asked") == [1] * 10 + [2] * 50


def test_what_a_part_was_answered_before_it_failed_is_kept_and_not_asked_again(judge, tmp_path, in_parts):
    _, expected = judged(tmp_path / "whole", replace(judge, log=tmp_path / "other"))
    with pytest.raises(SigjepaError, match=r"gone.*\d+ of 17 "):
        judged(tmp_path / "data", replace(judge, fails_at="key0010"))
    answered = len(ledger_lines(tmp_path / "data", judge))
    assert 17 < answered < 100
    assert judged(tmp_path / "data", judge)[1] == expected
    asked = [count for (word, *_), count in judge.noted().items() if word == "asked"]
    assert set(asked) == {1}
    assert len(ledger_lines(tmp_path / "data", judge)) == len(asked)


def test_answers_outlive_what_is_built_of_them_whoever_wrote_them(judge, tmp_path, in_parts):
    judged(tmp_path, judge, Pickling())
    asked = judge.noted()
    other = mined(seed=1)
    result, _ = judged(tmp_path, judge, pairs=other)
    new = {key for key in judge.noted() - asked if key[0] == "asked"}
    assert all(asked[key] == 0 for key in new)
    assert 0 < len(new) < len(result)


def test_an_unfinished_step_of_other_pairs_is_begun_anew(judge, tmp_path, in_parts):
    """Mined pairs that are built again may be others under the same key."""
    with pytest.raises(SigjepaError, match="gone"):
        judged(tmp_path, replace(judge, fails_at="key0030"))
    again = replace(mined(seed=3), manifest=replace(mined().manifest, content="other"))
    assert judged(tmp_path, judge, pairs=again)[1] == judged(tmp_path / "clean", judge, pairs=again)[1]


def _judge_in_a_process(folder, judge, seed):
    judged(folder, judge, pairs=mined(seed))


def test_two_commands_at_once_ask_no_pair_twice(judge, tmp_path, in_parts):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_judge_in_a_process, args=(tmp_path, judge, seed)) for seed in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    asked = [count for (word, *_), count in judge.noted().items() if word == "asked"]
    assert set(asked) == {1}


def test_the_structural_judge_writes_no_ledger(tmp_path, in_parts):
    one, expected = judged(tmp_path / "one", StructuralJudge(), Pickling())
    assert len(one) == len(mined())
    assert not (tmp_path / "one" / "responses").exists()
    files = times_of(tmp_path, "*.*")
    assert judged(tmp_path / "one", StructuralJudge(cached_functions=1))[1] == expected
    assert times_of(tmp_path, "*.*") == files


def test_no_pairs_are_judged_pairs(judge, tmp_path):
    none = replace(mined().take(np.zeros(0, np.int64)), manifest=mined().manifest)
    result, (_, facts) = judged(tmp_path, judge, pairs=none)
    assert len(result) == 0
    assert facts["metadata"]["questions"] == 0
    assert not judge.log.exists()
