"""The code that runs: its commit, whether it is as committed, and what was changed since."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sigjepa.store.credentials import holds_credential

PACKAGE = Path(__file__).resolve().parents[1]
UNTRACKED = ("sigjepa", "conf")  # where an untracked file decides what a run does
SUFFIXES = (".py", ".yaml")
MAX_DIFF_BYTES = 5_000_000
GIT = ("git", "--no-replace-objects")  # a commit's id is to name the code that was committed


def environment_without_git() -> dict[str, str]:
    """Return this process's environment without the variables by which a hook or a caller points git elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def git(folder: Path, *arguments: str) -> bytes | None:
    """Return what a git command in `folder` printed; None where git, the repository or the object is missing."""
    command = [*GIT, "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=True, env=environment_without_git()).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None


def git_state(folder: Path = PACKAGE) -> dict[str, Any]:
    """Return the SHA and dirty flag of the checkout that holds the package `folder`; None where there is none.

    A new `.py` or `.yaml` file that git does not know is dirt as well: it can decide what a run does.
    """
    # an installed package lies inside somebody else's checkout as often as not: only a tracked file counts
    if git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return {"sha": None, "dirty": None}
    status = git(folder, "status", "--porcelain", "--untracked-files=no")
    sha = (git(folder, "rev-parse", "HEAD") or b"").decode().strip()
    return {"sha": sha or None, "dirty": bool((status or b"").strip()) or bool(untracked(root_of(folder)))}


@cache
def code_state() -> dict[str, Any]:
    """Return `git_state` of this package, asked for once a process: the code that was imported does not change any
    more.
    """
    return git_state(PACKAGE)


def root_of(folder: Path) -> Path:
    """Return the top folder of the checkout that holds `folder`."""
    return Path((git(folder, "rev-parse", "--show-toplevel") or str(folder).encode()).decode().strip())


def untracked(root: Path) -> list[str]:
    """Return the files below `sigjepa/` and `conf/` that git neither tracks nor ignores, as paths from the root."""
    present = [name for name in UNTRACKED if (root / name).is_dir()]
    if not present:
        return []
    listing = git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", *present) or b""
    paths = [path.decode("utf-8", "surrogateescape") for path in listing.split(b"\0") if path]
    return sorted(path for path in paths if path.endswith(SUFFIXES))


@dataclass(frozen=True)
class Diff:
    """The diff that makes the commit the code that ran, for `git apply`, and what was left out of it and why."""

    content: bytes
    left_out: dict[str, str]


def code_diff(folder: Path = PACKAGE, max_bytes: int = MAX_DIFF_BYTES) -> Diff:
    """Return the changes of tracked files since the commit, and the untracked ones of `untracked` as new files.

    A file whose changes hold what looks like a key or a password is left out, and what is over `max_bytes` in all.
    """
    root = root_of(folder)
    names = git(root, "diff", "HEAD", "--name-only", "--no-renames", "-z") or b""
    tracked = [path.decode("utf-8", "surrogateescape") for path in names.split(b"\0") if path]
    parts: list[bytes] = []
    left_out: dict[str, str] = {}
    size = 0
    for path in [*tracked, *untracked(root)]:
        part = changes(root, path, new=path not in tracked)
        if holds_credential(part.decode("utf-8", "replace")):
            left_out[path] = "it holds what looks like a key or a password"
        elif size + len(part) > max_bytes:
            left_out[path] = f"the diff would be over {max_bytes:,} bytes"
        else:
            parts.append(part)
            size += len(part)
    return Diff(b"".join(parts), left_out)


def changes(root: Path, path: str, *, new: bool) -> bytes:
    """Return the diff of one file; git ends with 1 where two files differ, so its status is not asked."""
    compared: Sequence[str] = ("--no-index", "--", "/dev/null", path) if new else ("HEAD", "--", path)
    options = ("--binary", "--no-renames", "--no-ext-diff", "--no-color")
    command = [*GIT, "-C", str(root), "diff", *options, *compared]
    return subprocess.run(command, capture_output=True, check=False, env=environment_without_git()).stdout
