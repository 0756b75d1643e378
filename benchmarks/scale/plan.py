"""A plan for a corpus that no one has built here, computed from what the stages cost at sizes that were.

Every assumption is an option of `scale.py`. Nothing is measured here: a stage's CPU time and files are those of the
largest size that was measured, times the growth in functions to the power of the fitted exponent.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from sigjepa.reporting.tables import markdown_table

NOT_ON_CORES = ("shards", "training", "validation")
"""Stages that a GPU does in the plan; a pool to validate on is of a fixed size, and costs no hour."""


@dataclass(frozen=True)
class Assumptions:
    """What a plan takes for granted, each with its unit."""

    functions: int = 100_000_000
    cores: int = 512
    gpus: int = 8
    core_hour: float = 0.05
    gpu_hour: float = 3.0
    terabyte_month: float = 23.0
    months: float = 1.0
    embedded_per_gpu_second: float = 2000.0
    trained_per_gpu_second: float = 13000.0
    epochs: int = 20
    dim: int = 384
    signature_tokens: float = 24.0
    bytes_per_number: int = 2
    efficiency: float = 0.7


MEANING = {
    "functions": "functions that are kept",
    "cores": "cores that work at once",
    "gpus": "GPUs that work at once",
    "core_hour": "dollars for an hour of a core, its memory included",
    "gpu_hour": "dollars for an hour of a GPU",
    "terabyte_month": "dollars for a terabyte a month, replication included",
    "months": "months that files are kept",
    "embedded_per_gpu_second": "functions that a GPU embeds in a second, both halves",
    "trained_per_gpu_second": "functions that a GPU trains on in a second",
    "epochs": "epochs of training",
    "dim": "numbers of a state",
    "signature_tokens": "token states of a signature that are kept; 0 is pooled-only input",
    "bytes_per_number": "bytes of a number of a token state",
    "efficiency": "share of a cluster that does work, the rest waits, reads or is restarted",
}


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of the line through the logarithms of sizes and values; nan of fewer than two."""
    if len(sizes) < 2:
        return math.nan
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-9)), 1)[0])


def extrapolated(measured: Mapping[int, Mapping[str, Any]], key: str, functions: int) -> float:
    """Return a figure of a stage at another size: the largest measured one's, by the exponent of all."""
    sizes = sorted(measured)
    values = [float(measured[size][key]) for size in sizes]
    power = exponent(sizes, values)
    return values[-1] * (functions / sizes[-1]) ** (1.0 if math.isnan(power) else max(power, 1.0))


def plan(stages: Mapping[str, Mapping[int, Mapping[str, Any]]], assumed: Assumptions) -> dict[str, float]:
    """Return hours, terabytes and dollars by resource; stages: figures by stage and size.

    A stage that grows more slowly than its input counts as if it grew with it.
    """
    on_cores = {name: sizes for name, sizes in stages.items() if name not in NOT_ON_CORES}
    cpu_hours = sum(extrapolated(sizes, "cpu_seconds", assumed.functions) for sizes in on_cores.values()) / 3600
    files = sum(extrapolated(sizes, "disk_mib", assumed.functions) for sizes in stages.values()) * 2**20
    states = assumed.functions * assumed.signature_tokens * assumed.dim * assumed.bytes_per_number
    embedding = assumed.functions / assumed.embedded_per_gpu_second / 3600
    training = assumed.functions * assumed.epochs / assumed.trained_per_gpu_second / 3600
    gpu_hours = embedding + training
    terabytes = (files + states) / 1e12
    figures = {
        "cpu_hours": cpu_hours,
        "wall_hours_cpu": cpu_hours / assumed.cores / assumed.efficiency,
        "gpu_hours_embedding": embedding,
        "gpu_hours_training": training,
        "wall_hours_gpu": gpu_hours / assumed.gpus / assumed.efficiency,
        "terabytes_files": files / 1e12,
        "terabytes_states": states / 1e12,
        "dollars_cpu": cpu_hours / assumed.efficiency * assumed.core_hour,
        "dollars_gpu": gpu_hours / assumed.efficiency * assumed.gpu_hour,
        "dollars_disk": terabytes * assumed.months * assumed.terabyte_month,
    }
    return figures | {"dollars": sum(figures[f"dollars_{of}"] for of in ("cpu", "gpu", "disk"))}


def plan_text(stages: Mapping[str, Mapping[int, Mapping[str, Any]]], assumed: Assumptions) -> str:
    """Return the plan as Markdown: what it needs, and what it takes for granted."""
    found = plan(stages, assumed)
    rows = [
        ["cores", f"{found['cpu_hours']:,.0f} core hours", f"{found['wall_hours_cpu']:,.1f}", found["dollars_cpu"]],
        [
            "GPUs",
            f"{found['gpu_hours_embedding']:,.0f} hours to embed, {found['gpu_hours_training']:,.0f} to train",
            f"{found['wall_hours_gpu']:,.1f}",
            found["dollars_gpu"],
        ],
        [
            "disk",
            f"{found['terabytes_files']:,.2f} TB of artifacts, {found['terabytes_states']:,.2f} TB of token states",
            "",
            found["dollars_disk"],
        ],
        ["all", "", f"{found['wall_hours_cpu'] + found['wall_hours_gpu']:,.1f}", found["dollars"]],
    ]
    needed = [[*map(str, row[:3]), f"{row[3]:,.0f}"] for row in rows]
    taken = [
        [f"`--{each.name.replace('_', '-')}`", f"{getattr(assumed, each.name):,}", MEANING[each.name]]
        for each in fields(Assumptions)
    ]
    return "\n".join(
        [
            markdown_table(["resource", "amount", "hours on the wall", "dollars"], needed),
            "",
            markdown_table(["assumption", "value", "unit"], taken),
        ]
    )


def add_assumptions(parser: argparse.ArgumentParser) -> None:
    """Add an option for each assumption."""
    for each in fields(Assumptions):
        kind = type(each.default)
        name = f"--{each.name.replace('_', '-')}"
        parser.add_argument(name, type=kind, default=each.default, help=f"{MEANING[each.name]} ({each.default:,})")


def assumptions_of(options: argparse.Namespace) -> Assumptions:
    """Return the assumptions of parsed options."""
    return Assumptions(**{each.name: getattr(options, each.name) for each in fields(Assumptions)})
