from types import SimpleNamespace

import torch
from torch import nn
from torch.backends import cuda
from torch.nn import functional as F

from sigjepa.losses.infonce import InfoNCE
from sigjepa.runtime.attention import attention_of_any_shape
from sigjepa.teacher.backbone import Network
from sigjepa.teacher.batching import PaddedBatch
from sigjepa.training.module import SigJepaModule


def allowed(*given, **named):
    """Stand for a student and a teacher that tell whether cuDNN may be taken while they compute."""
    kernels = (cuda.cudnn_sdp_enabled(), cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled())
    return SimpleNamespace(last_hidden_state=torch.tensor([[kernels]]))


class Student(nn.Module):
    def forward(self, *given):
        return allowed().last_hidden_state.tolist()


def test_no_kernel_is_taken_that_is_planned_for_each_shape(make_batch):
    before = cuda.cudnn_sdp_enabled()
    module = SigJepaModule(Student(), {"infonce": InfoNCE()}, torch.optim.AdamW)
    assert module(make_batch(2)) == [[[False, True, True]]]
    network = Network.__new__(Network)
    network.model, network.device = allowed, torch.device("cpu")
    network.takes_positions = network.takes_cache = False
    cell = torch.zeros(1, 1, dtype=torch.long).numpy()
    batch = PaddedBatch(cell, cell, cell, cell[0], cell[0], cell[0])
    assert network.kept_states(batch, -1).tolist() == [[False, True, True]]
    assert cuda.cudnn_sdp_enabled() == before


def test_a_cpus_attention_is_bit_for_bit_the_same():
    states = torch.randn(3, 2, 5, 8)
    mask = torch.rand(3, 1, 1, 5) > 0.3
    with attention_of_any_shape():
        any_shape = F.scaled_dot_product_attention(states, states, states, mask)
    assert torch.equal(any_shape, F.scaled_dot_product_attention(states, states, states, mask))
