"""What a judge answers is data: it goes through ledger, pairs, index and its table as it was written."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from made_up import ledger_lines
from omegaconf import OmegaConf

from sigjepa.negatives.exchange.exported import FILE_NAME, write_judged
from sigjepa.negatives.exchange.field_map import FieldMap
from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.exchange.index_file import write_index
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.negatives.judging.judged_pairs import JudgedPairs
from sigjepa.negatives.judging.judges.judge import Judge, Judgement
from sigjepa.negatives.judging.judges.parsing import UnusableAnswerError, read_answer
from sigjepa.negatives.judging.stage import judge_pairs
from sigjepa.negatives.mining.pairs import Pairs

ANSWERS = [
    "{{7*7}} {% for x in y %}",
    "${oc.env:HOME} ${oc.create:{_target_: os.system}}",
    "<script>window.pwned=1</script><img src=x onerror=alert(1)>",
    "\x1b[2J\x1b]0;pwned\x07\x1b[31mred\r",
    "{0.__class__.__mro__} {reason} %s %(score_c)d %n",
    "\n\n![x](../secret.png)\n\n| a | b |\n",
    '"}\n{"pair": ["k0", "k1"], "score_c": 3, "reason": "mine", "details": {}}\n',
    "__import__('os').system('ls') `ls` $(ls) !!python/object/apply:os.system [ls]",
    "\u2028\u2029\u202e\ufeff\0\x85",
]


@pytest.mark.parametrize("reason", ANSWERS)
def test_a_reason_is_read_as_it_is_written(reason):
    assert read_answer(json.dumps({"reason": reason, "score_c": 1})) == (1, reason)
    assert read_answer(json.dumps({"reason": reason, "score_c": 1}, ensure_ascii=False)) == (1, reason)


@pytest.mark.parametrize("text", [*ANSWERS, "{{'score_c': 1}}", "${score_c}", '{"score_c": {{1}}, "reason": ""}'])
def test_an_answer_that_is_a_template_or_a_ledger_line_is_no_judgement(text):
    with pytest.raises(UnusableAnswerError) as caught:
        read_answer(text)
    assert str(caught.value).isprintable()  # it is told to the model, and stands in the ledger


class Answering(Judge):
    """Answers each pair with one of the hostile texts, in its reason and its details."""

    name = "answering"

    def fingerprint(self):
        return {"judge": "answering", "model": "m"}

    def judge(self, requests):
        for place, request in enumerate(requests):
            score = None if place == 0 else place % 2
            text = ANSWERS[place % len(ANSWERS)]
            yield request, Judgement(score, text, {"answer": text, text: "key", "model": text})


FUNCTIONS = len(ANSWERS) + 2


@pytest.fixture
def judged(tmp_path):
    """The outcome of pairs (0, 1), (0, 2), … put to the judge twice: the second time the response cache answers."""
    columns = {"key": [f"k{i}" for i in range(FUNCTIONS)]}
    columns |= {name: ["{{functions}} ${x}"] * FUNCTIONS for name in ("signature", "body")}
    corpus = SimpleNamespace(tables=lambda names, rows: [pa.table(columns).select(names)[rows.start : rows.stop]])
    others = np.arange(1, FUNCTIONS)
    pairs = Pairs(np.zeros_like(others), others, np.full(len(others), 0.9))
    first, _ = judge_pairs(pairs, Answering(), corpus, tmp_path)
    silent = Answering()
    silent.judge = lambda requests: pytest.fail("asked again")
    again, _ = judge_pairs(pairs, silent, corpus, tmp_path)
    assert again.reasons == first.reasons
    return first


def test_ledger_and_pairs_hold_answers_as_they_came_one_line_each(judged, tmp_path):
    lines = [line.encode() for line in ledger_lines(tmp_path, Answering())]
    assert len(lines) == FUNCTIONS - 1
    assert all(line.isascii() and b"\x1b" not in line for line in lines)  # a terminal that shows it obeys nothing
    assert {json.loads(line)["reason"] for line in lines} == set(ANSWERS)
    write_judged(tmp_path / FILE_NAME, judged, FunctionIds(FUNCTIONS), FieldMap())
    written = (tmp_path / FILE_NAME).read_bytes()
    assert written.count(b"\n") == len(judged)
    assert b"\x1b" not in written
    judged.write(tmp_path / "judged_pairs.parquet")
    assert JudgedPairs.read(tmp_path / "judged_pairs.parquet", "answering").reasons == judged.reasons
    assert set(judged.reasons) == set(ANSWERS)


def test_statistics_and_the_published_table_count_answers_and_show_none_of_them(judged, tmp_path):
    index = HardNegatives.from_judged(
        judged, train_ids=np.arange(FUNCTIONS), pair_filter=PairFilter(min_cosim=0.1, max_score_c=1)
    )
    index.save(tmp_path)
    write_index(index, tmp_path, FunctionIds(FUNCTIONS))
    table = HardNegatives.load(tmp_path).summary_table()
    assert f"| Total pairs | {len(judged)} |" in table
    shown = table + "".join(path.read_text() for path in tmp_path.glob("*.json"))
    for answer in ANSWERS:
        assert answer.strip() not in shown
    assert OmegaConf.to_container(OmegaConf.create({"rows": index.summary_rows()}), resolve=True)["rows"]
