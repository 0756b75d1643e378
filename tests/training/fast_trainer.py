"""`sigjepa.train` but for the training: its config, its folders, its record of jobs; a job takes no time."""

import os
from pathlib import Path

from sigjepa.errors import SigjepaError
from sigjepa.runtime.command import hydra_job
from sigjepa.store.files import read_json
from sigjepa.training.job import begin_job, earlier_job, experiment_settings, job_settings
from sigjepa.training.run_status import recorded_status, write_summary


def work(config):
    run_dir = Path(config.paths.run_dir)
    settings = job_settings(config)
    earlier = earlier_job(run_dir, settings, config.resume)
    if begin_job(run_dir, settings, {}, earlier, experiment_settings(config)).finished:
        return read_json(run_dir / "summary.json")["value"]
    with recorded_status(run_dir, {}):
        print(f"trained seed={config.seed} dropout={config.model.dropout}", flush=True)
        if str(config.seed) == os.environ.get("KILLED_AT"):
            raise SystemExit(143)
        if config.seed == 13:
            raise SigjepaError("The loss is not finite.")
        write_summary(run_dir / "summary.json", {"status": "finished", "value": float(config.seed)})
    return float(config.seed)


def main():
    hydra_job("train", work)
