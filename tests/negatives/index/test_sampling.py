import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjepa.errors import SigjepaError
from sigjepa.negatives.index.hard_negatives import AnchorNegatives
from sigjepa.negatives.index.ramp import Ramp
from sigjepa.negatives.index.sampling import NegativeSampler


def negatives(cosims):
    """Negatives 100, 101, … with these cosines, nearest first."""
    ordered = np.sort(np.asarray(cosims, dtype=np.float64))[::-1]
    return AnchorNegatives(100 + np.arange(len(ordered)), np.zeros(len(ordered), np.int8), ordered)


FIVE = negatives([0.9, 0.8, 0.7, 0.65, 0.6])

cosim_lists = st.lists(st.floats(-1, 1), max_size=12)
samplers = st.builds(
    NegativeSampler,
    number=st.integers(0, 9),
    max_cosim=st.floats(-1, 1),
    temperature=st.sampled_from([0.0, 0.01, 0.5, math.inf]),
    seed=st.integers(0, 99),
)


@settings(max_examples=200)
@given(samplers, cosim_lists, st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_draw_is_a_subset_nearest_first_and_as_large_as_it_can_be(sampler, cosims, anchor, step):
    all_negatives = negatives(cosims)
    drawn = sampler.negatives(all_negatives, anchor, step, epoch=0.0)
    assert np.isin(drawn.ids, all_negatives.ids).all()
    assert (np.diff(drawn.ids) > 0).all()  # ids ascend as cosines descend, none twice
    assert np.array_equal(drawn.cosims, all_negatives.cosims[drawn.ids - 100])
    eligible = (all_negatives.cosims <= sampler.max_cosim).sum() if sampler.max_cosim < 1 else len(cosims)
    assert len(drawn.ids) == min(sampler.number, eligible)


@given(samplers, cosim_lists, st.integers(0, 1000), st.integers(0, 1000))
def test_a_draw_is_a_pure_function_of_seed_step_and_anchor(sampler, cosims, anchor, step):
    def drawn():
        return sampler.negatives(negatives(cosims), anchor, step, 0.0).ids.tolist()

    first = drawn()
    sampler.negatives(FIVE, anchor + 1, step + 1, 0.0)  # another sampler in between changes nothing
    assert drawn() == first


def test_temperature_zero_takes_the_nearest():
    assert NegativeSampler(2).negatives(FIVE, 0, 0, 0.0).ids.tolist() == [100, 101]


def test_difficulty_leaves_out_what_is_too_near():
    assert NegativeSampler(2, max_cosim=0.7).negatives(FIVE, 0, 0, 0.0).ids.tolist() == [102, 103]
    assert NegativeSampler(2, max_cosim=0.5).negatives(FIVE, 0, 0, 0.0).ids.tolist() == []


def first_draws(temperature, steps=4000):
    sampler = NegativeSampler(1, temperature=temperature)
    return Counter(int(sampler.negatives(FIVE, 7, step, 0.0).ids[0]) for step in range(steps))


def test_single_draws_follow_the_softmax_over_cosines():
    logits = FIVE.cosims / 0.2
    expected = np.exp(logits) / np.exp(logits).sum()
    counts = first_draws(0.2)
    observed = np.array([counts[100 + i] for i in range(5)]) / 4000
    assert np.abs(observed - expected).max() < 0.03  # three standard deviations of a share of 4000


def test_an_infinite_temperature_draws_uniformly():
    counts = first_draws(math.inf)
    assert min(counts.values()) > 4000 / 5 * 0.85
    assert len(counts) == 5


def test_draws_differ_by_step_anchor_and_seed():
    sampler = NegativeSampler(2, temperature=math.inf)
    assert len({tuple(sampler.negatives(FIVE, 7, step, 0.0).ids) for step in range(50)}) > 5
    assert len({tuple(sampler.negatives(FIVE, anchor, 7, 0.0).ids) for anchor in range(50)}) > 5
    assert (
        len({tuple(NegativeSampler(2, temperature=math.inf, seed=s).negatives(FIVE, 7, 7, 0.0).ids) for s in range(50)})
        > 5
    )


EPOCHS = (0, 2, 3, 4.0, 5.4, 6, 9)


def test_schedules_move_number_and_difficulty():
    number, max_cosim = Ramp(2, 4, 0, 4), Ramp(0, 10, start_value=0.6, end_value=1.0)
    sampler = NegativeSampler(number)
    assert [len(sampler.negatives(FIVE, 0, 0, epoch).ids) for epoch in EPOCHS] == [0, 0, 1, 2, 3, 4, 4]
    easy_first = NegativeSampler(8, max_cosim)
    assert [len(easy_first.negatives(FIVE, 0, 0, epoch).ids) for epoch in (0, 2.5, 5, 10)] == [1, 3, 4, 5]


def test_an_annealed_draw_ends_at_the_nearest():
    sampler = NegativeSampler(1, temperature=Ramp(0, 5, start_value=1.0, end_value=1e-4))
    early = {int(sampler.negatives(FIVE, 1, step, 0.0).ids[0]) for step in range(200)}
    late = {int(sampler.negatives(FIVE, 1, step, 5.0).ids[0]) for step in range(200)}
    assert early == {100, 101, 102, 103, 104}
    assert late == {100}


def test_related_bodies_are_drawn_uniformly_and_repeatably():
    related = np.array([3, 5, 8, 9])
    sampler = NegativeSampler(related=2)
    drawn = [sampler.related_of(related, 1, step).tolist() for step in range(100)]
    assert all(len(set(one)) == 2 and set(one) <= {3, 5, 8, 9} and one == sorted(one) for one in drawn)
    assert {i for one in drawn for i in one} == {3, 5, 8, 9}
    assert drawn == [sampler.related_of(related, 1, step).tolist() for step in range(100)]
    assert sampler.related_of(related[:1], 1, 0).tolist() == [3]


@pytest.mark.parametrize(
    "arguments",
    [
        {"number": -1},
        {"max_cosim": 1.5},
        {"temperature": -0.1},
        {"related": -1},
        {"seed": -1},
        {"temperature": Ramp(start_value=1.0, end_value=-0.5)},
    ],
)
def test_arguments_out_of_range_are_named(arguments):
    (name,) = arguments
    with pytest.raises(SigjepaError, match=f"negatives.sampler.{name}"):
        NegativeSampler(**arguments)
