"""One sweep over the four experiments leaves run directories that keep the contract."""

import csv
import json

import numpy as np
import pytest
import torch
from small_student import SMALL_STUDENT
from wandb_reader import history, of_type, read_records, transaction_log

EXPERIMENTS = ["exp1_4", "exp2_1", "exp2_2", "hardneg_curriculum"]


def run_directory(sweep, experiment):
    (folder,) = [path for path in sweep.iterdir() if path.is_dir() and f"experiment={experiment}" in path.name]
    return folder


def read_summary(folder):
    return json.loads((folder / "summary.json").read_text())


def read_metrics(folder):
    with (folder / "metrics.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_run_directory_keeps_the_contract(sweep, experiment):
    folder = run_directory(sweep, experiment)
    summary = read_summary(folder)
    assert summary["experiment"] == experiment
    assert summary["status"] == "finished"
    assert summary["seed"] == 0
    for split in ("val", "test"):
        for metric in ("rank1", "rank5", "rank10", "mrr"):
            assert 0 <= summary[f"{split}/{metric}"] <= 1
        assert -1 <= summary[f"{split}/cosine"] <= 1
    for key in ("parameters", "train_functions", "val_functions", "test_functions", "wall_seconds"):
        assert summary[key] > 0
    assert 0 <= summary["best_epoch"] <= summary["stopped_epoch"] == 1
    assert 0.01 <= summary["temperature"] <= 1
    assert (folder / ".hydra" / "config.yaml").is_file()
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["artifacts"]["corpus_hash"].startswith("xxh3_128:")
    assert provenance["seed"] == 0


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_metrics_have_one_row_per_epoch_and_agree_with_the_summary(sweep, experiment):
    folder = run_directory(sweep, experiment)
    rows, summary = read_metrics(folder), read_summary(folder)
    assert [int(row["epoch"]) for row in rows] == [0, 1]
    ranks = [float(row["val/rank10"]) for row in rows]
    assert summary["best_epoch"] == ranks.index(max(ranks))
    assert summary["val/rank10"] == pytest.approx(max(ranks), abs=1e-6)
    assert float(rows[0]["train/first_loss"]) == pytest.approx(summary["first_loss"])
    assert all(float(row["train/loss"]) > 0 for row in rows)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_per_query_ranks_give_the_summary_again(sweep, experiment):
    folder = run_directory(sweep, experiment)
    summary = read_summary(folder)
    with np.load(folder / "ranks.npz") as ranks:
        for split in ("val", "test"):
            assert len(ranks[f"{split}_ids"]) == summary[f"{split}_functions"]
            best, worst = ranks[f"{split}_optimistic"], ranks[f"{split}_pessimistic"]
            expected = (np.clip(10 - best + 1, 0, worst - best + 1) / (worst - best + 1)).mean()
            assert summary[f"{split}/rank10"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_predictions_and_baselines_keep_what_later_questions_need(sweep, experiment):
    folder = run_directory(sweep, experiment)
    with np.load(folder / "ranks.npz") as ranks, np.load(folder / "predictions.npz") as predictions:
        for split in ("val", "test"):
            assert predictions[f"{split}_ids"].tolist() == ranks[f"{split}_ids"].tolist()
            assert predictions[f"{split}_pooled"].shape == (len(ranks[f"{split}_ids"]), 384)
    baselines = json.loads((folder / "baselines.json").read_text())
    assert {path.stem for path in (folder / "baselines").iterdir()} == set(baselines)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_health_is_gauged_every_epoch(sweep, experiment):
    gauges = ("prediction_std", "target_std", "effective_rank", "pairwise_cosine", "target_pairwise_cosine")
    for row in read_metrics(run_directory(sweep, experiment)):
        for gauge in gauges:
            assert -1 <= float(row[f"val/{gauge}"]) <= 384
        assert float(row["train/gradient_norm"]) > 0
        assert float(row["train/infonce_temperature"]) > 0


def test_all_experiments_share_one_pool_and_its_baselines(sweep):
    baselines = [json.loads((run_directory(sweep, name) / "baselines.json").read_text()) for name in EXPERIMENTS]
    assert all(one == baselines[0] for one in baselines)
    assert baselines[0]["zero_shot"]["test/rank10"] > baselines[0]["random"]["test/rank10"]


def test_failure_mode_figures_are_logged_where_negatives_are_mined(sweep):
    for experiment in ("exp2_1", "hardneg_curriculum"):
        row = read_metrics(run_directory(sweep, experiment))[-1]
        assert float(row["train/infonce_mined"]) >= 0
        assert 0 < float(row["train/infonce_covered_anchors"]) <= 1
        assert float(row["train/infonce_unique_negatives"]) > 0
        assert float(row["train/infonce_in_batch"]) > 0
        assert 0 < float(row["train/infonce_mined_mass"]) < 1
    published = read_summary(run_directory(sweep, "exp2_1"))
    assert 0 < published["hard_negative_coverage"] < 1
    row = read_metrics(run_directory(sweep, "hardneg_curriculum"))[-1]
    assert float(row["train/infonce_pairs_score1"]) == 0
    assert "train/infonce_mined" not in read_metrics(run_directory(sweep, "exp1_4"))[-1]


def test_token_loss_is_logged_by_exp2_2_alone(sweep):
    assert float(read_metrics(run_directory(sweep, "exp2_2"))[-1]["train/token_smooth_l1"]) > 0
    assert "train/token_smooth_l1" not in read_metrics(run_directory(sweep, "exp1_4"))[-1]


def test_checkpoints_hold_plain_values_only(sweep):
    folder = run_directory(sweep, "exp2_2") / "checkpoints"
    checkpoint, last = (torch.load(folder / f"{name}.ckpt", weights_only=True) for name in ("best", "last"))
    for_resuming = {"optimizer_states", "lr_schedulers", "callbacks"}
    assert not for_resuming & checkpoint.keys()
    assert for_resuming <= last.keys()
    assert checkpoint["hyper_parameters"]["name"] == "exp2_2"
    assert f"model.hidden_dim={checkpoint['hyper_parameters']['model']['hidden_dim']}" in SMALL_STUDENT


def test_each_job_has_a_finished_wandb_run_of_its_own_grouped_by_sweep(sweep):
    runs = {}
    for experiment in EXPERIMENTS:
        records = read_records(transaction_log(run_directory(sweep, experiment)))
        (started,) = of_type(records, "run")[:1]
        assert started["run_group"] == sweep.name
        assert f"experiment={experiment}" in started["display_name"]
        assert [ended["exit_code"] for ended in of_type(records, "exit")] == [0]
        assert {"val/rank10", "test/rank10", "trainer/global_step"} <= {key for row in history(records) for key in row}
        runs[started["run_id"]] = experiment
    assert len(runs) == 4
