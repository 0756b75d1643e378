from sigjepa.evaluation.metrics import RecallAt, default_metrics
from sigjepa.reporting.runs import find_runs
from sigjepa.reporting.trials import best_trials
from sigjepa.store.files import read_json, write_json


def trial(make_run, folder, name, rate, seed, on_val, on_test, corpus="xxh3_128:a", registry=None):
    make_run(name, seed=seed, corpus_hash=corpus, registry=registry)
    write_json(folder / name / "job.json", {"experiment": {"optimizer": {"lr": rate}}, "settings": {}, "artifacts": {}})
    summary = folder / name / "summary.json"
    write_json(summary, read_json(summary) | {"val/rank10": on_val, "test/rank10": on_test})


def test_the_best_trial_is_chosen_on_val_by_the_mean_over_seeds(make_run, tmp_path):
    trial(make_run, tmp_path, "a0", 0.1, 0, on_val=0.9, on_test=0.1)
    trial(make_run, tmp_path, "a1", 0.1, 1, on_val=0.1, on_test=0.9)
    trial(make_run, tmp_path, "b0", 0.2, 0, on_val=0.6, on_test=0.2)
    (sentence,) = best_trials(find_runs([tmp_path]))
    assert "2 experiments called exp1_4" in sentence
    assert "exp1_4 · optimizer.lr=0.2 (60.00 %, one seed; 20.00 % on test Rank@10)" in sentence
    assert "optimizer.lr=0.1" not in sentence


def test_equals_are_all_named(make_run, tmp_path):
    for name, rate in (("a", 0.1), ("b", 0.2), ("c", 0.3)):
        trial(make_run, tmp_path, name, rate, 0, on_val=0.5 if rate < 0.3 else 0.4, on_test=0.3)
    (sentence,) = best_trials(find_runs([tmp_path]))
    assert "optimizer.lr=0.1 (" in sentence
    assert "optimizer.lr=0.2 (" in sentence
    assert "optimizer.lr=0.3" not in sentence


def test_pools_and_metrics_are_not_set_against_each_other_and_one_setting_is_no_search(make_run, tmp_path):
    trial(make_run, tmp_path, "a", 0.1, 0, on_val=0.5, on_test=0.3)
    trial(make_run, tmp_path, "b", 0.2, 0, on_val=0.6, on_test=0.3, corpus="xxh3_128:b")
    rank1 = {**default_metrics(), "rank10": RecallAt(1)}
    trial(make_run, tmp_path, "c", 0.3, 0, on_val=0.1, on_test=0.1, registry=rank1)
    assert best_trials(find_runs([tmp_path])) == []
    assert best_trials(find_runs([tmp_path / "a"])) == []
