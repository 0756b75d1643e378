"""Precisions that a processor computes many times as slowly as float32."""

import logging
import platform

import torch

log = logging.getLogger(__name__)


def warn_of_slow_bfloat16(setting: str, instead: str, device: torch.device) -> None:
    """Say in a line, before the work, where a CPU has no units for bfloat16; setting: what asks for it."""
    if device.type == "cpu" and not computes_bfloat16():
        log.warning(
            "%s: this CPU has no units for bfloat16, which takes it about ten times as long as float32; set %s.",
            setting,
            instead,
        )


def computes_bfloat16() -> bool:
    """Return whether the CPU has units for products of bfloat16; one that is not x86 is taken to have them."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return not x86 or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
