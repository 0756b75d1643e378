"""Opened artifacts: what a finished folder gives, read when it is asked for."""

from pathlib import Path
from typing import Any, Self

from sigjepa.store.manifest import Manifest, Reference


class OpenedArtifact:
    """An artifact by its manifest, whose files are trusted. Pickled as such: each process reads the files itself."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the artifact in a folder; raises SigjepaError naming the file that is missing, damaged or altered."""
        manifest = Manifest.read(folder)
        manifest.verify()
        return cls(manifest)

    @property
    def folder(self) -> Path:
        """The folder of the artifact."""
        return self.manifest.folder

    @property
    def reference(self) -> Reference:
        """The artifact as others built from it name it."""
        return self.manifest.reference

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.manifest,)
