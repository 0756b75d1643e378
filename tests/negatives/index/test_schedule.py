import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.errors import SigjepaError
from sigjepa.negatives.index.schedule import Constant, CosineRamp, LinearRamp, Step, as_schedule, check_extremes

amounts = st.floats(0, 1e6, allow_nan=False)
values = st.floats(-1e6, 1e6, allow_nan=False)
epochs = st.floats(0, 1e7, allow_nan=False)
ramps = st.sampled_from([LinearRamp, CosineRamp])


@pytest.mark.parametrize(
    ("epoch", "weight"), [(0, 0.0), (9.999, 0.0), (10, 0.0), (11, 0.2), (12.5, 0.5), (14, 0.8), (15, 1.0), (40, 1.0)]
)
def test_ramp_of_the_default_curriculum(epoch, weight):
    assert LinearRamp().value_at(epoch) == pytest.approx(weight)


@pytest.mark.parametrize(
    ("epoch", "value"), [(0, 1.0), (4, 1.0), (5, 1 - 0.75 * (1 - math.sqrt(0.5)) / 2), (6, 0.625), (8, 0.25), (9, 0.25)]
)
def test_cosine_ramp_may_fall(epoch, value):
    assert CosineRamp(start_epoch=4, ramp_epochs=4, before=1.0, after=0.25).value_at(epoch) == pytest.approx(value)


@pytest.mark.parametrize("ramp", [Step(3, 0.1, 0.5), LinearRamp(3, 0, 0.1, 0.5), CosineRamp(3, 0, 0.1, 0.5)])
def test_ramp_of_no_length_is_a_step(ramp):
    assert [ramp.value_at(epoch) for epoch in (2, 2.999, 3, 4, math.inf)] == [0.1, 0.1, 0.5, 0.5, 0.5]


@given(values, epochs)
def test_constant_ignores_the_epoch(value, epoch):
    assert Constant(value).value_at(epoch) == as_schedule(value).value_at(epoch) == value


@given(ramps, amounts, amounts, values, values, epochs)
def test_ramp_stays_between_its_ends(ramp, start, length, before, after, epoch):
    schedule = ramp(start, length, before, after)
    value = schedule.value_at(epoch)
    assert min(before, after) <= value <= max(before, after)
    assert schedule.extremes == (min(before, after), max(before, after))
    if epoch < start:
        assert value == before
    if epoch >= start + length:
        assert value == after
    assert schedule.value_at(math.inf) == after


@given(ramps, amounts, amounts, values, values, epochs, epochs)
def test_ramp_is_monotone(ramp, start, length, before, after, one, other):
    schedule = ramp(start, length, before, after)
    first, second = schedule.value_at(min(one, other)), schedule.value_at(max(one, other))
    assert first <= second if after >= before else first >= second


@pytest.mark.parametrize("value", [-1, -1e-9, math.nan, math.inf])
@pytest.mark.parametrize("name", ["start_epoch", "ramp_epochs"])
def test_lengths_out_of_range_are_named(name, value):
    with pytest.raises(SigjepaError, match=f"schedule: {name} must be"):
        LinearRamp(**{name: value})


@pytest.mark.parametrize("schedule", [Step, LinearRamp, CosineRamp])
@pytest.mark.parametrize("name", ["before", "after"])
def test_ends_must_be_finite(schedule, name):
    with pytest.raises(SigjepaError, match=f"schedule: {name} must be a finite"):
        schedule(**{name: math.nan})


def test_constant_is_no_nan():
    with pytest.raises(SigjepaError, match="value must be"):
        Constant(math.nan)


@pytest.mark.parametrize("schedule", [Constant(1.5), Constant(-0.1), LinearRamp(after=2.0), Step(before=-1.0)])
def test_a_schedule_that_leaves_its_bounds_is_named(schedule):
    with pytest.raises(SigjepaError, match=r"draw.number goes from .* within \[0, 1\]"):
        check_extremes(schedule, "draw.number", 0, 1)
