"""Train, select on val, test the best checkpoint once: `python -m sigjepa.train experiment=hardneg_curriculum`."""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from sigjepa.runtime.command import hydra_job, run_command
from sigjepa.runtime.foreign_lines import print_lightning_lines_once
from sigjepa.runtime.instantiate import RUN_KEYS, check_keys, instantiate, plain
from sigjepa.runtime.processes import is_first_process
from sigjepa.runtime.terminal import show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sigjepa.data.datamodule import FunctionDataModule
    from sigjepa.data.training_data import TrainingData
    from sigjepa.evaluation.baseline import Baseline
    from sigjepa.evaluation.metrics import Metrics
    from sigjepa.reporting.run import Run
    from sigjepa.training.job import ResumePoint

log = logging.getLogger(__name__)


def train(config: DictConfig) -> float:
    """Train and test from a composed config, fill the run directory, and return the best value of `monitor`."""
    from sigjepa.evaluation.metrics import build_metrics
    from sigjepa.pipeline import check, pipeline_of
    from sigjepa.reporting.runs import read_run
    from sigjepa.training import component_check as checks
    from sigjepa.training import job as jobs
    from sigjepa.training.process_check import lost_process_named
    from sigjepa.training.run_status import recorded_refusal, recorded_status

    with recorded_refusal(config) if (first := is_first_process()) else nullcontext():
        resolved = plain(config)
        check_keys(resolved, RUN_KEYS)
        check(config)
        jobs.check_resume(resolved["resume"])
        checks.check_settings(resolved)
        metrics = build_metrics(resolved["metrics"], resolved["monitor"], resolved["allowed_targets"])
        checks.check_selection(resolved, metrics)
        checks.check_beginnings(resolved, metrics)
        checks.check_module(resolved, (pipeline := pipeline_of(config)).teacher.dim, metrics)
    run_dir = Path(resolved["paths"]["run_dir"])
    facts: dict[str, Any] = {"experiment": resolved["name"], "seed": resolved["seed"], "fold": resolved["fold"]}
    with jobs.run_lock(run_dir) if first else nullcontext():
        settings = jobs.job_settings(config)
        earlier = jobs.earlier_job(run_dir, settings, resolved["resume"])
        if first and earlier is None:
            jobs.forget_checkpoint(run_dir)
        # what an earlier job has recorded stays until it is known whether this one goes on with it
        with recorded_status(run_dir, facts) if first and earlier is None else nullcontext():
            data = pipeline.get()
        job = (settings, data.hashes(), earlier, jobs.experiment_settings(config))
        start = jobs.begin_job(run_dir, *job) if first else jobs.start_of(run_dir, earlier)
        if start.finished:
            log.info("%s is finished: nothing to do. resume=never trains it anew.", run_dir)
            return read_run(run_dir).figure(resolved["monitor"])
        with recorded_status(run_dir, facts) if first else nullcontext(), lost_process_named():
            baselines = pipeline.measure_baselines(data) if first else {}
            return fit_and_test(config, resolved, data, baselines, metrics, start, facts)


def fit_and_test(
    config: DictConfig,
    resolved: dict[str, Any],
    data: TrainingData,
    baselines: Mapping[str, Baseline],
    metrics: Metrics,
    start: ResumePoint,
    facts: dict[str, Any],
) -> float:
    """Train from `start`, select on val, test once, and write what the run directory holds; the best `monitor`."""
    import lightning

    from sigjepa.reporting.logged import log_run
    from sigjepa.reporting.tables import baseline_table, figures_table, results_table
    from sigjepa.serving.run_student import finish_run
    from sigjepa.training import run_directory as files
    from sigjepa.training.best_checkpoint import evaluate_best
    from sigjepa.training.callbacks import build_callbacks
    from sigjepa.training.component_check import check_negatives, components_of, never_began, warn_of_slow_precision
    from sigjepa.training.loggers import logger_session
    from sigjepa.training.module import build_module
    from sigjepa.training.provenance import provenance, write_provenance
    from sigjepa.training.resume import ResumeCheckpoint
    from sigjepa.training.wandb_records import log_identity, log_tables, statistic_rows

    started, run_dir, allowed = time.perf_counter(), Path(resolved["paths"]["run_dir"]), resolved["allowed_targets"]
    datamodule: FunctionDataModule = instantiate(config.data, allowed, data=data)
    facts |= datamodule.figures()
    data = datamodule.data  # with the sample of train, whose statistics the student keeps
    sampled = data.pool.sample_texts(data.corpus)
    show(figures_table(facts, sampled))
    print_lightning_lines_once()
    # only now: building an artifact may draw random numbers, opening it does not
    lightning.seed_everything(resolved["seed"], workers=True, verbose=False)
    module = build_module(resolved, data.shards.dim, metrics)
    facts["parameters"] = sum(parameter.numel() for parameter in module.model.parameters())
    callbacks = build_callbacks(resolved["callbacks"], metrics, allowed)
    components = components_of(dict(module.losses.items()), resolved["callbacks"], callbacks)
    check_negatives(components, data)
    with logger_session(list((instantiate(config.logger, allowed) or {}).values())) as loggers:
        log_identity(loggers, config)
        trainer: lightning.Trainer = instantiate(config.trainer, allowed, callbacks=callbacks, logger=loggers)
        warn_of_slow_precision(trainer)
        if trainer.is_global_zero:
            mined = data.hard_negatives.summary_rows() if data.hard_negatives is not None else None
            origin = (resolved, resolved["seed"], data.hashes(), data.store.data_dir, mined, data.references())
            write_provenance(run_dir, provenance(*origin))
            files.write_metrics(run_dir, metrics, resolved["monitor"])
            files.write_baselines(run_dir, baselines, metrics)
            show(baseline_table(files.baseline_figures(baselines, metrics), metrics, resolved["monitor"], sampled))
            log_tables(loggers, {"hard_negatives": statistic_rows(mined or {})})
        trainer.fit(module, datamodule=datamodule, ckpt_path=start.checkpoint, weights_only=True)
        figures = evaluate_best(trainer, module, datamodule)
        earlier_seconds = sum(each.earlier_seconds for each in callbacks if isinstance(each, ResumeCheckpoint))
        wall = {"wall_seconds": round(earlier_seconds + time.perf_counter() - started, 1)}
        facts |= never_began(components, int(figures["best_epoch"])) | figures | wall
        if trainer.is_global_zero:
            run = finish_run(run_dir, facts, resolved, module.model, module.evaluated, data)
            show(results_table([run]), f"run directory: {run_dir}")
            log_run(loggers, run, data.corpus)
    return figures[resolved["monitor"]]


def run_experiment(config: DictConfig) -> Run:
    """Train, select and test what `sigjepa.compose` composed, as the command does, and return the finished run."""
    from sigjepa.reporting.runs import read_run

    train(config)
    return read_run(Path(config.paths.run_dir))


def main() -> None:
    """Run the command of `sys.argv`."""
    run_command("train", lambda: hydra_job("train", train, ["lightning"]))


if __name__ == "__main__":
    main()
