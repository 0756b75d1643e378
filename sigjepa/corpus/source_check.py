"""The check of a corpus' source files, hashed again where they still lie."""

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sigjepa.corpus.source_files import SourceFile, content_digest, read_sources
from sigjepa.corpus.sources.archive import python_members
from sigjepa.corpus.sources.folder import files_repository
from sigjepa.corpus.sources.git import git_repository
from sigjepa.corpus.sources.jsonl import JsonLines
from sigjepa.corpus.sources.pypi import read_wheel
from sigjepa.corpus.sources.source import Repository
from sigjepa.corpus.text import writable
from sigjepa.errors import SigjepaError
from sigjepa.store.lineage import Check, Link, State
from sigjepa.store.manifest import Manifest
from sigjepa.store.progress import progress

MAX_SHOWN = 20
"""How many files that are not as they were read are named."""

ODD_BYTE = re.compile(r"\\u(dc[89a-f][0-9a-f])")


def source_files(path: Path, manifest: Manifest) -> Link:
    """Return the files that `sources.parquet` lists, and which of them are as they were read.

    manifest: of the corpus; the fingerprint of its source says how the files are read.
    """
    source = manifest.inputs["source"]
    link = Link("source files", str(path))
    try:
        files = read_sources(path)
    except SigjepaError as error:
        link.checks.append(Check("list of source files", "changed", str(error)))
        return link
    by_state: dict[State, list[str]] = defaultdict(list)
    bar = progress(None, "hash source files", total=len(files), unit="file")
    with bar:
        for state, file in states(files, source):
            by_state[state].append(f"{file.repository}: {file.path}")
            bar.update()
    for state, names in sorted(by_state.items()):
        shown = "" if state == "verified" else ", ".join(names[:MAX_SHOWN]) + (", …" if len(names) > MAX_SHOWN else "")
        link.checks.append(Check("source files", state, shown, len(names)))
    link.origin = {"places": sorted({file.place for file in files})[:MAX_SHOWN], "files": len(files)}
    return link


def states(files: Sequence[SourceFile], source: Mapping[str, Any]) -> Iterator[tuple[State, SourceFile]]:
    """Yield each file with its state, repository by repository."""
    repositories: dict[tuple[str, str], list[SourceFile]] = defaultdict(list)
    for file in files:
        repositories[file.repository, file.place].append(file)
    for (name, place), members in repositories.items():
        now = digests_now(name, place, [file.path for file in members], source)
        for file in members:
            digests = now.get(file.path)
            yield ("gone" if not digests else "verified" if file.digest in digests else "changed"), file


def digests_now(name: str, place: str, paths: Sequence[str], source: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return the digests of what lies under each path now: several for a file of rows, none for what is gone."""
    digests: dict[str, set[str]] = defaultdict(set)
    found = next((path for path in map(Path, as_on_disk(place)) if path.exists()), None) if place else None
    if found is None:
        return digests
    try:
        repository = open_repository(name, found, paths, source)
        if repository is None:
            return digests
        wanted = set(paths)
        positions = [position for position, path in enumerate(repository.paths) if writable(path) in wanted]
        for position, content in zip(positions, repository.read(positions), strict=True):
            if content is not None:
                digests[writable(repository.paths[position])].add(content_digest(content))
    except (SigjepaError, subprocess.CalledProcessError, OSError):
        # it lies there and can't be read as what it was
        for path in paths:
            digests[path].add("")
    return digests


def open_repository(name: str, place: Path, paths: Sequence[str], source: Mapping[str, Any]) -> Repository | None:
    """Return the repository that a corpus was read from, at the commit that was read; None where it is gone."""
    kind = source.get("source")
    if kind == "git":
        return git_repository(name, place, source["repositories"][name])
    if kind == "pypi":
        members = set(python_members(place))
        present = [path for path in dict.fromkeys(paths) if path in members]
        return Repository(name, present, partial(read_wheel, place, present))
    if kind in ("jsonl", "huggingface"):
        rows = JsonLines(str(place), source.get("fields")).repositories()
        return next((each for each in rows if each.name == name), None)
    return files_repository(name, place, list(dict.fromkeys(here for path in paths for here in as_on_disk(path))))


def as_on_disk(path: str) -> tuple[str, str]:
    """Return what a listed path may be called on the disk: the same, or with the odd bytes that were spelt out."""
    return path, ODD_BYTE.sub(lambda odd: chr(int(odd[1], 16)), path)
