"""The benchmarks of mining and training run; their figures decide no test."""

import json

import pytest


@pytest.mark.slow  # a process for each method
def test_mining_is_timed_and_its_pairs_are_read(tmp_path, capsys):
    import mining

    output = tmp_path / "mining.json"
    words = ["--functions", "64", "--dim", "8", "--repeats", "1", "--methods", "sigjepa exact", "one product"]
    mining.main([*words, "--output", str(output)])
    record = json.loads(output.read_text())
    exact = record["methods"]["sigjepa exact"]
    assert record["times"]["one product"]["median"] > 0
    assert exact["pairs"] > 0
    assert exact["recall_of_all_pairs"] == 1
    assert "| sigjepa exact" in capsys.readouterr().out


def test_steps_are_timed_beside_a_bare_loop_with_the_same_weights_and_their_products(tmp_path):
    import training_step

    output = tmp_path / "steps.json"
    training_step.main(["--functions", "160", "--dim", "16", "--repeats", "1", "--output", str(output)])
    record = json.loads(output.read_text())
    assert list(record) == ["published", "small", "mined", "dropout", "flagship"]
    assert set(record["published"]["times"]) == {"bare loop", "matrix products"}
    assert record["flagship"]["seconds"]["products"] > 0


def test_training_on_a_device_is_timed_and_counted(tmp_path):
    import gpu_training

    output = tmp_path / "gpu.json"
    words = ["--device", "cpu", "--small", "--functions", "800", "--dim", "8", "--steps", "2", "--epochs", "3"]
    words += ["--texts", "8", "--parts", "exp1_4", "paths", "teacher", "--seconds", "120", "--output", str(output)]
    gpu_training.main(words)
    parts = json.loads(output.read_text())["parts"]
    assert parts["exp1_4"]["whole_epochs"] == 3
    assert parts["paths"]["resident against recorded, dropout 0.1"]["mean_weight_difference"] == 0
    assert parts["paths"]["ordinary against resident, dropout 0.0"]["mean_weight_difference"] < 1e-4
    assert parts["teacher"]["states kept"]["tokens_a_second"] > 0
