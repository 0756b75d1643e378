"""Baselines and the teacher's ceiling without training a student: `python -m sigjepa.evaluate baseline=all`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from sigjepa.errors import SigjepaError
from sigjepa.runtime.command import hydra_job, run_command
from sigjepa.runtime.instantiate import RUN_KEYS, check_keys, plain
from sigjepa.runtime.terminal import show
from sigjepa.store.files import write_json

if TYPE_CHECKING:
    from sigjepa.reporting.runs import Run


def evaluate(config: DictConfig) -> None:
    """Measure the baselines that `baseline` names, and the ceiling that the teacher's space sets, and print both."""
    import torch

    from sigjepa.evaluation.ceiling import fit_residuals
    from sigjepa.evaluation.metrics import build_metrics
    from sigjepa.evaluation.pools import check_held_out, read_pools
    from sigjepa.pipeline import pipeline_of
    from sigjepa.reporting.ceilings import Ceiling, ceiling_text, measure_ceiling, measure_space
    from sigjepa.reporting.tables import baseline_table
    from sigjepa.training.run_directory import baseline_figures, write_baselines

    resolved = plain(config)
    check_keys(resolved, (*RUN_KEYS, "run", "split"))
    check_held_out(resolved["split"])
    metrics = build_metrics(resolved["metrics"], resolved["monitor"], resolved["allowed_targets"])
    run = finished_run(Path(resolved["run"])) if resolved["run"] else None
    pipeline = pipeline_of(config)
    data = pipeline.get()
    if run is not None and run.pool() != data.corpus.hash:
        raise SigjepaError(
            f"{run.folder} was trained on the corpus {run.pool()}, but this command composes {data.corpus.hash}; "
            "give the same data= and corpus= as the run had."
        )
    pools = read_pools(data.corpus, data.shards)
    baselines = pipeline.measure_baselines(data)
    output, split = Path(resolved["paths"]["run_dir"]), resolved["split"]
    write_baselines(output, baselines, metrics)
    ids = {name: torch.from_numpy(pool.ids) for name, pool in pools.items()}
    if run is not None:
        ceiling = measure_ceiling([run], data.targets, ids["train"], split)
    else:  # the errors of the teacher's own signature embedding stand in for a student's
        residuals = fit_residuals(pools["val"].signature_pooled, pools["val"].body_pooled, ids["val"])
        space = measure_space(data.targets, ids["train"], ids[split], residuals)
        ceiling = Ceiling(split, "the teacher's own signature embedding", *space, {})
    write_json(output / "ceiling.json", ceiling.as_dict())
    show(
        baseline_table(baseline_figures(baselines, metrics), metrics, resolved["monitor"]),
        *ceiling_text(ceiling),
        f"written to {output}",
    )


def finished_run(folder: Path) -> Run:
    """Return the run in `folder`; raises SigjepaError when it is not finished."""
    from sigjepa.reporting.runs import FINISHED, read_run

    run = read_run(folder)
    if run.status != FINISHED:
        raise SigjepaError(f"{folder} is no finished run ({run.status}: {run.reason}); give run= another one.")
    return run


def main() -> None:
    """Run the command of `sys.argv`."""
    run_command("evaluate", lambda: hydra_job("evaluate", evaluate))


if __name__ == "__main__":
    main()
