import json

import pytest

from sigjepa.errors import SigjepaError
from sigjepa.reporting.plots import plot_curves, read_curve
from sigjepa.reporting.runs import find_runs
from sigjepa.reporting.tables import COLUMNS, markdown_table, results_table, spread

BASELINES = {"zero_shot": dict.fromkeys(COLUMNS, 0.5)}


def write_run(folder, experiment="exp1_4", seed=0, rank10=0.25, status="finished", baselines=BASELINES):
    folder.mkdir(parents=True)
    summary = dict.fromkeys(COLUMNS, rank10) | {"experiment": experiment, "seed": seed, "best_epoch": 7}
    (folder / "summary.json").write_text(json.dumps(summary | {"status": status}))
    (folder / "baselines.json").write_text(json.dumps(baselines))
    (folder / "metrics.csv").write_text("epoch,val/rank10\n0,0.1\n1,0.2\n")


def test_spread_is_mean_and_sample_deviation_in_percent():
    assert spread([0.1, 0.2, 0.3], "val/rank10") == "20.00 ± 10.00"
    assert spread([0.1234], "test/mrr") == "12.34"
    assert spread([0.1234], "test/cosine") == "0.123"


def test_table_has_a_row_an_experiment_and_the_baselines(tmp_path):
    for seed, rank10 in enumerate([0.1, 0.2, 0.3]):
        write_run(tmp_path / f"a{seed}", seed=seed, rank10=rank10)
    write_run(tmp_path / "b", experiment="exp2_1")
    table = results_table(find_runs([tmp_path]))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert rows[0][:2] == ["run", "seeds"]
    assert rows[2][:3] == ["exp1_4", "3", "20.00 ± 10.00"]
    assert rows[3][:3] == ["exp2_1", "1", "25.00"]
    assert rows[4][0] == "teacher zero-shot"
    assert len({len(line) for line in table.splitlines()}) == 1


def test_baselines_of_different_pools_are_not_mixed(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", baselines={"zero_shot": dict.fromkeys(COLUMNS, 0.6)})
    assert "zero-shot" not in results_table(find_runs([tmp_path]))


def test_baselines_that_differ_in_the_last_bits_are_one_pool(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", baselines={"zero_shot": dict.fromkeys(COLUMNS, 0.5 + 1e-7)})
    assert "zero-shot" in results_table(find_runs([tmp_path]))


def test_only_finished_runs_are_counted(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", status="failed")
    assert len(find_runs([tmp_path])) == 1


def test_no_runs_and_no_finished_runs_are_errors(tmp_path):
    with pytest.raises(SigjepaError, match=r"No run with a summary\.json"):
        find_runs([tmp_path])
    write_run(tmp_path / "a", status="running")
    with pytest.raises(SigjepaError, match="None of the 1 runs found is finished"):
        find_runs([tmp_path])


def test_curves_are_drawn(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", seed=1)
    plot_curves(find_runs([tmp_path]), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_curve_that_is_not_there_names_file_and_column(tmp_path):
    write_run(tmp_path / "a")
    with pytest.raises(SigjepaError, match=r"metrics\.csv has no readable column 'val/rank99'"):
        read_curve(tmp_path / "a" / "metrics.csv", "val/rank99")


def test_markdown_table_pads_columns():
    assert markdown_table(["a", "bb"], [["ccc", "d"]]) == "| a   | bb |\n|-----|----|\n| ccc | d  |"
