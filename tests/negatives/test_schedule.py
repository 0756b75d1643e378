"""Curriculum weights: bounded, monotone, zero before the start."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.errors import SigjepaError
from sigjepa.negatives.schedule import Constant, LinearRamp

amounts = st.floats(0, 1e6, allow_nan=False)
epochs = st.floats(0, 1e7, allow_nan=False)


@pytest.mark.parametrize(
    ("epoch", "weight"), [(0, 0.0), (9.999, 0.0), (10, 0.0), (11, 0.2), (12.5, 0.5), (14, 0.8), (15, 1.0), (40, 1.0)]
)
def test_ramp_of_the_default_curriculum(epoch, weight):
    assert LinearRamp().weight_at(epoch) == pytest.approx(weight)


def test_ramp_of_no_length_is_a_step():
    step = LinearRamp(start_epoch=3, ramp_epochs=0, weight=0.5)
    assert [step.weight_at(epoch) for epoch in (2, 2.999, 3, 4)] == [0.0, 0.0, 0.5, 0.5]


@given(amounts, epochs)
def test_constant_ignores_the_epoch(weight, epoch):
    assert Constant(weight).weight_at(epoch) == weight


@given(amounts, amounts, amounts, epochs)
def test_ramp_is_bounded_and_zero_before_the_start(start, length, weight, epoch):
    value = LinearRamp(start, length, weight).weight_at(epoch)
    assert 0.0 <= value <= weight
    if epoch < start:
        assert value == 0.0
    if epoch >= start + length:
        assert value == pytest.approx(weight)


@given(amounts, amounts, amounts, epochs, epochs)
def test_ramp_never_falls(start, length, weight, one, other):
    ramp = LinearRamp(start, length, weight)
    assert ramp.weight_at(min(one, other)) <= ramp.weight_at(max(one, other))


@pytest.mark.parametrize("value", [-1, -1e-9, math.nan, math.inf])
@pytest.mark.parametrize("name", ["start_epoch", "ramp_epochs", "weight"])
def test_arguments_out_of_range_are_named(name, value):
    with pytest.raises(SigjepaError, match=f"schedule: {name} must be"):
        LinearRamp(**{name: value})


@pytest.mark.parametrize("value", [-0.5, math.nan, math.inf])
def test_constant_checks_its_weight(value):
    with pytest.raises(SigjepaError, match="weight must be"):
        Constant(value)
