"""The teacher's ceiling beside the runs: the shape of its space, what a cosine is worth in it, and why runs miss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sigjepa.evaluation.ceiling import (
    NEEDED,
    AlongResiduals,
    CeilingCurve,
    Isotropic,
    TowardsBodies,
    fit_residuals,
    measure_curve,
)
from sigjepa.evaluation.geometry import Geometry, measure_geometry
from sigjepa.evaluation.plateau import Plateau, explain_plateau
from sigjepa.reporting.run import Run
from sigjepa.reporting.tables import markdown_table
from sigjepa.store.progress import progress

DIRECTIONS = {
    "isotropic": "any direction",
    "bodies": "towards other train bodies",
    "residuals": "as in real predictions",
}
"""What figures and tables call the directions of simulated errors."""


@dataclass(frozen=True)
class Ceiling:
    """The ceiling of one pool in one teacher's space.

    errors_of: whose errors gave the directions of real predictions. plateaus: why each run misses, by the run's name.
    """

    split: str
    errors_of: str
    geometry: Geometry
    curves: Sequence[CeilingCurve]
    plateaus: Mapping[str, Plateau]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        return {
            "split": self.split,
            "errors_of": self.errors_of,
            "geometry": self.geometry.as_dict(),
            "curves": [curve.as_dict() for curve in self.curves],
            "plateaus": {name: plateau.as_dict() for name, plateau in self.plateaus.items()},
        }


def measure_space(
    targets: Tensor, train_ids: Tensor, pool_ids: Tensor, residuals: AlongResiduals
) -> tuple[Geometry, list[CeilingCurve]]:
    """Return the shape of a pool's bodies and Rank@k by cosine in it; `targets` `[n, D]` and ids by function."""
    bodies, train = targets[pool_ids].float(), targets[train_ids].float()
    directions = (Isotropic(), TowardsBodies(train), residuals)
    steps = progress(directions, "simulate predictions", unit="direction")
    return measure_geometry(bodies, train), [measure_curve(bodies, pool_ids, step) for step in steps]


def run_residuals(run: Run, targets: Tensor) -> AlongResiduals:
    """Return the errors of a run's best checkpoint on val."""
    ids, predictions = (torch.from_numpy(array) for array in run.predictions("val"))
    return fit_residuals(predictions, targets[ids].float(), ids)


def explain_run(run: Run, targets: Tensor, split: str) -> Plateau:
    """Explain what a run misses on a split; directions of errors come from its val predictions."""
    ids, predictions = (torch.from_numpy(array) for array in run.predictions(split))
    return explain_plateau(predictions, targets[ids].float(), ids, run_residuals(run, targets))


def measure_ceiling(runs: Sequence[Run], targets: Tensor, train_ids: Tensor, split: str) -> Ceiling:
    """Return the ceiling of the pool of `runs`, which share it and the teacher; errors are the first run's."""
    pool_ids = torch.from_numpy(runs[0].predictions(split)[0])
    geometry, curves = measure_space(targets, train_ids, pool_ids, run_residuals(runs[0], targets))
    named = {f"{run.experiment}, seed {run.seed}": run for run in runs}
    steps = progress(named.items(), "explain plateaus", unit="run")
    plateaus = {name: explain_run(run, targets, split) for name, run in steps}
    return Ceiling(split, next(iter(named)), geometry, curves, plateaus)


def geometry_table(geometry: Geometry) -> str:
    """Return the shape of the pool's bodies, raw, centred and whitened."""
    shapes = geometry.coordinates()
    near = list(next(iter(shapes.values())).near)
    header = ["bodies", "effective rank", "mean pairwise cosine", *(f"nearest other ≥ {level:.2f}" for level in near)]
    rows = [
        [name, f"{shape.effective_rank:.1f}", f"{shape.mean_pairwise_cosine:.3f}"]
        + [f"{100 * shape.near[level]:.1f} %" for level in near]
        for name, shape in shapes.items()
    ]
    return markdown_table(header, rows)


def curve_table(curves: Sequence[CeilingCurve]) -> str:
    """Return Rank@10 by cosine, and the cosine that a Rank@10 needs, one column a direction of the errors."""
    header = ["cosine", *(DIRECTIONS.get(curve.directions, curve.directions) for curve in curves)]
    rows = [
        [f"{cosine:.2f}", *(f"{100 * curve.means['rank10'][row]:.1f}" for curve in curves)]
        for row, cosine in enumerate(curves[0].cosines)
    ]
    for level in NEEDED:
        needed = [curve.cosine_needed(level) for curve in curves]
        rows.append([f"needed for {level:.0%}", *("never" if size is None else f"{size:.2f}" for size in needed)])
    return markdown_table(header, rows)


def plateau_table(plateaus: Mapping[str, Plateau]) -> str:
    """Return what each run misses, split into its parts, and the verdict."""
    header = ["run", "missed", "error size", "crowding", "shared directions", "particular functions"]
    header += ["crowding's share", "near bodies' share", "verdict"]
    rows = [
        [
            name,
            *(f"{100 * value:.1f}" for value in (1 - plateau.rank10, *vars(plateau.parts).values())),
            *("—" if share is None else str(share) for share in (plateau.crowding, plateau.near)),
            plateau.verdict,
        ]
        for name, plateau in plateaus.items()
    ]
    return markdown_table(header, rows)


def experiment_of(name: str) -> str:
    """Return the experiment of a run that `measure_ceiling` has named with its seed."""
    return name.rsplit(", seed", 1)[0]


def first_of_each(plateaus: Mapping[str, Plateau]) -> dict[str, Plateau]:
    """Return one plateau of each experiment, its first seed's: the table has them all."""
    first = {experiment_of(name): name for name in reversed(list(plateaus))}
    return {name: plateau for name, plateau in plateaus.items() if first[experiment_of(name)] == name}


def ceiling_text(ceiling: Ceiling) -> list[str]:
    """Return the paragraphs and tables of a ceiling, as Markdown."""
    geometry = ceiling.geometry
    paragraphs = [
        f"How good could any student be among the {geometry.bodies:,} {ceiling.split} bodies in this teacher's space? "
        f"{100 * geometry.duplicates:.1f} % of them have an exact copy in the pool. Centering and whitening are fitted "
        "on train.",
        geometry_table(geometry),
        "Rank@10, in percent, of simulated predictions at a given cosine to the true body; columns say where their "
        f"errors point. Real predictions are those of {ceiling.errors_of}, on val.",
        curve_table(ceiling.curves),
    ]
    if ceiling.plateaus:
        paragraphs += [
            "Is a plateau due to structural ambiguity in the teacher, or to student error? Misses at Rank@10 in "
            "points, as parts that add up: the size of the error in an evenly spread space; crowding, which is the "
            "teacher's; directions that errors share; and particular functions that are taken for the true one. The "
            "verdict needs both shares, with their whole intervals, on one side of one half. Student error includes "
            "what no signature can tell.",
            plateau_table(ceiling.plateaus),
            "\n".join(f"- {name}: {plateau.sentence()}" for name, plateau in first_of_each(ceiling.plateaus).items()),
        ]
    return paragraphs
