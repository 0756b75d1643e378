"""A run that would not do what its settings promise says so, or does not begin."""

import math
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning import Trainer
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator
from lightning.pytorch.callbacks import EarlyStopping
from torch import nn

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.metrics import build_metrics
from sigjepa.losses.infonce import InfoNCE
from sigjepa.losses.token_smooth_l1 import TokenSmoothL1
from sigjepa.negatives.index.csr import CSR
from sigjepa.negatives.index.ramp import Ramp, beginning
from sigjepa.runtime.compose import compose
from sigjepa.runtime.instantiate import plain
from sigjepa.training.callbacks import build_callbacks
from sigjepa.training.component_check import (
    check_accelerator,
    check_beginnings,
    check_module,
    check_negatives,
    check_seed,
    check_selection,
    check_settings,
    check_trainer,
    check_whole_pools,
    components_of,
    never_began,
    warn_of_late_beginnings,
    warn_of_slow_precision,
)


def curriculum(start, **options):
    return {"loss.infonce": InfoNCE("union", Ramp(start_epoch=start, ramp_epochs=3, **options))}


@pytest.mark.parametrize(
    ("schedule", "epoch"),
    [
        (1.0, 0),
        (0.0, math.inf),
        (Ramp(start_epoch=10, ramp_epochs=3), 10),
        (Ramp(start_epoch=10, start_value=0.5), 0),
        (Ramp(end_value=0.0), math.inf),
    ],
)
def test_a_schedule_begins_where_it_rises_above_0(schedule, epoch):
    assert beginning(schedule) == epoch


def test_without_mined_candidates_there_is_nothing_to_wait_for():
    assert InfoNCE("none", Ramp(start_epoch=10)).begins == 0


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (
            ["experiment=hardneg_curriculum", "trainer.max_epochs=3"],
            r"loss\.infonce\.schedule\.start_epoch=10.*max_epochs=3",
        ),
        (["experiment=hardneg_delayed", "trainer.max_epochs=10"], r"loss\.infonce\.schedule\.start_epoch=10"),
        (["trainer.max_epochs=three"], "trainer.max_epochs=three"),
        (["trainer.max_epochs=0"], "trainer.max_epochs=0 must be"),
        (["callbacks=refresh", "trainer.max_epochs=5"], r"callbacks\.refresh_negatives\.every_n_epochs=5"),
        (["experiment=hardneg_curriculum", "trainer.max_epochs=11"], None),
        (["experiment=hardneg_curriculum", "trainer.max_epochs=-1"], None),
        (["experiment=hardneg_curriculum", "trainer.max_epochs=null"], None),
        (["experiment=exp2_1", "trainer.max_epochs=1"], None),
        (["experiment=exp2_1", "trainer.max_epochs=1", "loss.infonce.schedule=0.0"], None),  # in so many words
    ],
)
def test_what_begins_after_the_last_epoch_is_refused(overrides, named):
    resolved = plain(compose([*overrides, "data=tiny"]))
    metrics = build_metrics(resolved["metrics"], resolved["monitor"], [])
    with pytest.raises(SigjepaError, match=named) if named else nullcontext():
        check_beginnings(resolved, metrics)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["callbacks.best_checkpoint=null"], r"callbacks\.best_checkpoint must be a ModelCheckpoint"),
        (["callbacks.best_checkpoint.monitor=val/mrr"], r"monitor=val/mrr.*monitor=val/rank10"),
        (["+callbacks.best_checkpoint.mode=min"], "mode=min.*direction is max"),
        (["+callbacks.best_checkpoint.save_top_k=3"], "save_top_k=3 with filename=best .*filename"),
        (["+callbacks.best_checkpoint.save_top_k=-1"], "save_top_k=-1"),
        (["+callbacks.best_checkpoint.save_top_k=0", "callbacks.best_checkpoint.filename=null"], "save_top_k=0"),
        (["+callbacks.best_checkpoint.save_top_k=3", "callbacks.best_checkpoint.filename='best-{epoch}'"], None),
        (["+callbacks.best_checkpoint.save_top_k=3", "callbacks.best_checkpoint.filename=null"], None),
        (["monitor=val/mrr"], None),
        (["+callbacks.all._target_=lightning.pytorch.callbacks.ModelCheckpoint", "+callbacks.all.save_top_k=-1"], None),
    ],
)
def test_callbacks_by_which_another_epoch_would_be_tested_are_refused(overrides, named):
    resolved = plain(compose([*overrides, "data=tiny"]))
    metrics = build_metrics(resolved["metrics"], resolved["monitor"], [])
    with pytest.raises(SigjepaError, match=named) if named else nullcontext():
        check_selection(resolved, metrics)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.precision=bf17"], "trainer can't be built .*bf17"),
        (["trainer.strategy=ddpp"], "trainer can't be built .*ddpp"),
        (["trainer.gradient_clip_val=x"], "trainer can't be built .*gradient_clip_val"),
        (["+trainer.accumulate_grad_batches=2"], None),
        (["trainer=ddp_cpu"], None),
    ],
)
def test_a_trainer_that_can_not_be_built_is_refused_and_leaves_no_trace(overrides, message, tmp_path):
    resolved = plain(compose([*overrides, "data=tiny"], folder=tmp_path / "run"))
    with pytest.raises(SigjepaError, match=message) if message else nullcontext():
        check_trainer(resolved["trainer"], [])
    assert not torch.are_deterministic_algorithms_enabled()
    assert not list(tmp_path.glob("run/*"))


