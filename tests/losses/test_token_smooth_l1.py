import pytest
import torch

from sigjepa.errors import SigjepaError
from sigjepa.losses.loss import Progress
from sigjepa.losses.token_smooth_l1 import TokenSmoothL1, summed_smooth_l1
from sigjepa.models.prediction import Prediction

START = Progress(epoch=0, step=0)


@pytest.mark.parametrize("beta", [0.1, 1.0, 2.0])
def test_equals_the_naive_formula(make_batch, beta):
    batch = make_batch(size=3, dim=4, body_tokens=5)
    predicted = torch.randn(3, 5, 4)
    values = []
    for b in range(3):
        for t in range(5):
            if batch.body_mask[b, t]:
                state = batch.body_states[b, t]
                target = (state - state.mean()) / (state.var(unbiased=False) + 1e-5).sqrt()
                for difference in (predicted[b, t] - target).abs():
                    values.append(0.5 * difference**2 / beta if difference < beta else difference - 0.5 * beta)
    expected = torch.stack(values).mean()
    value = TokenSmoothL1(beta=beta)(Prediction(torch.zeros(3, 4), predicted), batch, START).value
    torch.testing.assert_close(value, expected)


def test_padding_never_counts(make_batch):
    batch = make_batch(size=3, dim=4, body_tokens=5)
    predicted = torch.randn(3, 5, 4)
    before = summed_smooth_l1(predicted, batch.body_states, batch.body_mask, 1.0)
    batch.body_states[~batch.body_mask] = 1e6
    predicted[~batch.body_mask] = -1e6
    assert torch.equal(summed_smooth_l1(predicted, batch.body_states, batch.body_mask, 1.0), before)


def test_half_precision_states_are_compared_in_fp32(make_batch):
    batch = make_batch(size=3, dim=4, body_tokens=5)
    batch.body_states = batch.body_states.half()
    value = TokenSmoothL1()(Prediction(torch.zeros(3, 4), torch.randn(3, 5, 4)), batch, START).value
    assert value.dtype == torch.float32


def test_says_what_is_missing(make_batch):
    term = TokenSmoothL1()
    with pytest.raises(SigjepaError, match="model=token_predictor"):
        term(Prediction(torch.zeros(6, 8)), make_batch(body_tokens=3), START)
    with pytest.raises(SigjepaError, match="data.body_states=true"):
        term(Prediction(torch.zeros(6, 8), torch.zeros(6, 3, 8)), make_batch(), START)
    with pytest.raises(SigjepaError, match="token_smooth_l1.beta"):
        TokenSmoothL1(beta=0)
