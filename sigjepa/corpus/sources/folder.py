"""Python files in folders, each folder a repository."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import xxhash

from sigjepa.corpus.functions import TEST_FOLDERS
from sigjepa.corpus.sources.remote import is_remote
from sigjepa.corpus.sources.source import Repository, python_files, sequence_of_names, unique_names
from sigjepa.corpus.text import writable
from sigjepa.errors import SigjepaError
from sigjepa.store.credentials import without_credentials

LISTING_VERSION = 2
"""Part of the fingerprint: raise it when the same folders give other files."""


def files_repository(name: str, folder: Path, paths: Sequence[str]) -> Repository:
    """Return a repository of files below one folder of the disk, some or all of them."""
    return Repository(writable(name), paths, partial(read_files, folder, paths), folder)


def read_files(folder: Path, paths: Sequence[str], positions: Sequence[int]) -> Iterator[bytes | None]:
    """Yield the contents of the files at `positions` of `paths`; None for one that cannot be read."""
    for position in positions:
        try:
            yield (folder / paths[position]).read_bytes()
        except OSError:  # deleted since it was listed, or not ours to read: counted by the caller
            yield None


def repository_digest(repository: Repository) -> str:
    """Return the hash of all paths and contents."""
    digest = xxhash.xxh3_128()
    for path, content in zip(repository.paths, repository.read(range(len(repository.paths))), strict=True):
        digest.update(f"{path}\0{-1 if content is None else len(content)}\0".encode("utf-8", "surrogateescape"))
        digest.update(content or b"")
    return digest.hexdigest()


@dataclass(frozen=True)
class Folder:
    """Folders as repositories: each of several `paths`, or each sub-folder when one path is given.

    Hidden folders, virtual environments, `site-packages` and links are left out.
    """

    paths: Sequence[str]

    @property
    def name(self) -> str:
        """Short name for the corpus folder."""
        return "folder"

    def fingerprint(self) -> Mapping[str, Any]:
        """Return the digest of each repository's files, and the version of the rules by which they are listed."""
        return {
            "source": self.name,
            "version": LISTING_VERSION,
            "repositories": {found.name: repository_digest(found) for found in self.repositories()},
        }

    def repositories(self) -> list[Repository]:
        """Return the folders; raises SigjepaError for one that does not exist."""
        paths = sequence_of_names(self.paths, "paths")
        if remote := next(filter(is_remote, paths), None):
            raise SigjepaError(
                f"corpus.source.paths={without_credentials(remote)} is an address, and corpus=folder reads folders of "
                "this machine alone: mount or copy it, or write its files as rows to one JSON Lines file, which "
                "corpus=jsonl reads from an address."
            )
        folders = [Path(path).expanduser().resolve() for path in paths]
        for folder in folders:
            if not folder.is_dir():
                raise SigjepaError(f"The folder {folder} does not exist or is not a folder; check corpus.source.paths.")
        if len(folders) == 1:
            return sub_folders(folders[0])
        return [
            files_repository(name, folder, python_files(folder))
            for name, folder in zip(unique_names(folders), folders, strict=True)
        ]


def sub_folders(root: Path) -> list[Repository]:
    """Return the sub-folders of `root` that hold Python files, and `root` itself for the files directly in it."""
    by_folder: dict[str, list[str]] = {}
    for path in python_files(root):
        first, slash, rest = path.partition("/")
        by_folder.setdefault(first if slash else "", []).append(rest if slash else first)
    return [sub_folder(root, name, paths) for name, paths in sorted(by_folder.items())]


def sub_folder(root: Path, name: str, paths: Sequence[str]) -> Repository:
    """Return the repository of a sub-folder of `root`, of the files directly in it for an empty name.

    paths: within it. Those of a folder of tests keep its name, which is all that tells them from other code.
    """
    if name.lower() in TEST_FOLDERS:
        return files_repository(name, root, [f"{name}/{path}" for path in paths])
    return files_repository(name or f"{root.name}/", root / name, paths)
