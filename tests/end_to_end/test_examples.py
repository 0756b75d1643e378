"""The examples run as their pages say, from outside the checkout."""

import csv
import os
import re
import shlex
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from small_student import SMALL_STUDENT
from untrained_student import save_student, write_repository

from sigjepa import TokenPredictor
from sigjepa.models.lexical.vectors import WhitenedVectors

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


@pytest.fixture
def train_as_shown(python, tmp_path):
    """Train in a copy of an example's folder by a command of its page; returns the rows of metrics.csv."""

    def train(example, command, *overrides):
        folder = shutil.copytree(EXAMPLES / example, tmp_path / example)
        shown = re.findall(r"^ +PYTHONPATH=\. python -m (sigjepa\.train .+)$", (folder / "README.md").read_text(), re.M)
        path = os.pathsep.join([".", os.environ.get("PYTHONPATH", "")])
        quick = ("data=tiny", "logger=none", "trainer.max_epochs=1", "hydra.run.dir=run", *overrides)
        python("-m", *shlex.split(shown[command]), *quick, cwd=folder, PYTHONPATH=path)
        return list(csv.DictReader((folder / "run" / "metrics.csv").open()))

    return train


@pytest.mark.slow  # components from outside train in test_outside_package.py
def test_own_loss_trains_by_a_command_of_its_page(train_as_shown):
    (row,) = train_as_shown("own_loss", -1)
    assert float(row["train/uniformity"]) < 0
    assert float(row["train/infonce"]) > 0


SMALL_RESIDUAL = tuple(
    f"model.transformer.{size}" for size in ("hidden_dim=16", "layers=1", "heads=2", "feedforward_dim=16")
)


def test_own_student_trains_with_every_token_by_a_command_of_its_page(train_as_shown):
    (row,) = train_as_shown("own_student", 1, *SMALL_RESIDUAL)
    assert float(row["train/token_smooth_l1"]) > 0
    assert float(row["val/rank10"]) > 0.5


@pytest.mark.slow
def test_own_student_trains_on_top_of_the_flagship_by_a_command_of_its_page(train_as_shown):
    (row,) = train_as_shown("own_student", 2, *SMALL_RESIDUAL)
    assert float(row["val/rank10"]) > 0.5


def test_own_student_without_the_vectors_it_adds_to_is_refused(run_python, tmp_path):
    folder = EXAMPLES / "own_student"
    words = ("experiment=residual", "allowed_targets=[own_student.]", "model.parts.vectors=null", "data=tiny")
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
    done = run_python(["-m", "sigjepa.train", "--config-dir", folder / "conf", *words, "logger=none"], tmp_path, env)
    assert done.returncode == 1
    assert "model.parts.vectors is null" in done.stderr
    assert "Traceback" not in done.stderr


def test_own_student_adds_nothing_before_it_is_trained(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES / "own_student")
    from own_student.residual_predictor import ResidualPredictor

    parts = {"vectors": partial(WhitenedVectors, hidden_dim=4)}
    transformer = partial(TokenPredictor, hidden_dim=8, layers=1, heads=2, feedforward_dim=8)
    model = ResidualPredictor(parts, transformer, teacher_dim=8).eval()
    pooled, states, mask = torch.randn(3, 8), torch.randn(3, 5, 8), torch.ones(3, 5, dtype=torch.bool)
    alone = model.lexical(pooled, None).views["pooled"].vectors
    assert torch.equal(model(pooled, None, states, mask).views["pooled"].vectors, alone)
    torch.nn.init.ones_(model.transformer.output.weight)
    assert not torch.equal(model(pooled, None, states, mask).views["pooled"].vectors, alone)


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
