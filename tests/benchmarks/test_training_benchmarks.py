"""The benchmarks of mining and training run; their figures decide no test."""

import importlib
import json
from pathlib import Path

import pytest

from benchmarks import gpu_training, training_epoch


@pytest.fixture
def mining(monkeypatch):
    """The script as a module, which finds its neighbours as when it is run."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("mining")


def test_mining_is_timed_and_its_pairs_are_read(mining, tmp_path, capsys):
    output = tmp_path / "mining.json"
    words = ["--functions", "64", "--dim", "8", "--repeats", "1", "--methods", "sigjepa exact"]
    mining.main([*words, "--output", str(output)])
    exact = json.loads(output.read_text())["methods"]["sigjepa exact"]
    assert exact["pairs"] > 0
    assert exact["recall_of_all_pairs"] == 1
    assert "| sigjepa exact" in capsys.readouterr().out


def test_an_epoch_is_timed_beside_a_bare_loop(tiny_data_dir, tmp_path):
    output = tmp_path / "epoch.json"
    sizes = ["model.hidden_dim=16", "model.heads=2", "model.feedforward_dim=16"]
    words = ["data=tiny", f"paths.data_dir={tiny_data_dir}", *sizes, "--repeats", "1", "--output", str(output)]
    training_epoch.main(words)
    result = json.loads(output.read_text())
    assert result["functions"] > 0
    assert result["bare_seconds"] > 0


def test_training_on_a_device_is_timed_and_counted(tmp_path):
    output = tmp_path / "gpu.json"
    words = ["--device", "cpu", "--small", "--functions", "800", "--dim", "8", "--steps", "2", "--epochs", "3"]
    words += ["--texts", "8", "--parts", "exp1_4", "paths", "teacher", "--seconds", "120", "--output", str(output)]
    gpu_training.main(words)
    parts = json.loads(output.read_text())["parts"]
    assert parts["exp1_4"]["whole_epochs"] == 3
    assert parts["paths"]["resident against recorded, dropout 0.1"]["mean_weight_difference"] == 0
    assert parts["paths"]["ordinary against resident, dropout 0.0"]["mean_weight_difference"] < 1e-4
    assert parts["teacher"]["states kept"]["tokens_a_second"] > 0
