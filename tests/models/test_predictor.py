import dataclasses

import pytest
import torch

from sigjepa.errors import SigjepaError
from sigjepa.models.predictor import SigPredictor, masked_mean
from sigjepa.models.token_predictor import TokenPredictor

SMALL = {"teacher_dim": 8, "hidden_dim": 16, "heads": 2, "feedforward_dim": 32, "dropout": 0.0}


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def students():
    torch.manual_seed(0)
    return [SigPredictor(**SMALL).eval(), TokenPredictor(**SMALL, max_body_tokens=12).eval()]


def test_published_student_has_8_4_million_parameters():
    model = SigPredictor(teacher_dim=2048)
    projections = 2048 * 512 + 512 + 512 * 2048 + 2048
    attention = 4 * (512 * 512 + 512)
    feedforward = 512 * 2048 + 2048 + 2048 * 512 + 512
    layer_norms = 2 * 2 * 512
    final_norm = 2 * 512
    assert parameters(model) == projections + 2 * (attention + feedforward + layer_norms) + final_norm
    assert round(parameters(model) / 1e6, 1) == 8.4


@pytest.mark.parametrize("model", students(), ids=lambda model: type(model).__name__)
def test_padding_does_not_change_a_prediction(model, make_batch):
    batch = make_batch()
    before = model(batch.signature_states, batch.signature_mask).pooled
    noise = torch.where(batch.signature_mask[..., None], batch.signature_states, 1e4)
    wider = torch.nn.functional.pad(noise, (0, 0, 0, 3), value=7.0)
    mask = torch.nn.functional.pad(batch.signature_mask, (0, 3))
    torch.testing.assert_close(model(wider, mask).pooled, before, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", students(), ids=lambda model: type(model).__name__)
def test_prediction_is_a_function_of_the_signature_alone(model, make_batch):
    """Another body, of another length and mask, changes neither the pooled prediction nor any position's state."""
    batch = make_batch(body_tokens=5)
    other = dataclasses.replace(
        batch, body_states=torch.randn(6, 9, 8), body_mask=torch.ones(6, 9).bool(), body_pooled=torch.randn(6, 8)
    )
    short = model(batch.signature_states, batch.signature_mask, batch.body_states.shape[1])
    long = model(other.signature_states, other.signature_mask, other.body_states.shape[1])
    torch.testing.assert_close(long.pooled, short.pooled, rtol=0, atol=0)
    if short.states is not None:
        torch.testing.assert_close(long.states[:, :5], short.states, rtol=1e-5, atol=1e-6)


def test_a_function_is_predicted_alike_whoever_shares_its_batch(make_batch):
    batch = make_batch()
    for model in students():
        together = model(batch.signature_states, batch.signature_mask, 4)
        alone = model(batch.signature_states[2:3], batch.signature_mask[2:3], 4)
        torch.testing.assert_close(alone.pooled, together.pooled[2:3], rtol=1e-5, atol=1e-6)


def test_token_student_predicts_a_state_per_position_that_depends_on_it(make_batch):
    batch = make_batch()
    prediction = students()[1](batch.signature_states, batch.signature_mask, 5)
    assert prediction.states.shape == (6, 5, 8)
    assert not torch.allclose(prediction.states[:, 0], prediction.states[:, 1])


def test_token_student_refuses_more_positions_than_it_has(make_batch):
    batch = make_batch()
    with pytest.raises(SigjepaError, match=r"model\.max_body_tokens.*12"):
        students()[1](batch.signature_states, batch.signature_mask, 13)


def test_half_precision_states_are_taken_as_they_are_stored(make_batch):
    batch = make_batch()
    for model in students():
        half = model(batch.signature_states.half(), batch.signature_mask).pooled
        assert half.dtype == torch.float32


def test_masked_mean_equals_a_loop():
    states, mask = torch.randn(3, 4, 2), torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]).bool()
    pooled = masked_mean(states, mask)
    for row in range(2):
        torch.testing.assert_close(pooled[row], states[row][mask[row]].mean(0))
    assert pooled[2].tolist() == [0, 0]
