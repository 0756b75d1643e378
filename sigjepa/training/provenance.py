"""From which code, versions, config and artifacts a run came."""

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sigjepa.artifacts import content_key

PACKAGES = ("sigjepa", "torch", "lightning", "transformers", "hydra-core", "omegaconf", "faiss-cpu", "safetensors")


def git_state(folder: Path) -> dict[str, Any]:
    """SHA and dirty flag of the checkout that holds `folder`; SHA None where there is none."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
        except (FileNotFoundError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    # an installed package lies inside somebody else's checkout as often as not: only a tracked file counts
    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return {"sha": None, "dirty": None}
    status = git("status", "--porcelain", "--untracked-files=no")
    return {"sha": git("rev-parse", "HEAD"), "dirty": bool(status)}


def package_versions() -> dict[str, str | None]:
    """Installed versions of what decides a result; None for what is not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return versions


def provenance(
    config: dict[str, Any],
    seed: int,
    artifacts: dict[str, str | None],
    data_dir: Path,
    hard_negatives: dict[str, str] | None = None,
) -> dict[str, Any]:
    """The content of `provenance.json`.

    config: resolved. artifacts: hash of the corpus, folder names of corpus, shards and negatives below `data_dir`.
    hard_negatives: the summary table of their index.
    """
    return {
        "command": sys.argv,
        "git": git_state(Path(__file__).resolve().parents[1]),
        "versions": package_versions(),
        "platform": platform.platform(),
        "config_hash": content_key(config),
        "config": config,
        "artifacts": artifacts,
        "data_dir": str(data_dir.resolve()),
        "hard_negatives": hard_negatives,
        "seed": seed,
    }
