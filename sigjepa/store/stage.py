"""A stage: one artifact, what it depends on, and its work in independent parts."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

from sigjepa.errors import SigjepaError
from sigjepa.store.manifest import Manifest, Reference, digest_of_files

Artifact = TypeVar("Artifact")
Resource = Literal["core", "cores", "gpu", "network"]
"""One core (plain Python), all cores of its process (matrix products, searches), a model's GPU if there is one, or
nothing of this machine, where another is asked."""


@dataclass(frozen=True)
class Part:
    """A piece of a stage's work that needs no other piece.

    name: of its record, within `[a-z0-9_-]`. start, stop: the rows of it, for stages that divide rows. Its size counts
    in the progress bar. work: what else building it is given, so that the stage need not hold it for all parts.
    """

    name: str
    start: int = 0
    stop: int = 1
    work: Any = field(default=None, repr=False, compare=False)

    @property
    def size(self) -> int:
        """Units of work."""
        return self.stop - self.start


def row_parts(count: int, size: int, name: str) -> list[Part]:
    """Return a part for every `size` of `count` rows, called `<name>-<number>`."""
    starts = range(0, count, size)
    return [Part(f"{name}-{number:05d}", start, min(start + size, count)) for number, start in enumerate(starts)]


def check_label(key: str, label: str) -> None:
    """Raise SigjepaError for a label that can't begin the name of a folder, as it has a slash; key: what gives it."""
    if Path(label).name != label:
        raise SigjepaError(
            f"{key}={label!r} begins the name of a folder, so that it may have no slash: take one such as "
            f"{label.strip('/').replace('/', '-')!r}."
        )


class Stage(ABC, Generic[Artifact]):
    """One artifact, which the store builds once and opens after.

    Subclasses are frozen dataclasses of plain arguments that can be pickled, such as opened artifacts of other stages.

    kind: the folder below the data directory. unit: what the parts' sizes count. packages: distributions whose version
    can decide the content.
    """

    kind: ClassVar[str]
    unit: ClassVar[str] = "part"
    packages: ClassVar[Sequence[str]] = ()

    @property
    def label(self) -> str:
        """The readable start of the folder's name, empty for none."""
        return ""

    @property
    def uses(self) -> Resource:
        """What a part keeps busy."""
        return "core"

    @property
    def reads_user_files(self) -> bool:
        """Whether it reads files, other than artifacts, that may change meanwhile and change back."""
        return False

    @abstractmethod
    def inputs(self) -> dict[str, Any]:
        """Return all that the content depends on, as JSON; raises SigjepaError for an argument out of range."""

    def upstream(self) -> Mapping[str, Reference]:
        """Return the artifacts that this one is built from, by the name that its stage gives them."""
        return {}

    def parts(self) -> Sequence[Part]:
        """Return the pieces of work in a fixed order; every one is built from the same inputs."""
        return (Part(self.kind),)

    def with_steps(self, get: "Get") -> "Stage[Artifact]":
        """Return a stage that builds the parts, with artifacts that only building needs, each as `get` gives it.

        They lie in the artifact's folder until it is finished. The inputs are the same.
        """
        return self

    @abstractmethod
    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Build a part: write its files below `out`, an empty folder, and nothing elsewhere; return facts about it.

        Idempotent, and a function of the stage and the part alone: it runs in any process, in any order. Files of two
        parts have different names. The facts are JSON.
        """

    def facts(self, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Return what the manifest says of the whole, from what `build` said of each part, in order."""
        merged: dict[str, Any] = {}
        for part in parts:
            merged |= part
        return merged

    def content(self, files: Mapping[str, str], facts: Mapping[str, Any]) -> str:
        """Return what artifacts built from this one know it by; files: digest by name."""
        return digest_of_files(files)

    @abstractmethod
    def open(self, manifest: Manifest) -> Artifact:
        """Return the artifact in the manifest's folder, whose files were verified."""

    def caches(self) -> Sequence[Path]:
        """Return folders that outlive the artifact and that building may write, such as paid answers of a judge."""
        return ()


class Step(Stage[Artifact]):
    """A stage that only building another one needs, in whose folder it lies: see `Stage.with_steps`."""

    def inputs(self) -> dict[str, Any]:
        """Return nothing: the artifact in whose folder it lies has the same inputs."""
        return {}


Get = Callable[[Stage[Any]], Any]
"""What gives the artifact of a stage, as `Store.get` does."""
