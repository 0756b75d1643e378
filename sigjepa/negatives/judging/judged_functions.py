"""A step of judging: the functions that occur in pairs, where any of them is quick to read, with their features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from sigjepa.negatives.judging.judges.judge import Judge
from sigjepa.negatives.judging.questions import functions_of
from sigjepa.negatives.mining.vectors import Ids
from sigjepa.store.artifact import OpenedArtifact
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.stage import Part, Step

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus

IDS_PER_PART = 1 << 13


class MappedTables(OpenedArtifact):
    """A table in Arrow files that are mapped into memory, one of each part, in order."""

    @cached_property
    def table(self) -> pa.Table:
        """The rows of all files, read when they are used."""
        names = sorted(name for name in self.manifest.files if name.endswith(".arrow"))
        return pa.concat_tables([pa.ipc.open_file(pa.memory_map(str(self.folder / name))).read_all() for name in names])


def write_mapped(table: pa.Table, path: Path) -> None:
    """Write a table as MappedTables reads it."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


@dataclass(frozen=True)
class JudgedFunctionsStage(Step[MappedTables]):
    """Keep what is judged of functions, and read their features, each once however many pairs it is in.

    ids: ascending.
    """

    corpus: "Corpus"
    judge: Judge
    ids: Ids
    judged_from: Mapping[str, Reference]

    kind: ClassVar[str] = "functions"
    unit: ClassVar[str] = "function"

    def upstream(self) -> Mapping[str, Reference]:
        """Return what the judged pairs are built from: an unfinished step of other pairs is begun anew."""
        return self.judged_from

    def parts(self) -> Sequence[Part]:
        """Return the ranges of ids that hold some of them; each part is given its own."""
        numbers, starts = np.unique(self.ids // IDS_PER_PART, return_index=True)
        ranges = zip(numbers.tolist(), starts.tolist(), [*starts.tolist()[1:], len(self.ids)], strict=True)
        return [Part(f"{number:06}", start, stop, self.ids[start:stop]) for number, start, stop in ranges]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"ids": self.ids[:0]}  # a part has its own

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write the functions of a part."""
        write_mapped(functions_of(self.corpus, part.work, self.judge.features), out / f"functions-{part.name}.arrow")
        return {}

    def open(self, manifest: Manifest) -> MappedTables:
        """Return the functions."""
        return MappedTables(manifest)
