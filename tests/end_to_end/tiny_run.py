"""A run of a few steps through Lightning and W&B, in a process of its own: `python tiny_run.py <run dir> <epochs>`."""

import argparse
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

from sigjepa.training.loggers import logger_session, wandb_logger
from sigjepa.training.wandb_records import log_report, log_tables, result_rows, statistic_rows


class Line(lightning.LightningModule):
    """Fits one number, and logs under the names of a real run."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, batch_index):
        loss = (batch[0] - self.weight).square().mean()
        self.log_dict({"train/loss": loss, "train/infonce": loss, "train/infonce_temperature": 0.07})
        return loss

    def validation_step(self, batch, batch_index):
        self.log("val/rank10", (self.current_epoch + 1) / 10)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("epochs", type=int)
    parser.add_argument("--log-checkpoints", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    run_dir = arguments.run_dir
    logger = wandb_logger(
        project="project",
        name="seed=0",
        group="sweep",
        save_dir=str(run_dir),
        tags={"experiment": "exp1_4", "loss": ["infonce"], "teacher": "minilm"},
        log_checkpoints=arguments.log_checkpoints,
        init_timeout=2,
        finish_timeout=2,
    )
    logger.summaries = {"val/rank10": "max"}
    checkpoint = ModelCheckpoint(dirpath=run_dir / "checkpoints", filename="best", save_last=True, monitor="val/rank10")
    last = run_dir / "checkpoints" / "last.ckpt"
    loader = DataLoader(TensorDataset(torch.ones(8, 1)), batch_size=4)
    with logger_session([logger]) as loggers:
        trainer = lightning.Trainer(
            max_epochs=arguments.epochs,
            logger=loggers,
            callbacks=[checkpoint],
            accelerator="cpu",
            log_every_n_steps=1,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        if arguments.table:
            log_tables(loggers, {"hard_negatives": statistic_rows({"Total pairs": "12"})})
        trainer.fit(Line(), loader, loader, ckpt_path=last if last.exists() else None, weights_only=True)
        if arguments.table:
            log_tables(loggers, {"results": result_rows({"exp1_4": {"test/mrr": 0.5}, "random": {"test/mrr": 0.1}})})
    if arguments.figure:
        results = result_rows({"exp1_4": {"test/mrr": 0.5}})
        log_report(run_dir / "report", "project", "sweep", {"curves": arguments.figure}, {"results": results})
    print(f"trained to step {trainer.global_step}")


if __name__ == "__main__":
    main()
