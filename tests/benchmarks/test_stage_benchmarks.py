"""The benchmarks of the stages run and find that outputs agree; their figures decide no test.

Each is imported where it is run: the peers that they import take seconds.
"""

import json

import pytest


def measured(main, output, *words):
    main([*words, "--repeats", "1", "--output", str(output)])
    return json.loads(output.read_text())


def test_stages_are_timed_beside_their_peers(tmp_path):
    import corpus_building
    import judging
    import shard_reading

    output = tmp_path / "out.json"
    corpus = measured(corpus_building.main, output, "--files", "4", "--functions", "40")
    assert {"ast.parse", "ast.parse, garbage collection paused"} == set(corpus["extraction"]["times"])
    assert "hashing alone" in corpus["near_duplicates"]["times"]
    judged = measured(judging.main, output, "--functions", "20")
    assert judged["milliseconds_a_function"] > 0
    read = measured(shard_reading.main, output, "--functions", "70", "--dim", "4")
    assert "memory map" in read["times"]


@pytest.mark.slow  # sentence-transformers takes ten seconds to import and to load
def test_ranks_and_encoding_are_timed_beside_sentence_transformers(tmp_path, capsys):
    import ranking
    import teacher_encoding

    output = tmp_path / "out.json"
    ranked = measured(ranking.main, output, "--functions", "40", "--dim", "8")
    assert set(ranked["times"]) == {"matrix product", "sentence-transformers"}
    encoded = measured(teacher_encoding.main, output, "--texts", "3")
    assert set(encoded["times"]) == {"sentence-transformers", "matrix products"}
    assert "| sentence-transformers" in capsys.readouterr().out


@pytest.mark.slow  # processes of their own
def test_the_memory_of_training_and_of_a_baseline_is_told(tmp_path):
    import training_memory

    output = tmp_path / "memory.json"
    training_memory.main(["--functions", "2000", "--dim", "64", "--output", str(output)])
    record = json.loads(output.read_text())
    assert record["training"]["peak_mib"] > 0
    assert record["whitened baseline"]["peak_mib"] > 0


@pytest.mark.slow  # runs of their own
def test_a_warm_run_and_a_report_are_timed(tiny_data_dir, tmp_path, monkeypatch):
    import report_building
    import warm_run

    monkeypatch.setenv("SIGJEPA_DATA_DIR", str(tiny_data_dir))
    run = measured(warm_run.main, tmp_path / "run.json")
    assert run["seconds"]["sigjepa"]["whole"] > run["seconds"]["sigjepa"]["first_step"] > 0
    assert run["times"]["sum of the stages"]["median"] > 0
    assert measured(report_building.main, tmp_path / "report.json", "--seeds", "2")["runs"] == 2
