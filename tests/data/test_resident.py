"""Batches gathered on a device are those that the host makes, padded to a multiple of 8."""

import logging

import numpy as np
import pytest
import torch

from sigjepa.data import resident
from sigjepa.data.dataset import FunctionDataset
from sigjepa.data.resident import ResidentData, resident_bytes, resident_data
from sigjepa.data.sampler import BatchIndices

CPU = torch.device("cpu")
GENERATOR = torch.Generator().manual_seed(0)
SIGNATURE_LENGTHS, BODY_LENGTHS = np.array([3, 9, 1, 17, 8, 2]), np.array([5, 1, 30, 4, 2, 12])
TARGETS = torch.randn(6, 4, generator=GENERATOR)


class Shards:
    """Random states of six functions in two shards."""

    dim, item_size = 4, 2
    signature_lengths, body_lengths = SIGNATURE_LENGTHS, BODY_LENGTHS

    def __init__(self):
        self.states = {
            half: torch.randn(int(lengths.sum()), 4, generator=GENERATOR).half().split(lengths.tolist())
            for half, lengths in (("signature", SIGNATURE_LENGTHS), ("body", BODY_LENGTHS))
        }

    def signature_states(self, function):
        return self.states["signature"][function]

    def body_states(self, function):
        return self.states["body"][function]

    def blocks(self, half):
        yield torch.cat(self.states[half][:4])
        yield torch.cat(self.states[half][4:])


@pytest.mark.parametrize("limit", [None, 7])
def test_a_batch_gathered_on_the_device_is_the_hosts(limit):
    shards = Shards()
    kept = BODY_LENGTHS if limit is None else np.minimum(BODY_LENGTHS, limit)
    options = {"body_states": True, "max_body_states": limit}
    request = BatchIndices(np.array([3, 0, 5, 2]))
    host = FunctionDataset(shards, TARGETS, **options)[request]
    data = ResidentData(shards, TARGETS, CPU, kept)
    device = FunctionDataset(shards, TARGETS, **options, resident=data)[request]
    assert torch.equal(device.ids, host.ids)
    assert torch.equal(device.body_pooled, host.body_pooled)
    for half in ("signature", "body"):
        states, mask = getattr(device, f"{half}_states"), getattr(device, f"{half}_mask")
        own, own_mask = getattr(host, f"{half}_states"), getattr(host, f"{half}_mask")
        width = own.shape[1]
        longest = {"signature": SIGNATURE_LENGTHS, "body": kept}[half].max()
        assert states.shape[1] == min(-(-width // 8) * 8, longest)
        assert torch.equal(states[:, :width], own)
        assert torch.equal(mask[:, :width], own_mask)
        assert not states[:, width:].any()
        assert not mask[:, width:].any()


def test_it_is_there_where_it_is_wanted_and_says_so(caplog):
    shards = Shards()
    assert resident_data("auto", shards, TARGETS, CPU) is None
    assert resident_data(False, shards, TARGETS, CPU) is None
    with caplog.at_level(logging.INFO, logger=resident.__name__):
        assert resident_data(True, shards, TARGETS, CPU) is not None
    assert "data.device_resident=True" in caplog.text
    assert resident_bytes(shards, TARGETS, BODY_LENGTHS) == (SIGNATURE_LENGTHS.sum() + BODY_LENGTHS.sum()) * 8 + 6 * 16


@pytest.mark.parametrize(("free", "fits"), [(1000, True), (300, False)])
def test_auto_leaves_the_device_room(monkeypatch, caplog, free, fits):
    made = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    monkeypatch.setattr(resident, "ResidentData", lambda *arguments: made.append(arguments) or "data")
    with caplog.at_level(logging.INFO, logger=resident.__name__):
        data = resident_data("auto", Shards(), TARGETS, torch.device("cuda"))
    assert (data == "data") == bool(made) == fits
    assert ("stay on the host" in caplog.text) != fits
