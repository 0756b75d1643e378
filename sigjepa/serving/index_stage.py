"""Building an index: the bodies of files that are new or have changed are encoded, all others are taken over."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import xxhash

from sigjepa.data.views import Views
from sigjepa.errors import SigjepaError
from sigjepa.lexicon.terms import recorded_terms
from sigjepa.serving.body_index import BodyIndex
from sigjepa.serving.functions import Functions
from sigjepa.serving.index_part import Block, IndexPart, ViewLayout, layout_of, texts_of, write_part
from sigjepa.store.build import PARTS_FOLDER
from sigjepa.store.files import file_digest
from sigjepa.store.manifest import Manifest, Reference, read_record
from sigjepa.store.progress import progress
from sigjepa.store.stage import Part, Resource, Stage

FORMAT = 1  # raise it when the same inputs give other files
MAX_BATCH_LETTERS = 2048
"""Bodies of one file are encoded together while their number times the longest is within this: about 500 tokens, so
that little is padding. Bodies of two files never are: then the last bits would depend on the neighbors."""


class IndexedStudent(Protocol):
    """A student, as far as an index needs it."""

    @property
    def fingerprint(self) -> str:
        """Identifies the views."""

    def encode_bodies(self, bodies: Sequence[str]) -> Views:
        """Return the views of bodies."""


@dataclass(frozen=True)
class IndexStage(Stage[BodyIndex]):
    """Encode the bodies of functions into an index.

    student: whose views. functions_per_part: a part ends with the file that reaches so many. reuse: a folder of
    finished or unfinished indexes, from whose parts files with the same bodies are taken; it changes nothing but the
    time.
    """

    functions: Functions
    student: IndexedStudent
    functions_per_part: int = 16384
    reuse: Path | None = None

    kind: ClassVar[str] = "index"
    unit: ClassVar[str] = "function"
    uses: ClassVar[Resource] = "gpu"
    packages: ClassVar[Sequence[str]] = ("numpy", "scipy", "torch", "transformers", "tokenizers")

    def inputs(self) -> dict[str, Any]:
        """Return what identifies the functions and the student; raises SigjepaError for empty parts."""
        if self.functions_per_part < 1:
            raise SigjepaError(f"functions_per_part={self.functions_per_part} must be at least 1.")
        return {
            "functions": self.functions.reference.content,
            "student": self.student.fingerprint,
            "functions_per_part": self.functions_per_part,
            "format": FORMAT,
        }

    def upstream(self) -> Mapping[str, Reference]:
        """Return the functions."""
        return {"functions": self.functions.reference}

    def parts(self) -> Sequence[Part]:
        """Return parts of whole files."""
        stops, begun = [], 0
        for _, stop in self.functions.files():
            if stop - begun >= self.functions_per_part:
                stops.append(stop)
                begun = stop
        if begun < len(self.functions):
            stops.append(len(self.functions))
        return [
            Part(f"part-{number:05d}", start, stop)
            for number, (start, stop) in enumerate(zip([0, *stops], stops, strict=False))
        ]

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write a part; the facts count the bodies that were encoded for it, and those that were taken over."""
        known = dict(self._known_files())
        layout: Sequence[ViewLayout] | None = None
        files: list[tuple[bytes, Block]] = []
        texts: dict[int, str] = {}
        encoded = 0
        with progress(None, f"encode bodies of {part.name}", total=part.size, unit="function") as bar:
            for start, stop in self.functions.files():
                if not part.start <= start < part.stop:
                    continue
                bodies = self.functions.bodies(start, stop)
                key = key_of(bodies)
                if key in known:
                    source, rows = known[key]
                    block, layout = source.block(rows), source.layout
                    texts |= texts_of(source, set(map(int, block.terms)) - texts.keys())
                else:
                    block, layout, found = self.encode(bodies)
                    texts |= found
                    encoded += len(bodies)
                files.append((key, block))
                bar.update(len(bodies))
        assert layout is not None, "a part has a file"
        facts = write_part(out, part.name, layout, files, texts)
        return {**facts, "student": self.student.fingerprint, "format": FORMAT, "encoded": encoded}

    def encode(self, bodies: Sequence[str]) -> tuple[Block, Sequence[ViewLayout], dict[int, str]]:
        """Return the views of the bodies of a file, their layout, and the texts of their terms."""
        order = sorted(range(len(bodies)), key=lambda row: (len(bodies[row]), row))
        blocks: list[Block] = []
        with recorded_terms() as texts:
            for rows in batches([len(bodies[row]) for row in order]):
                views = self.student.encode_bodies([bodies[order[row]] for row in rows])
                layout = layout_of(views)
                blocks.append(Block.of(views))
        return joined(blocks, np.argsort(order)), layout, texts

    def facts(self, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Return the facts of all parts, and of the whole what its parts share."""
        return {
            "functions": sum(part["functions"] for part in parts),
            "encoded": sum(part["encoded"] for part in parts),
            "student": parts[0]["student"],
            "format": FORMAT,
            "parts": [{name: part[name] for name in ("part", "functions", "views")} for part in parts],
        }

    def open(self, manifest: Manifest) -> BodyIndex:
        """Return the index, whose files are mapped."""
        return BodyIndex(manifest)

    def _known_files(self) -> Iterator[tuple[bytes, tuple[IndexPart, slice]]]:
        """Yield the files whose bodies the same student has encoded before, each with its part and rows."""
        records = sorted(self.reuse.glob(f"*/{PARTS_FOLDER}/*.json")) if self.reuse is not None else []
        for record in records:
            content = read_record(record)
            folder, facts = record.parents[1], content["facts"]
            if (facts["student"], facts["format"]) != (self.student.fingerprint, FORMAT):
                continue
            paths = {folder / name: each["digest"] for name, each in content["files"].items()}
            if all(path.is_file() and file_digest(path) == digest for path, digest in paths.items()):
                part = IndexPart.open(folder, facts)
                yield from ((key, (part, rows)) for key, rows in part.files().items())


def key_of(bodies: Sequence[str]) -> bytes:
    """Return the hash of the bodies of a file, by which they are found again wherever the file lies."""
    digest = xxhash.xxh3_128()
    for body in bodies:
        encoded = body.encode("utf-8", "surrogatepass")
        digest.update(f"{len(encoded)}\0".encode() + encoded)
    return digest.digest()


def batches(lengths: Sequence[int]) -> Iterator[range]:
    """Yield ranges of ascending lengths, each as long as its number times its longest is within MAX_BATCH_LETTERS."""
    start = 0
    for stop in range(1, len(lengths) + 1):
        if stop == len(lengths) or (stop + 1 - start) * lengths[stop] > MAX_BATCH_LETTERS:
            yield range(start, stop)
            start = stop


def joined(blocks: Sequence[Block], order: np.ndarray) -> Block:
    """Return the bodies of some blocks as one, in another order `[n]`: first the body at `order[0]`, and so on."""
    offsets = np.cumsum([0, *(len(block.dense) for block in blocks)])
    rows = np.concatenate([block.rows + offset for block, offset in zip(blocks, offsets, strict=False)])
    views, terms, values = (
        np.concatenate([getattr(block, name) for block in blocks]) for name in ("views", "terms", "values")
    )
    dense, constants = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("dense", "constants"))
    return Block(dense[order], constants[order], np.argsort(order)[rows], views, terms, values)