@pytest.mark.parametrize("name", ["limit_val_batches", "limit_test_batches"])
@pytest.mark.parametrize(
    ("value", "whole"), [(None, True), (1.0, True), (1, False), (0, False), (2, False), (0.5, False)]
)
def test_a_trainer_that_would_rank_a_part_of_a_pool_is_refused(name, value, whole):
    with nullcontext() if whole else pytest.raises(SigjepaError, match=rf"trainer\.{name}={value} .*data\.pool_size"):
        check_whole_pools({name: value})


def test_a_trainer_of_a_few_batches_is_refused():
    check_whole_pools({"overfit_batches": 0.0, "fast_dev_run": False})
    with pytest.raises(SigjepaError, match=r"trainer\.overfit_batches=2 and trainer\.fast_dev_run=True"):
        check_whole_pools({"overfit_batches": 2, "fast_dev_run": True})


@pytest.mark.parametrize(("accelerator", "kinds"), [("gpu", 2), ("cuda", 1), ("mps", 1)])
def test_a_gpu_that_is_not_there_is_refused_before_anything_is_built(monkeypatch, accelerator, kinds):
    check_accelerator({"accelerator": "auto"})
    asked = []
    for kind in (CUDAAccelerator, MPSAccelerator):
        monkeypatch.setattr(kind, "is_available", lambda kind=kind: bool(asked.append(kind)))
    with pytest.raises(SigjepaError, match=f"trainer.accelerator={accelerator}.*trainer=default"):
        check_accelerator({"accelerator": accelerator})
    assert len(asked) == kinds


WITHOUT_WARMUP = ("~scheduler.warmup_fraction", "~scheduler.final_fraction")
STEP_LR = ("scheduler._target_=torch.optim.lr_scheduler.StepLR", *WITHOUT_WARMUP)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.hidden_dim=0"], "student can't be built.*keys of `model`"),
        (["model.layers=x"], "student can't be built"),
        (["experiment=flagship", "model.parts.words.hidden_dim=-1"], "student can't be built"),
        (["experiment=flagship", "negatives=knn", "callbacks=refresh"], "callbacks=refresh mines .* several views"),
        (["negatives=knn", "callbacks=refresh"], None),
        (["optimizer.lr=fast"], "optimizer can't be built.*keys of `optimizer`"),
        (["scheduler.warmup_fraction=5"], r"scheduler\.warmup_fraction=5"),
        (["scheduler.final_fraction=-0.5"], r"scheduler\.final_fraction=-0\.5"),
        ([*STEP_LR], "scheduler can't be built.*step_size.*keys of `scheduler`"),
        (["trainer.max_epochs=-1"], r"total_steps.*trainer\.max_epochs=-1"),
        ([*STEP_LR, "+scheduler.step_size=3"], None),
        (["trainer.max_epochs=-1", "+trainer.max_steps=50"], None),
        (["trainer.max_epochs=-1", "scheduler=reduce_on_plateau"], None),
        (["trainer.max_epochs=-1", "scheduler=none"], None),
        (["scheduler=one_cycle"], None),
    ],
)
def test_what_can_not_be_built_is_refused_before_any_data(overrides, message):
    resolved = plain(compose([*overrides, "data=tiny"]))
    with pytest.raises(SigjepaError, match=message) if message else nullcontext():
        check_module(resolved, 384, build_metrics(resolved["metrics"], resolved["monitor"], []))


