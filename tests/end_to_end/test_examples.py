"""The examples run as their pages say, from outside the checkout."""

import csv
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
from small_student import SMALL_STUDENT
from untrained_student import save_student, write_repository

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def python(run_python, tiny_datamodule, tiny_data_dir):
    """Run Python in a folder on the shared artifact cache; returns what it printed."""

    def run(*arguments, cwd, **environment):
        env = os.environ | {"SIGJEPA_DATA_DIR": str(tiny_data_dir), "OMP_NUM_THREADS": "1", **environment}
        done = run_python(arguments, cwd, env)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.slow  # components from outside train in test_outside_package.py
def test_own_loss_trains_by_a_command_of_its_page(python, tmp_path):
    shutil.copytree(EXAMPLES / "own_loss", tmp_path / "own_loss")
    folder = tmp_path / "own_loss"
    shown = re.findall(r"^ +PYTHONPATH=\. python -m (sigjepa\.train .+)$", (folder / "README.md").read_text(), re.M)
    words = shlex.split(shown[-1])
    path = os.pathsep.join([".", os.environ.get("PYTHONPATH", "")])
    quick = ("data=tiny", "logger=none", "trainer.max_epochs=1", "hydra.run.dir=run")
    python("-m", *words, *quick, cwd=folder, PYTHONPATH=path)
    (row,) = csv.DictReader((folder / "run" / "metrics.csv").open())
    assert float(row["train/uniformity"]) < 0
    assert float(row["train/infonce"]) > 0


def test_one_experiment_runs_from_python(python, tmp_path):
    out = python(EXAMPLES / "one_experiment.py", "data=tiny", "trainer.max_epochs=2", *SMALL_STUDENT, cwd=tmp_path)
    assert re.search(r"exp1_4, seed 0: test Rank@10 \d+\.\d\d %", out)
    assert re.search(r"without training: \d+\.\d\d %", out)
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["exp1_4"]


def test_a_sweep_is_read_into_pandas(python, sweep, tmp_path):
    pytest.importorskip("pandas")
    out = python(EXAMPLES / "sweep_to_pandas.py", sweep, cwd=tmp_path)
    assert all(name in out for name in ("exp1_4", "exp2_1", "exp2_2", "hardneg_curriculum", "val/rank10"))
    assert re.search(r"Rank@10.*exp1_4", out)


def test_your_code_is_searched_from_python(run_python, tmp_path):
    write_repository(tmp_path / "repo")
    save_student(tmp_path / "student")
    done = run_python([EXAMPLES / "search_your_code.py", "repo", "student"], tmp_path, os.environ)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^def push_item_to_queue\(\):  queue\.py:1 push, mostly by its \w+$", done.stdout, re.M)


def test_ranks_are_sliced_by_the_number_of_parameters(python, sweep, tmp_path):
    pytest.importorskip("pandas")
    out = python(EXAMPLES / "ranks_by_parameters.py", sweep, "bm25", cwd=tmp_path)
    assert re.search(r"^0 +\d+ +\d+\.\d+ +\d+\.\d+ +\d+\.\d+ +\d+\.\d+$", out, re.M)
