import pytest

from sigjepa.reporting.failure_modes import failure_mode_tables, health_table


@pytest.fixture
def tables(make_run):
    config = {"loss": {"infonce": {"mined_candidates": "union"}}}
    return failure_mode_tables([make_run("a"), make_run("b", experiment="exp2_1", mined=True, config=config)])


def test_every_failure_mode_has_a_row_an_experiment(tables):
    assert list(tables) == ["Coverage asymmetry", "Too hard too early", "Ambiguous score_c = 1", "Union dilution"]
    for header, rows in tables.values():
        assert [row[0] for row in rows] == ["exp1_4", "exp2_1"]
        assert {len(row) for row in rows} == {len(header)}


def test_figures_are_means_over_the_epochs_with_mined_candidates(tables):
    assert tables["Coverage asymmetry"][1][1] == ["exp2_1", "40.0%", "40.0%", "3.0", "25.6"]
    _, (without, mined) = tables["Too hard too early"]
    assert mined[1] == "4.20"
    assert mined[3:] == ["2.00", "0.50", "0.70", "25.0%"]
    assert without[3:] == ["—", "—", "—", "—"]
    assert tables["Ambiguous score_c = 1"][1][1] == ["exp2_1", "30.0", "10.0", "25.0%"]
    assert tables["Union dilution"][1] == [["exp1_4", "—", "—", "none"], ["exp2_1", "30.0", "3.0", "union"]]


def test_health_of_the_best_checkpoint_stands_beside_its_targets(make_run):
    header, rows = health_table([make_run("a"), make_run("b", seed=1)])
    assert rows == [["exp1_4", "0.500", "0.500", "0.5", "0.5", "0.500", "0.500", "1.00", "0.0500"]]
    assert header[1:3] == ["standard deviation of predictions", "standard deviation of targets"]
    assert len(header) == len(rows[0])
