"""HEADs of git repositories, bare or not, read from the object store without a checkout."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sigjepa.corpus.sources.source import Repository, sequence_of_names, unique_names
from sigjepa.corpus.text import writable
from sigjepa.errors import SigjepaError
from sigjepa.store.git_state import environment_without_git

REGULAR_FILES = frozenset({"100644", "100755"})  # not 120000 (links) and 160000 (submodules)
NO_FETCHING = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": ""}  # older releases of git know the second alone
AS_COMMITTED = {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": os.devnull}
"""A commit's id names its content, whatever `refs/replace` and grafts of a clone put in its place."""


@dataclass(frozen=True)
class GitRepositories:
    """HEAD of each of `paths`, working trees or bare repositories; what is not committed does not count."""

    paths: Sequence[str]

    @property
    def name(self) -> str:
        """Short name for the corpus folder."""
        return "git"

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the commit of each repository's HEAD."""
        commits = {name: head_commit(folder) for name, folder in self.git_folders().items()}
        return {"source": self.name, "repositories": commits}

    def repositories(self) -> list[Repository]:
        """Return the repositories with their Python files; raises SigjepaError for what is not one, or has no HEAD."""
        return [git_repository(name, folder, head_commit(folder)) for name, folder in self.git_folders().items()]

    def git_folders(self) -> dict[str, Path]:
        """Return where each repository's objects are, by name: the folder's, without `.git`, odd bytes spelt out."""
        given = [Path(path).expanduser().resolve() for path in sequence_of_names(self.paths, "paths")]
        plain = [path.parent if path.name == ".git" else path for path in given]
        shown = [path.with_suffix("") if path.suffix == ".git" else path for path in plain]
        names = unique_names(shown if len(set(shown)) == len(set(plain)) else plain)
        # An explicit .git keeps git from taking a folder inside of another repository for that repository.
        folders = [path / ".git" if (path / ".git").exists() else path for path in plain]
        return dict(zip(map(writable, names), folders, strict=True))


def git_repository(name: str, git_folder: Path, commit: str) -> Repository:
    """Return the Python files of one commit; `git_folder` is a bare repository or the `.git` of a working tree."""
    files = python_blobs(git_folder, commit)
    return Repository(name, [path for path, _ in files], partial(read_blobs, git_folder, files), git_folder)


def read_blobs(git_folder: Path, files: Sequence[tuple[str, str]], positions: Sequence[int]) -> Iterator[bytes]:
    """Yield the contents of the files at `positions` of `python_blobs`, all from one `git cat-file --batch`.

    Raises SigjepaError when the repository lacks one of them.
    """
    if not positions:
        return
    with subprocess.Popen(
        git_command(git_folder, "cat-file", "--batch"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=git_environment(),
    ) as process:
        assert process.stdin, "Popen was asked for it"
        assert process.stdout, "Popen was asked for it"
        for path, blob in (files[position] for position in positions):
            # One request at a time: neither side can block on a full pipe.
            process.stdin.write(f"{blob}\n".encode())
            process.stdin.flush()
            header = process.stdout.readline().split()  # <object> blob <size>, or <object> missing
            if len(header) != 3 or header[1] != b"blob":
                raise SigjepaError(
                    f"The git repository {git_folder} lacks the content of {path} (object {blob}): it is damaged or a "
                    f"partial clone. Run `git fsck` or clone it again."
                )
            yield process.stdout.read(int(header[2]) + 1)[:-1]


def head_commit(git_folder: Path) -> str:
    """Return the object name of the commit at HEAD; raises SigjepaError when there is no repository or no commit."""
    try:
        run_git(git_folder, "rev-parse", "--git-dir")
    except subprocess.CalledProcessError as error:
        raise SigjepaError(
            f"{git_folder} is not a git repository ({error_text(error)}); check corpus.source.paths, "
            f"or read it as it lies with corpus=folder."
        ) from None
    try:
        return run_git(git_folder, "rev-parse", "--verify", "HEAD^{commit}").decode().strip()
    except subprocess.CalledProcessError as error:
        raise SigjepaError(
            f"HEAD of the git repository {git_folder} does not exist ({error_text(error)}): it is empty, or HEAD names "
            f"a missing branch. Commit to it, point HEAD at a branch with `git symbolic-ref HEAD refs/heads/<branch>`, "
            f"or take it off corpus.source.paths."
        ) from None


def python_blobs(git_folder: Path, commit: str) -> list[tuple[str, str]]:
    """Return (path, object name) of the regular `.py` files of a commit, sorted by path.

    Raises SigjepaError when the repository lacks the commit or one of its trees.
    """
    try:
        listing = run_git(git_folder, "ls-tree", "-r", "-z", "--full-tree", commit)
    except subprocess.CalledProcessError as error:
        raise SigjepaError(
            f"The files of commit {commit} of the git repository {git_folder} cannot be listed ({error_text(error)}): "
            f"it is damaged or a partial clone. Run `git fsck` or clone it again."
        ) from None
    files = []
    for entry in listing.split(b"\0")[:-1]:
        description, _, path = entry.partition(b"\t")
        mode, _, blob = description.decode().split(" ")
        if mode in REGULAR_FILES and path.endswith(b".py"):
            files.append((path.decode("utf-8", "backslashreplace"), blob))
    return sorted(files)


def run_git(git_folder: Path, *arguments: str) -> bytes:
    """Return what a git command prints; raises CalledProcessError, and SigjepaError when git is not installed."""
    try:
        return subprocess.run(
            git_command(git_folder, *arguments), capture_output=True, check=True, env=git_environment()
        ).stdout
    except FileNotFoundError:
        raise SigjepaError("corpus=git needs the `git` program, which is not installed or not on PATH.") from None


def git_command(git_folder: Path, *arguments: str) -> list[str]:
    """Return the command line for one repository, whatever the current folder is."""
    return ["git", f"--git-dir={git_folder}", *arguments]


def git_environment() -> dict[str, str]:
    """Return the environment in which git reads a repository as it was committed.

    Git fetches what a partial clone lacks, by whatever command the repository's own configuration names: not here.
    """
    return environment_without_git() | {"LC_ALL": "C"} | NO_FETCHING | AS_COMMITTED


def error_text(error: subprocess.CalledProcessError) -> str:
    """Return the first line of what git printed, after its warnings."""
    lines = error.stderr.decode(errors="replace").strip().split("\n")
    return next((line for line in lines if not line.startswith("warning:")), lines[0])
