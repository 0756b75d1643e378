"""Single commands: preparing, mistakes, distribution, and a wheel used from elsewhere."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_student import SMALL_STUDENT

CHECKOUT = Path(__file__).resolve().parents[2]
QUICKEST = ("data=tiny", "trainer.max_epochs=1", "logger=none", *SMALL_STUDENT, "hydra.run.dir=run")


def test_prepare_reuses_what_is_there_and_prints_both_tables(run, tmp_path):
    done = run("prepare", "experiment=exp2_1", "data=tiny", cwd=tmp_path)
    assert "functions.parquet" not in done.stderr
    for text in ("| split", "score_c=0 pairs", "structural (heuristic)", "covered anchors per batch", "artifacts:"):
        assert text in done.stdout


@pytest.mark.slow  # test_resume_command.py compares two runs of one seed, too
def test_the_same_seed_gives_the_same_weights(run, tmp_path):
    def weights(name):
        run("train", *QUICKEST[:-1], f"hydra.run.dir={name}", "seed=1", cwd=tmp_path)
        return torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]

    first, again = weights("a"), weights("b")
    assert all(torch.equal(first[key], again[key]) for key in first)


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("corpus=folder", "'corpus.source.paths'"),  # which has no value
        ("experiment=hardneg_curriculum", "loss.infonce.schedule.start_epoch=10"),  # after the only epoch
    ],
)
def test_a_value_that_can_not_be_used_is_one_clear_message(run, tmp_path, word, named):
    done = run("train", *QUICKEST, word, "sweep=folds", cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert named in done.stderr
    assert "sweep=folds start with -m" in done.stdout
    assert named in json.loads((tmp_path / "run" / "summary.json").read_text())["error"]
    assert "corpus ready" not in done.stdout
    assert "Traceback" not in done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("sigjepa:")]


@pytest.mark.parametrize(
    ("overrides", "way_out"),
    [
        (["size.max_functions_per_repository=5"], "Take a larger corpus"),  # found while it prepares
        pytest.param(["optimizer.lr=1e30", "trainer.max_epochs=2"], "Lower optimizer.lr", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_fails_on_its_way_says_so_in_its_summary(run, small_corpus, tmp_path, overrides, way_out):
    done = run("train", *QUICKEST, *small_corpus, *overrides, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert way_out in done.stderr
    assert "Traceback" not in done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert way_out in summary["error"]


def test_negatives_are_scheduled_drawn_and_refreshed_by_overrides_alone(run, tmp_path):
    """Everything that hard negatives can do, in one run; what the index lacks of it shows in the metrics."""
    run(
        "train",
        *(*QUICKEST, "experiment=hardneg_curriculum", "trainer.max_epochs=4"),
        *("schedule@loss.infonce.schedule=cosine", "loss.infonce.schedule.start_epoch=1"),
        *(
            "negatives/sampler=annealed",
            "negatives.sampler.related=1",
            "loss.infonce.related=positive",
            "loss.infonce.score_weights=[1,0.5]",
        ),
        *("negatives.filter.max_score_c=1", "negatives.filter.relative_margin=0.01", "callbacks=refresh"),
        "callbacks.refresh_negatives.every_n_epochs=2",
        cwd=tmp_path,
    )
    with (tmp_path / "run" / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    weights = [float(row["train/infonce_mined_weight"]) for row in rows]
    assert weights == sorted(weights)
    assert weights[0] == 0 < weights[1] < weights[2] < weights[3] < 1
    assert float(rows[1]["train/infonce_positives"]) > 1
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["covered_anchors_per_batch"] > 0
    refreshed = json.loads((tmp_path / "run" / "negatives" / "epoch_2" / "metadata.json").read_text())
    assert refreshed["source"] == "the student's predictions after 2 epochs"


def test_a_sweep_refuses_ddp(run, tmp_path):
    done = run("train", "-m", "data=tiny", "trainer=ddp_cpu", "logger=none", "seed=0,1", cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "ddp_spawn" in done.stderr


def test_two_processes_train_and_leave_one_run_directory(run, tmp_path):
    """Both take up the hard negatives that one of them refreshed."""
    overrides = ("trainer=ddp_cpu", "experiment=exp2_1", "callbacks=refresh", "trainer.max_epochs=2")
    done = run("train", *QUICKEST, *overrides, "callbacks.refresh_negatives.every_n_epochs=1", cwd=tmp_path)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "finished"
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 3
    assert done.stdout.count("Hard negatives refreshed after 1 epochs") == 2
    assert [folder.name for folder in (tmp_path / "run" / "negatives").iterdir()] == ["epoch_1"]


def test_importing_sigjepa_is_cheap():
    heavy = {"torch", "lightning", "transformers", "wandb", "faiss", "hydra"}
    code = "import sigjepa, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())


def test_a_wheel_installed_elsewhere_runs_from_any_folder(tmp_path):
    wheels, site, elsewhere = (tmp_path / name for name in ("wheels", "site", "elsewhere"))
    elsewhere.mkdir()
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", wheels, CHECKOUT], check=True)
    (wheel,) = wheels.glob("sigjepa-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", site, wheel], check=True)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); sys.argv = ['train', '--cfg', 'job', 'experiment=exp2_2'];"
        "import sigjepa.train as t; assert t.__file__.startswith(sys.path[0]), t.__file__; t.main();"
        "import hydra_plugins.sigjepa_sweeper as p; assert p.__file__.startswith(sys.path[0]), p.__file__"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "name: exp2_2" in done.stdout


def test_help_that_nobody_reads_to_its_end_is_no_error(tmp_path):
    command = f"{sys.executable} -m sigjepa.train --help | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout.startswith("sigjepa train:")
    assert done.stderr == ""


def test_help_of_a_preview_is_its_own(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "sigjepa.sweep", "--help"], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.startswith("sigjepa sweep: Preview of a sweep")
    assert max(map(len, done.stdout.splitlines())) <= 100
