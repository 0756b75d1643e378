import logging

import pytest
import torch

from sigjepa.runtime import slow_precision
from sigjepa.runtime.slow_precision import computes_bfloat16, warn_of_slow_bfloat16


@pytest.mark.parametrize(
    ("device", "units", "told"), [("cpu", False, True), ("cpu", True, False), ("meta", False, False)]
)
def test_bfloat16_without_units_for_it_is_told_of(monkeypatch, caplog, device, units, told):
    monkeypatch.setattr(slow_precision, "computes_bfloat16", lambda: units)
    with caplog.at_level(logging.WARNING):
        warn_of_slow_bfloat16("teacher.dtype=bfloat16", "teacher.dtype=float32", torch.device(device))
    assert ("teacher.dtype=bfloat16" in caplog.text and "teacher.dtype=float32" in caplog.text) == told


def test_an_x86_processor_says_what_it_has(monkeypatch):
    monkeypatch.setattr(slow_precision.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for has in (False, True):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has=has: has)
        assert computes_bfloat16() == has
    monkeypatch.setattr(slow_precision.platform, "machine", lambda: "arm64")
    assert computes_bfloat16()
