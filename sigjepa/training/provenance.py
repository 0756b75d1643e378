"""From which code, versions, config and artifacts a run came, and every start that it had."""

import logging
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from sigjepa.runtime.status import FILE_NAME as STATUS_FILE
from sigjepa.store.files import atomic_path, file_digest, read_json, write_json
from sigjepa.store.git_state import Diff, code_diff, git_state
from sigjepa.store.manifest import Reference, content_key, differences
from sigjepa.store.origin import command_line, now, package_versions
from sigjepa.training.run_file_names import FILES_FILE, PROVENANCE_FILE

log = logging.getLogger(__name__)

PACKAGES = (
    *("sigjepa", "torch", "lightning", "transformers", "hydra-core", "omegaconf"),
    *("faiss-cpu", "safetensors", "numpy", "scipy", "bm25s"),
)
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUBLAS_WORKSPACE_CONFIG", "PYTHONHASHSEED", "CUDA_VISIBLE_DEVICES")
DECIDE = ("versions", "environment")
"""Parts of a start that decide a result beside the code."""
RUN_FILE_PATTERNS = (
    "*.csv",
    "*.npz",
    "*.json",
    "*.diff",
    "baselines/*.npz",
    "checkpoints/*.ckpt",
    "negatives/*/*",
    "student/*",
)


def provenance(
    config: dict[str, Any],
    seed: int,
    artifacts: dict[str, str | None],
    data_dir: Path,
    hard_negatives: dict[str, str] | None = None,
    upstream: Mapping[str, Reference] | None = None,
) -> dict[str, Any]:
    """Return the content of `provenance.json`.

    config: resolved. artifacts: hash of the corpus, folder names of corpus, shards and negatives below `data_dir`.
    hard_negatives: the summary table of their index. upstream: those artifacts by folder and digest.
    """
    return {
        "command": command_line(),
        "time": now(),
        "git": git_state(),
        "versions": package_versions(PACKAGES),
        "platform": platform.platform(),
        "environment": environment(),
        "config_hash": content_key(config),
        "config": config,
        "artifacts": artifacts,
        "upstream": {name: asdict(reference) for name, reference in (upstream or {}).items()},
        "data_dir": str(data_dir.resolve()),
        "hard_negatives": hard_negatives,
        "seed": seed,
    }


def environment() -> dict[str, Any]:
    """Return what decides a result beside code and versions: threads, flags of determinism, precision, and the
    device.
    """
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    return {
        "device": device,
        "cuda": torch.version.cuda,
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def write_provenance(run_dir: Path, facts: Mapping[str, Any]) -> None:
    """Write `provenance.json` with this start added to `started`, and the diff of code that is not as committed.

    A run that is continued keeps the starts before, so that one continued by other code says so; a warning says both.
    """
    path = run_dir / PROVENANCE_FILE
    (run_dir / FILES_FILE).unlink(missing_ok=True)  # of the files of an earlier start, which change from here on
    earlier = read_json(path).get("started", []) if path.exists() else []
    git = dict(facts["git"])
    if git["dirty"]:
        git["diff"] = write_diff(run_dir)
        log.warning(
            "The code is not as committed (%s): what was changed is kept in %s.%s",
            str(git["sha"])[:12],
            run_dir / git["diff"]["file"],
            f" Left out of it: {', '.join(git['diff']['left_out'])}." if git["diff"]["left_out"] else "",
        )
    start = {key: facts[key] for key in ("time", "command", "versions", "environment", "config_hash")} | {"git": git}
    if earlier and code_of(earlier[-1]["git"]) != code_of(git):
        log.warning("This run is continued by other code than it was started with; provenance.json keeps both.")
    if earlier and (changes := differences(*({key: each[key] for key in DECIDE} for each in (earlier[-1], start)))):
        log.warning(
            "This run is continued elsewhere than it was interrupted (%s): its figures may differ from those of a run "
            "that was not. provenance.json keeps both.",
            "; ".join(f"{each.key} was {each.have}, is {each.want}" for each in changes),
        )
    write_json(path, {**facts, "git": git, "started": [*earlier, start]})


def code_of(git: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return what two starts by the same code have in common: commit, and digest of the diff."""
    return git.get("sha"), (git.get("diff") or {}).get("digest")


def write_diff(run_dir: Path) -> dict[str, Any]:
    """Keep the diff of the code beside a run, once for each content; its file, digest, size, and what it lacks."""
    diff: Diff = code_diff()
    for number in range(1, 10_000):
        path = run_dir / ("provenance.diff" if number == 1 else f"provenance-{number}.diff")
        if not path.exists():
            with atomic_path(path) as temporary:
                temporary.write_bytes(diff.content)
        if path.read_bytes() == diff.content:
            break
    return {
        "file": path.name,
        "digest": file_digest(path),
        "bytes": len(diff.content),
        "left_out": diff.left_out,
    }


def write_file_digests(run_dir: Path) -> None:
    """Write `files.json`: the digest of everything that a finished run leaves, by its path in the run directory."""
    found = {
        path
        for pattern in RUN_FILE_PATTERNS
        for path in run_dir.glob(pattern)
        if path.name not in (FILES_FILE, STATUS_FILE)
    }
    files = {path.relative_to(run_dir).as_posix(): file_digest(path) for path in sorted(found) if path.is_file()}
    write_json(run_dir / FILES_FILE, {"time": now(), "files": files})
