"""Jobs of a sweep that are ended early: by the median of the others, and in a search for a student's numbers."""

import os
from types import SimpleNamespace

import pytest

from sigjepa.store.files import read_json
from sigjepa.training.callbacks import write_rows
from sigjepa.training.pruning import MedianPruning


def write_jobs(root, jobs, monitor="val/mrr"):
    for number, values in enumerate(jobs):
        (root / str(number)).mkdir()
        write_rows(root / str(number) / "metrics.csv", [{"epoch": n, monitor: v} for n, v in enumerate(values)])


def epochs_of(pruning, values, any_process=lambda worse, **_: worse):
    """Return in how many epochs a job with these values of the monitor is ended."""
    trainer = SimpleNamespace(should_stop=False, strategy=SimpleNamespace(reduce_boolean_decision=any_process))
    for epoch, value in enumerate(values):
        trainer.current_epoch = epoch
        trainer.callback_metrics = {} if value is None else {pruning.monitor: value}
        pruning.on_train_epoch_end(trainer, None)
        if trainer.should_stop:
            return epoch + 1
    return None


OTHERS = [(0.2, 0.6, 0.5, 0.5), (0.3, 0.3, 0.4), (0.1, 0.2, 0.8, 0.9)]


@pytest.mark.parametrize(
    ("values", "settings", "ended"),
    [
        ((0.1, 0.1, 0.1), {}, 2),  # the first epoch is every job's; then 0.6, 0.3, 0.2
        ((0.1, 0.3, 0.55, 0.55), {}, 3),  # as good as the median 0.3, then below 0.6
        ((0.7, 0.1, 0.1, 0.1), {}, 4),  # its best counts: above 0.6, then below 0.75
        ((0.9, 0.1, 0.1, 0.1), {}, None),
        ((0.1, 0.1, 0.1, 0.1), {"min_jobs": 3}, 2),  # the second job has not come to epoch 3
        ((0.1, 0.1, 0.1, 0.1), {"min_jobs": 4}, None),
        ((0.1, 0.1, 0.1, 0.1), {"warmup_epochs": 3, "min_jobs": 3}, None),
        ((None, 0.1, None, 0.1), {}, 2),  # an epoch without validation is compared with nothing
        ((0.1, None, None, 0.1), {}, 4),
        ((0.9, 0.9, 0.9), {"mode": "min"}, 2),
        ((0.1, 0.1, 0.1, 0.1), {"mode": "min"}, None),
    ],
)
def test_a_job_below_the_median_of_the_others_is_ended(tmp_path, values, settings, ended):
    write_jobs(tmp_path, OTHERS)
    (tmp_path / "own").mkdir()
    pruning = MedianPruning(tmp_path / "own", "val/mrr", **({"warmup_epochs": 1, "min_jobs": 1} | settings))
    assert epochs_of(pruning, values) == ended


def test_a_job_that_is_continued_keeps_its_best(tmp_path):
    write_jobs(tmp_path, OTHERS)
    first = MedianPruning(tmp_path / "own", "val/mrr", warmup_epochs=0, min_jobs=1)
    assert epochs_of(first, [0.95]) is None
    again = MedianPruning(tmp_path / "own", "val/mrr", warmup_epochs=0, min_jobs=1)
    again.load_state_dict(first.state_dict())
    assert epochs_of(again, [0.1, 0.1, 0.1, 0.1]) is None


def test_every_process_ends_with_the_first_one(tmp_path):
    pruning = MedianPruning(tmp_path / "own", "val/mrr", warmup_epochs=0)
    assert epochs_of(pruning, [0.5], any_process=lambda worse, **_: True) == 1


@pytest.mark.slow  # three trainings
def test_the_flagships_numbers_are_searched_by_val(run_python, small_corpus, tmp_path):
    pytest.importorskip("optuna")
    words = (*small_corpus, "sweep=flagship_search", "logger=none", "hydra.sweeper.n_trials=3")
    folder = f"hydra.sweep.dir={tmp_path / 'search'}"
    done = run_python(["-m", "sigjepa.train", "-m", *words, folder, f"paths.data_dir={tmp_path}"], tmp_path, os.environ)
    values = [read_json(path)["val/mrr"] for path in (tmp_path / "search").glob("*/summary.json")]
    assert len(values) == 3, done.stderr
    assert f"best of 3 trials: val/mrr {max(values):.4f} of trial" in done.stderr
