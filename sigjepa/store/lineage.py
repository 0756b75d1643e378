"""From an artifact back to everything that it was built from, each link compared with what was recorded."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from sigjepa.errors import SigjepaError
from sigjepa.store.files import file_digest
from sigjepa.store.manifest import MANIFEST_FILE, Manifest, Reference, digest_of_files

State: TypeAlias = Literal["verified", "changed", "missing", "gone", "not recorded"]
STATES: tuple[State, ...] = ("verified", "changed", "missing", "gone", "not recorded")
"""`gone` is of files from outside, which may lie on another machine; what is `missing` should be there."""
WRONG_STATES: tuple[State, ...] = ("changed", "missing")
SOURCES = "sources"
"""The key of a stage's facts under which it names files from outside that it read: digest by path."""


@dataclass(frozen=True)
class Check:
    """A comparison: of what, how it stands, how many things that speaks of, and what a person should know."""

    what: str
    state: State
    detail: str = ""
    count: int = 1


@dataclass
class Link:
    """A thing of the chain: its origin, what of it was checked, and what it was built from."""

    kind: str
    path: str
    origin: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    upstream: list["Link"] = field(default_factory=list)

    def walk(self) -> Iterator["Link"]:
        """Yield this thing and everything that it was built from."""
        yield self
        for link in self.upstream:
            yield from link.walk()

    def counts(self) -> Counter[str]:
        """Return the checks of the whole chain by state."""
        counts: Counter[str] = Counter()
        for link in self.walk():
            for check in link.checks:
                counts[check.state] += check.count
        return counts

    def holds(self) -> bool:
        """Return whether nothing in the whole chain is changed or missing."""
        counts = self.counts()
        return not any(counts[state] for state in WRONG_STATES)


Inspector: TypeAlias = Callable[[Path, Manifest], Link]
"""Looks into a file of an artifact that names things outside of the store, such as source files."""


def compared(what: str, found: object, expected: object, detail: str = "") -> Check:
    """Return a check that two values are equal; it says both when they are not."""
    if found == expected:
        return Check(what, "verified", detail)
    return Check(what, "changed", f"it is {found}, recorded was {expected}")


def compared_file(path: Path, digest: str, absent: State = "missing") -> Check:
    """Return a check of a file's digest; `absent` is its state when it is not there."""
    if not path.is_file():
        return Check(path.name, absent, f"{path} does not exist")
    return compared(path.name, file_digest(path), digest)


@dataclass(frozen=True)
class Walk:
    """A walk over the artifacts of a data directory, which meets each of them once.

    inspectors: by the name of the file that they look into. digests: of the files of each artifact that was met, as
    they are today, by kind and folder; empty for one that can't be read.
    """

    data_dir: Path
    inspectors: Mapping[str, Inspector] = field(default_factory=dict)
    digests: dict[tuple[str, str], str] = field(default_factory=dict)

    def upstream(self, references: Mapping[str, Reference]) -> tuple[list[Link], list[Check]]:
        """Return the artifacts that something was built from, and whether each is still what was recorded."""
        links, checks = [], []
        for reference in references.values():
            place = reference.kind, reference.folder
            if place not in self.digests:
                links.append(self.artifact(self.data_dir / reference.kind / reference.folder))
            what = f"digest of {reference.kind} {reference.folder}"
            if self.digests[place]:
                checks.append(compared(what, self.digests[place], reference.digest))
            else:
                checks.append(Check(what, "missing", f"{self.data_dir.joinpath(*place)} can't be read"))
        return links, checks

    def artifact(self, folder: Path) -> Link:
        """Return one artifact and all that it was built from, every link checked."""
        kind = folder.parent.name
        link = Link(kind, str(folder))
        self.digests[kind, folder.name] = ""
        try:
            manifest = Manifest.read(folder)
        except SigjepaError as error:
            present = (folder / MANIFEST_FILE).is_file()
            link.checks.append(Check(MANIFEST_FILE, "changed" if present else "missing", str(error)))
            return link
        link.origin = dict(manifest.origin)
        link.checks.append(Check("key of its inputs", "verified", "names the folder"))
        if missing := manifest.missing_files():
            link.checks += [Check(name, "missing", f"{folder / name} does not exist") for name in missing]
        else:
            digests = manifest.digests()
            link.checks += [compared(name, digests[name], record.digest) for name, record in manifest.files.items()]
            self.digests[kind, folder.name] = digest_of_files(digests)
        for name, inspector in self.inspectors.items():
            if name in manifest.files and (folder / name).is_file():
                link.upstream.append(inspector(folder / name, manifest))
        for path, digest in manifest.facts.get(SOURCES, {}).items():
            link.upstream.append(Link("outside file", path, checks=[compared_file(Path(path), digest, "gone")]))
        links, checks = self.upstream(manifest.upstream)
        link.upstream += links
        link.checks += checks
        return link