class BrokenStudent(nn.Module):
    def __init__(self, teacher_dim):
        raise ValueError(f"{teacher_dim} is broken")


def test_a_student_of_ones_own_keeps_its_traceback():
    own = {"model": {"_target_": f"{__name__}.BrokenStudent"}, "allowed_targets": [f"{__name__}."]}
    resolved = plain(compose(["data=tiny"])) | own
    with pytest.raises(ValueError, match="384 is broken"):
        check_module(resolved, 384, build_metrics(resolved["metrics"], resolved["monitor"], []))


@pytest.mark.parametrize("seed", ["one", -1, 2**32, True, 0.5, None])
def test_a_seed_is_a_whole_number_that_every_generator_takes(seed):
    check_seed(2**32 - 1)
    with pytest.raises(SigjepaError, match=f"seed={seed}"):
        check_seed(seed)


def test_a_callback_that_is_null_is_left_out():
    resolved = plain(compose(["data=tiny", "callbacks.early_stopping=null"]))
    metrics = build_metrics(resolved["metrics"], resolved["monitor"], [])
    check_beginnings(resolved, metrics)
    callbacks = build_callbacks(resolved["callbacks"], metrics)
    named = components_of({}, resolved["callbacks"], callbacks)
    assert "callbacks.early_stopping" not in named
    assert named["callbacks.status"].__class__.__name__ == "TrainingStatus"


@pytest.mark.parametrize(
    ("components", "patience", "named"),
    [
        (curriculum(10), 5, "patience"),
        (curriculum(10), 15, None),
        (curriculum(0), 0, None),
        ({"loss.infonce": InfoNCE("union", 0.0)}, 15, "loss.infonce never begins"),
        ({"loss.infonce": InfoNCE("union", score_weights=[0, 0])}, 15, "loss.infonce never begins"),
        ({"loss.token_smooth_l1": TokenSmoothL1(weight=0)}, 15, "loss.token_smooth_l1 never begins"),
        ({"loss.other": SimpleNamespace()}, 15, None),
    ],
)
def test_what_a_weight_switches_off_or_patience_may_end_before_is_warned_of(caplog, components, patience, named):
    warn_of_late_beginnings(components | {"callbacks.stop": EarlyStopping("val/rank10", patience=patience)})
    assert (named in caplog.text) if named else not caplog.text


@pytest.mark.parametrize(("best_epoch", "began"), [(9, False), (10, True), (12, True)])
def test_the_summary_says_what_the_tested_checkpoint_has_not_seen(best_epoch, began):
    facts = never_began(curriculum(10), best_epoch)
    assert facts == {} if began else "loss.infonce" in facts["never_began"]


def test_negatives_that_are_needed_must_exist(tiny_data):
    check_negatives(curriculum(0), tiny_data)
    check_negatives({"loss.infonce": InfoNCE()}, replace(tiny_data, hard_negatives=None))
    none = np.zeros(0, np.int64)
    empty = replace(tiny_data.hard_negatives, negatives=CSR.from_sorted(none, none), scores=none, cosims=none)
    for negatives in (None, empty):
        with pytest.raises(SigjepaError, match=r"loss\.infonce.*negatives\.judge"):
            check_negatives(curriculum(0), replace(tiny_data, hard_negatives=negatives))


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "32-true"])
def test_a_precision_that_is_slow_here_is_told_of(monkeypatch, caplog, precision):
    monkeypatch.setattr("sigjepa.runtime.slow_precision.computes_bfloat16", lambda: False)
    trainer = Trainer(accelerator="cpu", precision=precision, logger=False, barebones=True)
    warn_of_slow_precision(trainer)
    assert (f"trainer.precision={precision}" in caplog.text) == precision.startswith("bf16")


@pytest.mark.parametrize(("words", "refused"), [(["data.pool_size=20"], True), (["data.pool_size=null"], False)])
def test_a_fold_of_a_sampled_pool_is_refused(words, refused):
    resolved = plain(compose(["data=tiny", "folds=5", "fold=0", *words]))
    with pytest.raises(SigjepaError, match=r"fold=0 with data\.pool_size=20") if refused else nullcontext():
        check_settings(resolved)
