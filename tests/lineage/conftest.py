"""A real chain on `data=tiny`, copied so that a test can tamper with it."""

import shutil

import pytest
import torch

from sigjepa.training.provenance import provenance, write_file_digests, write_provenance


@pytest.fixture
def chain(tiny_datamodule, tiny_data_dir, tmp_path):
    """A run directory with a checkpoint, made from the artifacts below `data` beside it; returns the two folders."""
    data, run_dir = tmp_path / "data", tmp_path / "runs" / "one"
    shutil.copytree(tiny_data_dir, data, ignore=shutil.ignore_patterns("*.lock", "judgements"))
    artifacts = tiny_datamodule.data
    config = {"name": "exp2_1", "seed": 0, "paths": {"run_dir": str(run_dir)}}
    (run_dir / "checkpoints").mkdir(parents=True)
    write_provenance(run_dir, provenance(config, 0, artifacts.hashes(), data, None, artifacts.upstream()))
    torch.save(
        {"hyper_parameters": config, "epoch": 1, "global_step": 2, "state_dict": {"w": torch.ones(3)}},
        run_dir / "checkpoints" / "best.ckpt",
    )
    (run_dir / "metrics.csv").write_text("epoch\n0\n")
    write_file_digests(run_dir)
    return run_dir, data
