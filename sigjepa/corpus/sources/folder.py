"""Python files in folders, each folder a repository."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from sigjepa.corpus.sources.source import python_files, sequence_of_names, unique_names
from sigjepa.errors import SigjepaError


@dataclass(frozen=True)
class FilesRepository:
    """Files below one folder of the disk, some or all of them."""

    name: str
    folder: Path
    paths: Sequence[str]

    @property
    def place(self) -> Path:
        """The place of the files."""
        return self.folder

    def read(self, positions: Sequence[int]) -> Iterator[bytes | None]:
        """Yield the contents of the files at `positions` of `paths`; None for one that cannot be read."""
        for position in positions:
            try:
                yield (self.folder / self.paths[position]).read_bytes()
            except OSError:  # deleted since it was listed, or not ours to read: counted by the caller
                yield None

    def digest(self) -> str:
        """Hash of all paths and contents."""
        digest = xxhash.xxh3_128()
        for path, content in zip(self.paths, self.read(range(len(self.paths))), strict=True):
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
        """Return the digest of each repository's files."""
        return {"source": self.name, "repositories": {found.name: found.digest() for found in self.repositories()}}

    def repositories(self) -> list[FilesRepository]:
        """Return the folders; raises SigjepaError for one that does not exist."""
        folders = [Path(path).expanduser().resolve() for path in sequence_of_names(self.paths, "paths")]
        for folder in folders:
            if not folder.is_dir():
                raise SigjepaError(f"The folder {folder} does not exist or is not a folder; check corpus.source.paths.")
        if len(folders) == 1:
            return sub_folders(folders[0])
        return [
            FilesRepository(name, folder, python_files(folder))
            for name, folder in zip(unique_names(folders), folders, strict=True)
        ]


def sub_folders(root: Path) -> list[FilesRepository]:
    """Return the first-level sub-folders of `root` that hold Python files, and `root` itself for the files directly in
    it.
    """
    by_folder: dict[str, list[str]] = {}
    for path in python_files(root):
        first, slash, rest = path.partition("/")
        by_folder.setdefault(first if slash else "", []).append(rest if slash else first)
    return [FilesRepository(name or f"{root.name}/", root / name, paths) for name, paths in sorted(by_folder.items())]
