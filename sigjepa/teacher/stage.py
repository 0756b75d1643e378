"""Embedding a corpus: signature and body of every function, encoded separately."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from safetensors.torch import save_file

from sigjepa.errors import SigjepaError
from sigjepa.store.manifest import Manifest, Reference
from sigjepa.store.progress import progress
from sigjepa.store.stage import Part, Resource, Stage, row_parts
from sigjepa.teacher.encoder import FrozenTeacher
from sigjepa.teacher.shards import TeacherShards

FORMAT = 2  # raise it when the same inputs give other files


class Texts(Protocol):
    """The texts of a corpus, as embedding needs them."""

    @property
    def hash(self) -> str:
        """Identifies the content."""

    @property
    def reference(self) -> Reference:
        """The corpus as its shards name it."""

    def __len__(self) -> int: ...

    def column(self, name: str, rows: slice) -> Sequence[Any]:
        """Return the `signature`s or `body`s of a range of functions, by id."""


@dataclass(frozen=True)
class ShardStage(Stage[TeacherShards]):
    """Embed every signature and body of a corpus; no body state has seen a signature.

    body_states: whether the body's token states are kept, not only their mean. functions_per_shard: functions in a
    file, which is a part of the work.
    """

    corpus: Texts
    teacher: FrozenTeacher
    body_states: bool = False
    functions_per_shard: int = 1024

    kind: ClassVar[str] = "teacher"
    unit: ClassVar[str] = "function"
    uses: ClassVar[Resource] = "gpu"
    packages: ClassVar[Sequence[str]] = ("torch", "transformers", "tokenizers", "safetensors", "numpy")

    @property
    def label(self) -> str:
        """The name of the teacher."""
        return self.teacher.name

    def inputs(self) -> dict[str, Any]:
        """Return the identity of teacher and corpus; raises SigjepaError for an empty corpus or empty shards."""
        if self.functions_per_shard < 1:
            raise SigjepaError(f"functions_per_shard={self.functions_per_shard} must be at least 1.")
        if not len(self.corpus):
            raise SigjepaError("The corpus is empty, so there is nothing to embed; widen its source.")
        return {
            "teacher": self.teacher.fingerprint(),
            "corpus": self.corpus.hash,
            "body_states": self.body_states,
            "functions_per_shard": self.functions_per_shard,
            "format": FORMAT,
        }

    def upstream(self) -> Mapping[str, Reference]:
        """Return the corpus."""
        return {"corpus": self.corpus.reference}

    def parts(self) -> Sequence[Part]:
        """Return a part for each shard."""
        return row_parts(len(self.corpus), self.functions_per_shard, "shard")

    def build(self, part: Part, out: Path) -> Mapping[str, Any]:
        """Write one shard; raises SigjepaError for a teacher that can't be loaded or gives unusable states."""
        rows = slice(part.start, part.stop)
        signatures, bodies = self.corpus.column("signature", rows), self.corpus.column("body", rows)
        with progress(None, f"embed {part.name}", total=part.size, unit="function") as bar:
            signature = self.teacher.encode(signatures, self.teacher.max_signature_tokens)
            body = self.teacher.encode(
                bodies, self.teacher.max_body_tokens, keep_states=self.body_states, advance=bar.update
            )
        assert signature.states is not None, "states were not refused"
        tensors = {
            "ids": torch.arange(part.start, part.stop),
            "signature_states": signature.states,
            "signature_offsets": signature.offsets,
            "signature_lengths": signature.offsets.diff(),
            "signature_pooled": signature.pooled,
            "body_lengths": body.offsets.diff(),
            "body_pooled": body.pooled,
        }
        if body.states is not None:
            tensors |= {"body_states": body.states, "body_offsets": body.offsets}
        save_file(tensors, out / f"{part.name}.safetensors")
        return {
            "file": f"{part.name}.safetensors",
            "first_id": part.start,
            "functions": part.size,
            "dim": self.teacher.dim,
            "signature_states": int(tensors["signature_lengths"].sum()),
            "body_states": int(tensors["body_lengths"].sum()),
            "truncated_signatures": signature.truncated,
            "truncated_bodies": body.truncated,
        }

    def facts(self, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Return the list of shards, the size of a state, and sums over the shards."""
        summed = ("functions", "signature_states", "body_states", "truncated_signatures", "truncated_bodies")
        return {
            "name": self.teacher.name,
            "dim": parts[0]["dim"],
            **{name: sum(part[name] for part in parts) for name in summed},
            "shards": [{name: part[name] for name in ("file", "first_id", "functions")} for part in parts],
        }

    def open(self, manifest: Manifest) -> TeacherShards:
        """Return the shards; raises SigjepaError when their states are not of the teacher's size."""
        shards = TeacherShards(manifest)
        if shards.dim != self.teacher.dim:  # not among the inputs: it follows from the weights
            raise SigjepaError(
                f"teacher.dim={self.teacher.dim}, but the states in {shards.folder} have size {shards.dim}; "
                f"set teacher.dim={shards.dim}."
            )
        return shards
