"""A run that would not do what its settings promise says so, or does not begin."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from lightning.pytorch.callbacks import EarlyStopping

from sigjepa.errors import SigjepaError
from sigjepa.losses.infonce import InfoNCE
from sigjepa.negatives.index.csr import CSR
from sigjepa.negatives.index.ramp import Ramp, beginning
from sigjepa.training.promises import check_negatives, never_began, warn_of_late_beginnings
from sigjepa.training.refresh import RefreshNegatives


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
    ("components", "epochs", "patience", "named"),
    [
        (curriculum(10), 3, 15, "trainer.max_epochs=3"),
        (curriculum(10), 10, 15, "trainer.max_epochs=10"),
        (curriculum(10), 20, 5, "patience"),
        (curriculum(10), 11, 15, None),
        (curriculum(0), 1, 0, None),
        ({"callbacks.refresh_negatives": RefreshNegatives(4, "folder")}, 4, 15, "trainer.max_epochs=4"),
        ({"loss.other": SimpleNamespace()}, 1, 0, None),
    ],
)
def test_what_begins_after_the_end_is_warned_of(caplog, components, epochs, patience, named):
    warn_of_late_beginnings(components | {"callbacks.stop": EarlyStopping("val/rank10", patience=patience)}, epochs)
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
