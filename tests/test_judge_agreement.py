"""The entry point `sigjepa.judge_agreement`, in this process; its command runs in tests/end_to_end/."""

import json
from pathlib import Path

import hydra
import pytest

from sigjepa.errors import SigjepaError
from sigjepa.judge_agreement import judge_agreement
from sigjepa.runtime.config_files import config_directory

LABELED = Path(__file__).parent / "negatives" / "labeled_pairs.jsonl"


@pytest.fixture
def agree(tmp_path):
    """Run the entry point's function; returns the record that it writes."""

    def run(*overrides, data_dir=tmp_path):
        words = [f"paths.run_dir={tmp_path}", f"paths.data_dir={data_dir}", "logger=none", *overrides]
        with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
            config = hydra.compose("judge_agreement", words)
        judge_agreement(config)
        return json.loads((tmp_path / "judge_agreement.json").read_text())

    return run


def test_a_judge_against_hand_labels(agree, capsys):
    record = agree(f"labels={LABELED}")
    assert (record["pairs"], record["pairs_put"], record["reference"]) == (72, 72, {"name": LABELED.name})
    assert sum(map(sum, record["confusion"])) == 72
    assert 0 < record["kappa"]["low"] < record["kappa"]["value"] < record["kappa"]["high"] < 1
    printed = capsys.readouterr().out
    assert "| rows: labeled_pairs.jsonl, columns: structural (heuristic) | 0 | 1 | 2 | 3 | all |" in printed
    assert "| Cohen's κ, quadratic weights | 0." in printed


def test_two_judges_on_the_pairs_of_an_experiment(agree, tiny_data_dir, tiny_datamodule):
    words = ["experiment=exp2_1", "data=tiny", "data.body_states=true", "negatives.tiers=null", "pairs=20"]
    record = agree(*words, "negatives.judge.related_from=0.45", data_dir=tiny_data_dir)
    assert record["pairs"] == 20
    assert record["judge"]["fingerprint"]["related_from"] == 0.45
    assert record["reference"]["fingerprint"]["related_from"] == 0.35


def test_a_judge_agrees_with_itself(agree):
    with pytest.raises(SigjepaError, match="negatives/judge .*negatives/judge@reference .*structural"):
        agree("experiment=exp2_1", "data=tiny")


@pytest.mark.parametrize("words", [["negatives=none"], ["negatives=index_file", "negatives.path=index.json"]])
def test_an_experiment_that_mines_nothing(agree, words):
    with pytest.raises(SigjepaError, match="negatives=knn"):
        agree("data=tiny", *words)


def test_keys_that_nothing_reads(agree):
    with pytest.raises(SigjepaError, match="'label' .*'labels'"):
        agree("+label=x")


@pytest.mark.parametrize("pairs", ["0", "many"])
def test_a_number_of_pairs_that_is_none(agree, pairs):
    with pytest.raises(SigjepaError, match=f"^pairs={pairs} .*null"):
        agree("experiment=exp2_1", "data=tiny", f"pairs={pairs}")
