"""Baselines and the teacher's ceiling without training a student: `python -m sigjepa.evaluate baseline=all`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from sigjepa.errors import SigjepaError
from sigjepa.runtime.command import hydra_job, run_command
from sigjepa.runtime.instantiate import RUN_KEYS, check_keys, plain
from sigjepa.runtime.terminal import show
from sigjepa.store.files import write_json

if TYPE_CHECKING:
    from sigjepa.data.training_data import TrainingData
    from sigjepa.reporting.run import Run


def evaluate(config: DictConfig) -> None:
    """Measure the baselines that `baseline` names, and the ceiling that the teacher's space sets, and print both."""
    import torch
    from hydra.core.hydra_config import HydraConfig

    from sigjepa.evaluation.baseline_stage import measure_baselines
    from sigjepa.evaluation.baselines import baseline_names
    from sigjepa.evaluation.ceiling import fit_residuals
    from sigjepa.evaluation.metrics import build_metrics
    from sigjepa.evaluation.pools import check_held_out, read_pools
    from sigjepa.pipeline import pipeline_of
    from sigjepa.reporting.ceilings import Ceiling, ceiling_text, measure_ceiling, measure_space
    from sigjepa.reporting.run_check import check_figures, refuse_other_settings
    from sigjepa.reporting.tables import baseline_table
    from sigjepa.training.run_directory import baseline_figures, write_baselines

    resolved = plain(config)
    check_keys(resolved, (*RUN_KEYS, "run", "split"))
    check_held_out(resolved["split"])
    run = finished_run(Path(resolved["run"])) if resolved["run"] else None
    if run is not None:
        settings_of_hydra: Any = HydraConfig.get()
        refuse_other_settings(run, resolved, settings_of_hydra)
    settings = resolved if run is None else run.config
    metrics = build_metrics(settings["metrics"], settings["monitor"], resolved["allowed_targets"])
    if run is None:
        pipeline = replace(pipeline_of(config), negatives=None)  # nothing here is measured by them
        data = pipeline.get()
    else:
        data = data_of_run(run, config)
        check_figures(run, data.targets.whole(), metrics)
    baselines = measure_baselines(baseline_names(config.baseline), data)
    pools, targets = read_pools(data.corpus, data.shards, sample=data.pool), data.targets.whole()
    output, split = Path(resolved["paths"]["run_dir"]), resolved["split"]
    write_baselines(output, baselines, metrics)
    ids = {name: torch.from_numpy(pool.ids) for name, pool in pools.items()}
    if run is not None:
        ceiling = measure_ceiling([run], targets, ids["train"], split)
    else:  # the errors of the teacher's own signature embedding stand in for a student's
        residuals = fit_residuals(pools["val"].signature_pooled, pools["val"].body_pooled, ids["val"])
        space = measure_space(targets, ids["train"], ids[split], residuals)
        ceiling = Ceiling(split, "the teacher's own signature embedding", *space, {})
    figures = baseline_figures(baselines, metrics)
    write_json(output / "ceiling.json", ceiling.as_dict())
    show(
        baseline_table(figures, metrics, settings["monitor"], data.pool.sample_texts(data.corpus)),
        *ceiling_text(ceiling),
        f"written to {output}",
    )


def data_of_run(run: Run, config: DictConfig) -> TrainingData:
    """Return the artifacts that a run was trained on, from where they lay then or, if they are there, below data_dir.

    Raises SigjepaError when they are in neither place, or not those of the run.
    """
    from sigjepa.data.pool_sample import PoolSample
    from sigjepa.data.training_data import TrainingData
    from sigjepa.reporting.evidence import open_evidence
    from sigjepa.runtime.instantiate import instantiate
    from sigjepa.store.store import Store

    places = [Path(config.paths.data_dir), Path(run.provenance["data_dir"])]
    names = run.provenance["artifacts"]
    data_dir = next((place for place in places if (place / "corpus" / str(names.get("corpus"))).is_dir()), places[1])
    evidence = open_evidence(run, data_dir)
    store = Store(data_dir, instantiate(config.executor, list(config.allowed_targets)), config.verify)
    settings = run.config["data"]
    pool = PoolSample(settings.get("pool_size"), settings.get("pool_seed", 0))  # earlier runs had whole splits
    return TrainingData(evidence.corpus, evidence.shards, store, pool=pool)


def finished_run(folder: Path) -> Run:
    """Return the run in `folder`; raises SigjepaError when it is not finished."""
    from sigjepa.reporting.runs import FINISHED, read_run

    run = read_run(folder)
    if run.status != FINISHED:
        raise SigjepaError(f"{folder} is no finished run ({run.status}: {run.reason}); give run= another one.")
    return run


def main() -> None:
    """Run the command of `sys.argv`."""
    run_command("evaluate", lambda: hydra_job("evaluate", evaluate, ["lightning"]))


if __name__ == "__main__":
    main()
