import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.errors import SigjepaError
from sigjepa.negatives.index.ramp import Ramp, check_extremes, value_at

amounts = st.floats(0, 1e6, allow_nan=False)
values = st.floats(-1e6, 1e6, allow_nan=False)
epochs = st.floats(0, 1e7, allow_nan=False)
ramps = st.builds(Ramp, amounts, amounts, values, values, st.sampled_from(["linear", "cosine"]))


@pytest.mark.parametrize(
    ("epoch", "weight"), [(0, 0.0), (9.999, 0.0), (10, 0.0), (11, 0.2), (12.5, 0.5), (14, 0.8), (15, 1.0), (40, 1.0)]
)
def test_a_linear_ramp(epoch, weight):
    assert Ramp(10, 5).value_at(epoch) == pytest.approx(weight)


@pytest.mark.parametrize(
    ("epoch", "value"), [(0, 1.0), (4, 1.0), (5, 1 - 0.75 * (1 - math.sqrt(0.5)) / 2), (6, 0.625), (8, 0.25), (9, 0.25)]
)
def test_a_cosine_ramp_may_fall(epoch, value):
    assert Ramp(4, 4, 1.0, 0.25, "cosine").value_at(epoch) == pytest.approx(value)


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_a_ramp_of_no_length_is_a_step(shape):
    ramp = Ramp(3, 0, 0.1, 0.5, shape)
    assert [ramp.value_at(epoch) for epoch in (2, 2.999, 3, 4, math.inf)] == [0.1, 0.1, 0.5, 0.5, 0.5]


@given(values, epochs)
def test_a_number_ignores_the_epoch(value, epoch):
    assert value_at(value, epoch) == value


@given(ramps, epochs)
def test_a_ramp_stays_between_its_ends(ramp, epoch):
    value = value_at(ramp, epoch)
    assert min(ramp.start_value, ramp.end_value) <= value <= max(ramp.start_value, ramp.end_value)
    if epoch < ramp.start_epoch:
        assert value == ramp.start_value
    if epoch >= ramp.start_epoch + ramp.ramp_epochs:
        assert value == ramp.end_value
    assert ramp.value_at(math.inf) == ramp.end_value


@given(ramps, epochs, epochs)
def test_a_ramp_is_monotone(ramp, first, second):
    before, after = ramp.value_at(min(first, second)), ramp.value_at(max(first, second))
    assert before <= after if ramp.end_value >= ramp.start_value else before >= after


@pytest.mark.parametrize("value", [-1, -1e-9, math.nan, math.inf])
@pytest.mark.parametrize("name", ["start_epoch", "ramp_epochs"])
def test_lengths_out_of_range_are_named(name, value):
    with pytest.raises(SigjepaError, match=f"schedule.{name}="):
        Ramp(**{name: value})


@pytest.mark.parametrize(("name", "value"), [("start_value", math.nan), ("end_value", math.inf), ("shape", "exp")])
def test_what_else_is_out_of_range_is_named(name, value):
    with pytest.raises(SigjepaError, match=f"schedule.{name}="):
        Ramp(**{name: value})


@pytest.mark.parametrize("schedule", [1.5, -0.1, math.nan, Ramp(end_value=2.0), Ramp(start_value=-1.0)])
def test_a_schedule_that_leaves_its_bounds_is_named(schedule):
    with pytest.raises(SigjepaError, match=r"sampler.number .*\[0, 1\]"):
        check_extremes(schedule, "sampler.number", 0, 1)
