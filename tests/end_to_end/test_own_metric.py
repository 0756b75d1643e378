"""A metric from an outside package is one entry, and then stands in curves, W&B, tables and tests."""

import csv
import json
import os

import numpy as np
import pytest
from small_student import SMALL_STUDENT
from wandb_reader import definitions, read_records, transaction_log

import sigjepa.train as train_module
from sigjepa.errors import SigjepaError
from sigjepa.runtime.compose import compose

PACKAGE = '''
import numpy as np

from sigjepa.evaluation.metrics import RankMetric


def expected(ranks):
    return (ranks.optimistic + ranks.pessimistic) / 2


def gain(ranks, base):
    """The gain of the true body, discounted by the logarithm of its place."""
    return np.log(base) / np.log(1 + expected(ranks))


class Place(RankMetric):
    """The mean place of the true body: lower is better."""

    def __init__(self):
        super().__init__("mean place", expected, direction="min", digits=1)
'''
METRICS = """
defaults:
  - default

gain:
  _target_: sigjepa.evaluation.metrics.RankMetric
  label: discounted gain
  direction: max
  percent: true
  values:
    _target_: my_metrics.gain
    _partial_: true
    base: 2
place:
  _target_: my_metrics.Place
"""


@pytest.fixture(scope="module")
def train(run, tmp_path_factory):
    """Return a run that is measured by metrics of a package of one's own and selected by one of them, once trained."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "site").mkdir()
    (folder / "site" / "my_metrics.py").write_text(PACKAGE)
    (folder / "my_conf" / "metrics").mkdir(parents=True)
    (folder / "my_conf" / "metrics" / "mine.yaml").write_text(METRICS)
    path = os.pathsep.join(filter(None, (str(folder / "site"), os.environ.get("PYTHONPATH"))))

    def command(name, rate, seed=0):
        run(
            "train",
            *("data=tiny", f"hydra.searchpath=[file://{folder / 'my_conf'}]", "metrics=mine", "monitor=val/place"),
            *("allowed_targets=[my_metrics.]", f"name={name}", f"optimizer.lr={rate}", f"seed={seed}"),
            "trainer.max_epochs=2",
            *SMALL_STUDENT,
            f"hydra.run.dir=runs/{name}_{seed}",
            cwd=folder,
            PYTHONPATH=path,
        )
        return folder / "runs" / f"{name}_{seed}"

    return command


@pytest.fixture(scope="module")
def fast(train):
    return train("fast", 1e-3)


@pytest.fixture(scope="module")
def slow(train):
    return train("slow", 1e-5)


def read(path):
    return json.loads(path.read_text())


def test_it_is_in_the_curves_the_summary_and_the_baselines(fast):
    with (fast / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    summary = read(fast / "summary.json")
    with np.load(fast / "ranks.npz") as ranks:
        places = {
            split: (ranks[f"{split}_optimistic"] + ranks[f"{split}_pessimistic"]) / 2 for split in ("val", "test")
        }
    for split, place in places.items():
        assert summary[f"{split}/place"] == pytest.approx(place.mean(), rel=1e-6)
        assert summary[f"{split}/gain"] == pytest.approx((1 / np.log2(1 + place)).mean(), rel=1e-6)
    assert 0 < read(fast / "baselines.json")["bm25"]["test/gain"] <= 1
    best = min(range(len(rows)), key=lambda epoch: float(rows[epoch]["val/place"]))  # lower is better
    assert summary["best_epoch"] == best
    assert summary["val/place"] == pytest.approx(float(rows[best]["val/place"]), rel=1e-6)


def test_its_curve_is_summed_up_in_wandb_by_its_best_value(fast):
    defined = definitions(read_records(transaction_log(fast)))
    assert defined["val/place"]["summary"] == {"min": True}
    assert defined["val/gain"]["summary"] == {"max": True}


@pytest.mark.slow  # trains four times
def test_a_report_tables_and_tests_it_without_the_package(train, fast, slow, run, tmp_path):
    folders = {"fast": [fast, train("fast", 1e-3, seed=1)], "slow": [slow, train("slow", 1e-5, seed=1)]}
    run("report", f"runs={fast.parent}", "baseline=slow", "explorer_queries=0", cwd=tmp_path)
    markdown = (tmp_path / "report" / "report.md").read_text()
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if line[:1] == "|"]
    header = next(line for line in lines if line[0] == "on test")
    cells = dict(zip(header, next(line for line in lines if line[0] == "fast"), strict=True))
    mean = {
        (name, key): np.mean([read(folder / "summary.json")[key] for folder in folders[name]])
        for name in folders
        for key in ("val/place", "test/place", "test/gain")
    }
    assert cells["val mean place"].split()[0] == f"{mean['fast', 'val/place']:.1f}"
    assert cells["discounted gain"].split()[0] == f"{100 * mean['fast', 'test/gain']:.2f}"
    columns = next(line for line in lines if line[:3] == ["experiment", "verdict", "against"])
    rows = [dict(zip(columns, line, strict=True)) for line in lines if line[0] == "fast" and len(line) == len(columns)]
    tested = {row["metric"]: row for row in rows if row["against"] == "slow"}
    assert {"mean place", "discounted gain", "Rank@10"} <= tested.keys()
    difference = mean["fast", "test/place"] - mean["slow", "test/place"]
    assert float(tested["mean place"]["Δ"]) == pytest.approx(difference, abs=0.051)
    goes = {"better": -1, "worse": 1, "within": 0}[tested["mean place"]["verdict"].split()[0]]  # lower is better
    assert goes in (0, np.sign(difference))
    assert "On test mean place, fast is" in markdown


MISTAKES = [
    (["monitor=val/rank11"], ["monitor=val/rank11", "'val/rank1"]),
    (["monitor=val/effective_rank"], ["monitor=val/effective_rank", "val/mrr"]),
    (["callbacks.early_stopping.monitor=val/rnk10"], ["val/rnk10", "'val/rank10'"]),
    (["metrics.prediction_std.gauge=variance"], ["variance", "standard deviation"]),
    (["+metrics.mine={_target_: my_metrics.Place}"], ["my_metrics.Place", "allowed_targets"]),
    (["+metrics.mine={label: mine}"], ["metrics.mine", "_target_"]),
]


@pytest.mark.parametrize(("overrides", "said"), MISTAKES)
def test_a_wrong_metric_or_monitor_is_one_error_before_anything_is_built(tmp_path, overrides, said):
    words = ("data=tiny", "logger=none", f"paths.data_dir={tmp_path / 'data'}", *overrides)
    with pytest.raises(SigjepaError) as error:
        train_module.train(compose(words, folder=tmp_path / "run"))
    assert [word for word in said if word not in str(error.value)] == []
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_so_in_one_line(run, tmp_path):
    overrides, said = MISTAKES[0]
    done = run("train", "data=tiny", "logger=none", *overrides, cwd=tmp_path, check=False, SIGJEPA_DATA_DIR="data")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("sigjepa: ")]
    assert all(word in line for word in said)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()
