"""Train, select on val, test the best checkpoint once: `python -m sigjepa.train experiment=hardneg_curriculum`."""

import logging
import time
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig

from sigjepa.data.datamodule import FunctionDataModule
from sigjepa.entry import entry_point
from sigjepa.errors import SigjepaError
from sigjepa.evaluation.baselines import measure_baselines
from sigjepa.evaluation.pools import read_pools
from sigjepa.instantiate import RUN_KEYS, check_keys, instantiate, plain
from sigjepa.losses.infonce import InfoNCE
from sigjepa.reporting.plots import plot_curves
from sigjepa.reporting.runs import Run, read_run
from sigjepa.reporting.tables import figures_table, results_table
from sigjepa.training.loggers import finished
from sigjepa.training.module import SigJepaModule
from sigjepa.training.provenance import provenance, write_file_digests, write_provenance
from sigjepa.training.run_directory import recorded_status, write_baselines, write_evaluated, write_summary
from sigjepa.training.wandb_records import log_images, log_tables, result_rows, statistic_rows

log = logging.getLogger(__name__)


def train(config: DictConfig) -> float:
    """One run from a composed config; fills its run directory and returns the best val/rank10."""
    started = time.perf_counter()
    resolved = plain(config)
    check_keys(resolved, RUN_KEYS)
    refuse_distributed_sweep(resolved["trainer"].get("strategy", "auto"))
    run_dir = Path(resolved["paths"]["run_dir"])
    allowed = resolved["allowed_targets"]
    facts: dict[str, Any] = {"experiment": resolved["name"], "seed": resolved["seed"]}
    with recorded_status(run_dir / "summary.json", facts):
        datamodule: FunctionDataModule = instantiate(config.data, allowed)
        datamodule.prepare_data()
        datamodule.setup("fit")
        data = datamodule.artifacts()
        facts |= datamodule.figures()
        log.info("\n%s", figures_table(facts))
        # only now: building an artifact may draw random numbers, opening it does not
        lightning.seed_everything(resolved["seed"], workers=True, verbose=False)
        module = SigJepaModule(
            model=instantiate(config.model, allowed, teacher_dim=datamodule.teacher.dim),
            losses=instantiate(config.loss, allowed),
            optimizer=instantiate(config.optimizer, allowed),
            scheduler=instantiate(config.scheduler, allowed),
            hyperparameters=resolved,
        )
        facts["parameters"] = sum(parameter.numel() for parameter in module.model.parameters())
        callbacks = list(instantiate(config.callbacks, allowed).values())
        with finished(list((instantiate(config.logger, allowed) or {}).values())) as loggers:
            trainer: lightning.Trainer = instantiate(config.trainer, allowed, callbacks=callbacks, logger=loggers)
            if trainer.is_global_zero:
                mined = data.hard_negatives.summary_rows() if data.hard_negatives is not None else None
                write_provenance(
                    run_dir,
                    provenance(
                        *(resolved, resolved["seed"], data.hashes(), datamodule.data_dir, mined, data.upstream())
                    ),
                )
                pools = read_pools(data.corpus, data.shards.signature_pooled, datamodule.targets)
                write_baselines(run_dir, measure_baselines(resolved["baseline"], pools))
                log_tables(loggers, {"hard_negatives": statistic_rows(mined or {})})
            trainer.fit(module, datamodule=datamodule)
            metrics = evaluate_best(trainer, module, datamodule)
            facts |= metrics | {"wall_seconds": round(time.perf_counter() - started, 1)}
            if trainer.is_global_zero:
                write_evaluated(run_dir, module.evaluated)
                write_summary(run_dir / "summary.json", facts | {"status": "finished"})
                write_file_digests(run_dir)
                run = read_run(run_dir)
                print(results_table([run]), f"\nrun directory: {run_dir}", flush=True)
                log_results(loggers, run)
    return metrics["val/rank10"]


def evaluate_best(
    trainer: lightning.Trainer, module: SigJepaModule, datamodule: FunctionDataModule
) -> dict[str, float]:
    """Validate and then test, once, the checkpoint that was best on val; flat metrics, its epoch and temperature."""
    checkpoint = trainer.checkpoint_callback
    if not isinstance(checkpoint, ModelCheckpoint) or not checkpoint.best_model_path:
        raise SigjepaError("No best checkpoint was written: keep callbacks.best_checkpoint (a ModelCheckpoint).")
    path = checkpoint.best_model_path
    stopped_epoch = trainer.current_epoch - 1
    loggers, trainer.loggers = trainer.loggers, []  # their curves have this point already
    (val,) = trainer.validate(module, datamodule=datamodule, ckpt_path=path, verbose=False)
    trainer.loggers = loggers
    (test,) = trainer.test(module, datamodule=datamodule, ckpt_path=path, verbose=False)
    temperatures = [loss.temperature.item() for loss in module.losses.values() if isinstance(loss, InfoNCE)]
    return {
        **val,
        **test,
        "best_epoch": torch.load(path, map_location="cpu", weights_only=True)["epoch"],
        "stopped_epoch": stopped_epoch,
        "temperature": temperatures[0] if temperatures else float("nan"),
        "first_loss": module.first_loss.item(),
    }


def log_results(loggers: list[Logger], run: Run) -> None:
    """Send the result table and the curves to W&B, where that is a logger."""
    if loggers:
        log_tables(loggers, {"results": result_rows({run.experiment: run.summary, **run.baselines})})
        plot_curves([run], run.folder / "figures" / "curves")
        log_images(loggers, {"curves": run.folder / "figures" / "curves.png"})


def refuse_distributed_sweep(strategy: str) -> None:
    """Raise SigjepaError for `-m` with a strategy that starts this command again in every other process."""
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN and strategy == "ddp":
        raise SigjepaError(
            "A sweep (-m) with trainer.strategy=ddp would run the whole sweep again in every other process. "
            "Use trainer.strategy=ddp_spawn, or start the jobs one by one."
        )


main = entry_point("train")(train)

if __name__ == "__main__":
    main()
