from sigjepa.evaluation.metrics import RecallAt, default_metrics
from sigjepa.reporting.curves import curve_rows
from sigjepa.training.callbacks import write_rows


def write_curve(run, values):
    write_rows(run.folder / "metrics.csv", [{"epoch": e, "val/rank10": v} for e, v in values.items()])
    return run


def test_chosen_epochs_best_and_stop_are_shown_and_marked(make_run):
    run = write_curve(make_run("a"), {0: 0.1, 1: 0.2, 2: 0.4, 3: 0.3, 4: 0.35})
    header, rows = curve_rows([run], "val/rank10", epochs=[1])
    assert header == ["epoch", "exp1_4"]
    assert rows == [["1", "20.00"], ["2", "40.00 (best)"], ["4", "35.00 (stop)"]]


def test_a_cell_is_the_mean_of_the_seeds_that_reached_the_epoch(make_run):
    one = write_curve(make_run("a"), {0: 0.1, 1: 0.3})
    two = write_curve(make_run("b", seed=1), {0: 0.2, 1: 0.1, 2: 0.4})
    _, rows = curve_rows([one, two], "val/rank10", epochs=[0])
    assert rows == [
        ["0", "15.00"],
        ["1", "20.00 (best of 1 seed) (stop of 1 seed)"],
        ["2", "40.00 (best of 1 seed) (stop of 1 seed)"],
    ]


def test_experiments_stand_side_by_side_and_gaps_are_dashes(make_run):
    runs = [write_curve(make_run("a"), {0: 0.1}), write_curve(make_run("b", experiment="exp2_1"), {0: 0.1, 1: 0.2})]
    header, rows = curve_rows(runs, "val/rank10")
    assert header == ["epoch", "exp1_4", "exp2_1"]
    assert rows[1] == ["1", "—", "20.00 (best) (stop)"]


def test_a_run_that_calls_another_metric_so_has_no_curve(make_run):
    other = make_run("b", experiment="exp2_1", registry={**default_metrics(), "rank10": RecallAt(1)})
    assert curve_rows([make_run("a"), other], "val/rank10")[0] == ["epoch", "exp1_4"]


def test_the_published_curve_can_stand_beside_marked(make_run):
    header, rows = curve_rows([write_curve(make_run("a"), {0: 0.5})], "val/rank10", published=True)
    assert header == ["epoch", "exp1_4", "exp1_4 published ‡"]
    assert ["24", "—", "4.03 (best)"] in rows
    assert ["39", "—", "3.81 (stop)"] in rows
