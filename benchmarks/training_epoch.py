"""A training epoch of `sigjepa.train` against a bare PyTorch loop of the same model on batches already in memory.

    python benchmarks/training_epoch.py                       # data=quick, experiment=exp1_4
    python benchmarks/training_epoch.py data=tiny --repeats 5

Both train the same student on the same functions in the same batches, turn about; the loop is the limit: it neither
loads, pads nor logs. The aim is a speed of at least 0.85 of the loop's.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import hydra
import lightning
import torch
from lightning import Callback
from torch import nn
from torch.nn import functional as F

from sigjepa.data.batch import Batch
from sigjepa.data.datamodule import FunctionDataModule
from sigjepa.pipeline import pipeline_of
from sigjepa.reporting.tables import markdown_table
from sigjepa.runtime.config_files import config_directory
from sigjepa.runtime.instantiate import instantiate
from sigjepa.store.files import write_json
from sigjepa.training.module import SigJepaModule
from sigjepa.training.optimizer import parameter_groups

AIM = 0.85


class EpochTimer(Callback):
    """Seconds from the first batch of the training epoch to its end."""

    seconds = 0.0

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock."""
        self.seconds = -time.perf_counter()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Stop the clock."""
        self.seconds += time.perf_counter()


def framework_epoch(config: Any, datamodule: FunctionDataModule) -> float:
    """Seconds of one epoch as `sigjepa.train` runs it, loader, loss terms, clipping and logging included."""
    lightning.seed_everything(0, verbose=False)
    module = SigJepaModule(
        instantiate(config.model, teacher_dim=datamodule.data.shards.dim),
        instantiate(config.loss),
        instantiate(config.optimizer),
        instantiate(config.scheduler),
    )
    timer = EpochTimer()
    trainer = lightning.Trainer(
        accelerator=config.trainer.accelerator,
        devices=1,
        max_epochs=1,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        gradient_clip_val=config.trainer.gradient_clip_val,
        callbacks=[timer],
    )
    trainer.fit(module, train_dataloaders=datamodule.train_dataloader())
    return timer.seconds


def bare_epoch(config: Any, batches: list[Batch], dim: int) -> float:
    """Seconds of one epoch of the plainest loop that trains the same student with the same equation."""
    lightning.seed_everything(0, verbose=False)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model: nn.Module = instantiate(config.model, teacher_dim=dim).to(device)
    log_temperature = nn.Parameter(torch.tensor(0.07, device=device).log())
    optimizer = instantiate(config.optimizer)([*parameter_groups(model), {"params": [log_temperature]}])
    scheduler = instantiate(config.scheduler)(optimizer, len(batches))
    batches = [(b.signature_states.to(device), b.signature_mask.to(device), b.body_pooled.to(device)) for b in batches]
    parameters = [*model.parameters(), log_temperature]
    started = time.perf_counter()
    for states, mask, bodies in batches:
        prediction = model(states, mask).pooled
        logits = F.normalize(prediction, dim=-1) @ F.normalize(bodies, dim=-1).T / log_temperature.exp()
        loss = F.cross_entropy(logits, torch.arange(len(bodies), device=device))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, config.trainer.gradient_clip_val)
        optimizer.step()
        scheduler.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="overrides of the training config, e.g. data=tiny")
    parser.add_argument("--repeats", type=int, default=5, help="counted epochs of each, after one warm-up (default 5)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/training_epoch.json"))
    options = parser.parse_args(words)
    with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = hydra.compose("train", ["experiment=exp1_4", "logger=none", "seed=0", *options.overrides])
    data = pipeline_of(config).get()
    datamodule: FunctionDataModule = instantiate(config.data, data=data)
    batches = list(datamodule.train_dataloader())
    pairs = [
        (framework_epoch(config, datamodule), bare_epoch(config, batches, data.shards.dim))
        for _ in range(options.repeats + 1)
    ][1:]
    ratios = [bare / framework for framework, bare in pairs]
    result = {
        "functions": sum(len(batch) for batch in batches),
        "framework_seconds": statistics.median(framework for framework, _ in pairs),
        "bare_seconds": statistics.median(bare for _, bare in pairs),
        "speed_of_bare_loop": statistics.median(ratios),
        "ratios": ratios,
        "aim": AIM,
    }
    write_json(options.output, result)
    row = [f"{result[key]:.3f}" for key in ("framework_seconds", "bare_seconds", "speed_of_bare_loop", "aim")]
    row.append(f"{min(ratios):.3f} to {max(ratios):.3f}")
    print(markdown_table(["sigjepa (s)", "bare loop (s)", "speed of bare loop", "aim", "range"], [row]))


if __name__ == "__main__":
    main()
