"""A corpus in the teacher's eyes: shards of states, embedded once and memory-mapped when they are read."""

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from sigjepa.errors import SigjepaError
from sigjepa.store.artifacts import read_manifest, write_manifest
from sigjepa.store.files import read_json
from sigjepa.store.manifest import content_key, damaged
from sigjepa.store.origin import upstream_of
from sigjepa.store.progress import progress
from sigjepa.store.store import artifact_lock
from sigjepa.teacher.encoder import FrozenTeacher
from sigjepa.teacher.manifest import FORMAT, MANIFEST, ShardRecord, check_shards, describe, differences, write_shard

FINISHED_SHARDS = "shards.json"  # what vouches for the shards of a folder that has no manifest yet, or lost it
MANIFEST_KEYS = ("inputs", "dim", "functions", "shards")


class TeacherShards:
    """The teacher's states of every function of a corpus, by function id.

    Nothing is read until it is asked for, and then through a memory map. An instance can be pickled: each process
    opens maps of its own. `open` checks the files; the constructor trusts them.

    Args:
        folder: folder that `embed_corpus` wrote.
        manifest: its manifest.

    Attributes:
        dim: size D of a state.
        has_body_states: whether `body_states` can be asked for.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.dim: int = manifest["dim"]
        self.has_body_states: bool = manifest["inputs"]["body_states"]
        self._starts: list[int] = [shard["first_id"] for shard in manifest["shards"]]
        self._maps: dict[int, dict[str, Tensor]] = {}

    @classmethod
    def open(cls, folder: Path, *, expect: Mapping[str, Any] | None = None) -> "TeacherShards":
        """Open a complete folder, after checking every shard's digest.

        Args:
            folder: folder that `embed_corpus` wrote.
            expect: the inputs that the shards must have been made from; None accepts any.

        Raises SigjepaError when the folder is incomplete, when it was made from something else than `expect` (saying
        what differs), or when a shard is missing, truncated or altered (naming it).
        """
        manifest_path = folder / MANIFEST
        manifest = read_manifest(manifest_path, MANIFEST_KEYS)
        if not is_well_formed(manifest):
            raise damaged(manifest_path, "is not the manifest of teacher shards", folder)
        if expect is not None and (changes := differences(manifest.get("inputs", {}), expect)):
            raise damaged(manifest_path, f"belongs to another teacher or corpus: {'; '.join(changes)}", folder)
        if (written := manifest.get("inputs", {}).get("format")) != FORMAT:
            raise damaged(manifest_path, f"has format {written}, but format {FORMAT} is needed", folder)
        check_shards(folder, manifest["shards"])
        return cls(folder, manifest)

    def __len__(self) -> int:
        return int(self.manifest["functions"])

    def __reduce__(self) -> tuple[Any, ...]:
        return (TeacherShards, (self.folder, self.manifest))

    @property
    def ids(self) -> np.ndarray:
        """Ids of the functions `[n]`, int64, ascending; row i of the pooled matrices is function `ids[i]`."""
        return np.arange(len(self), dtype=np.int64)

    @cached_property
    def signature_pooled(self) -> Tensor:
        """Mean of each signature's states `[n, D]`, float32."""
        return self._rows("signature_pooled")

    @cached_property
    def body_pooled(self) -> Tensor:
        """Mean of each body's states `[n, D]`, float32."""
        return self._rows("body_pooled")

    @cached_property
    def signature_lengths(self) -> np.ndarray:
        """States of each signature `[n]`, int64."""
        return self._rows("signature_lengths").numpy()

    @cached_property
    def body_lengths(self) -> np.ndarray:
        """States of each body `[n]`, int64; known whether or not the states themselves were kept."""
        return self._rows("body_lengths").numpy()

    def signature_states(self, function: int) -> Tensor:
        """Token states of a function's signature `[S, D]`, in the storage precision: a view of the map, read-only.

        Raises IndexError when there is no such function.
        """
        return self._states("signature", function)

    def body_states(self, function: int) -> Tensor:
        """Token states of a function's body `[T, D]`, in the storage precision: a view of the map, read-only.

        Raises IndexError when there is no such function, SigjepaError when body states were not kept.
        """
        if not self.has_body_states:
            raise SigjepaError(f"{self.folder} holds no body states; prepare it with body_states=true.")
        return self._states("body", function)

    def _states(self, half: str, function: int) -> Tensor:
        if not 0 <= function < len(self):
            raise IndexError(f"no function {function} in {self.folder}; ids go from 0 to {len(self) - 1}")
        shard = bisect_right(self._starts, function) - 1
        tensors = self._shard(shard)
        row = function - self._starts[shard]
        start, stop = tensors[f"{half}_offsets"][row : row + 2].tolist()
        return tensors[f"{half}_states"][start:stop]

    def _rows(self, name: str) -> Tensor:
        return torch.cat([self._shard(shard)[name] for shard in range(len(self._starts))])

    def _shard(self, shard: int) -> dict[str, Tensor]:
        if shard not in self._maps:
            path = self.folder / self.manifest["shards"][shard]["file"]
            with safe_open(path, framework="pt") as file:
                # torch tensors over a copy-on-write map: pages are read when touched, bfloat16 included.
                self._maps[shard] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return self._maps[shard]


class Texts(Protocol):
    """What embedding needs of a corpus."""

    @property
    def hash(self) -> str:
        """Identifies the content."""

    def __len__(self) -> int: ...

    def column(self, name: str) -> Sequence[Any]:
        """All `signature`s or `body`s, by function id."""


def embed_corpus(
    corpus: Texts,
    teacher: FrozenTeacher,
    data_dir: Path,
    *,
    body_states: bool = False,
    functions_per_shard: int = 1024,
) -> TeacherShards:
    """The teacher's states of every signature and body of a corpus, embedded or, when they are at hand, opened.

    Signature and body are encoded separately: no body state has seen a signature. An interrupted job goes on at the
    first missing shard, and a shard that was deleted is made again by itself.

    Args:
        corpus: functions with a `signature` and a `body`.
        teacher: encodes them.
        data_dir: shards go to `<data_dir>/teacher/<name>-<key>/`.
        body_states: whether the body's token states are kept, not only their mean; shards that have them also serve
            a request without.
        functions_per_shard: functions in a file; a folder that was begun keeps its own.

    Raises SigjepaError for an empty corpus, a teacher that cannot be loaded, or a damaged shard.
    """
    if not len(corpus):
        raise SigjepaError("The corpus is empty, so there is nothing to embed; widen its source.")
    if functions_per_shard < 1:
        raise SigjepaError(f"functions_per_shard={functions_per_shard} must be at least 1.")
    fingerprint = teacher.fingerprint()
    for with_states in dict.fromkeys((body_states, True)):
        inputs = _inputs(fingerprint, corpus, body_states=with_states)
        folder = _folder(data_dir, teacher, inputs)
        if _is_complete(folder):
            return _open(folder, inputs, teacher)
    inputs = _inputs(fingerprint, corpus, body_states=body_states)
    folder = _folder(data_dir, teacher, inputs)
    with artifact_lock(folder):
        if not _is_complete(folder):  # another job may have built it while this one waited
            _build(folder, inputs, corpus, teacher, functions_per_shard)
    return _open(folder, inputs, teacher)


def _open(folder: Path, inputs: dict[str, Any], teacher: FrozenTeacher) -> TeacherShards:
    shards = TeacherShards.open(folder, expect=inputs)
    if shards.dim != teacher.dim:  # not among the inputs: it follows from the weights
        raise SigjepaError(
            f"teacher.dim={teacher.dim}, but the states in {folder} have size {shards.dim}; "
            f"set teacher.dim={shards.dim}."
        )
    return shards


def _inputs(fingerprint: dict[str, Any], corpus: Texts, *, body_states: bool) -> dict[str, Any]:
    return {"teacher": fingerprint, "corpus": corpus.hash, "body_states": body_states, "format": FORMAT}


def _folder(data_dir: Path, teacher: FrozenTeacher, inputs: dict[str, Any]) -> Path:
    return data_dir / "teacher" / f"{teacher.name}-{content_key(inputs)}"


def is_well_formed(manifest: Mapping[str, Any]) -> bool:
    """Whether a manifest has the parts of one of teacher shards; what they say is another matter."""
    inputs, shards = manifest["inputs"], manifest["shards"]
    return (
        isinstance(inputs, dict)
        and "body_states" in inputs
        and isinstance(manifest["dim"], int)
        and isinstance(manifest["functions"], int)
        and isinstance(shards, list)
        and len(shards) > 0
        and all(isinstance(one, dict) and {"file", "first_id", "bytes", "digest"} <= one.keys() for one in shards)
        and all(re.fullmatch(r"shard-\d{5,9}\.safetensors", str(one["file"])) for one in shards)
        and all(isinstance(one["first_id"], int) for one in shards)
    )


def _is_complete(folder: Path) -> bool:
    if not (folder / MANIFEST).is_file():
        return False
    manifest = read_manifest(folder / MANIFEST, MANIFEST_KEYS)
    if not is_well_formed(manifest):
        raise damaged(folder / MANIFEST, "is not the manifest of teacher shards", folder)
    return all((folder / shard["file"]).is_file() for shard in manifest["shards"])


def _build(
    folder: Path, inputs: dict[str, Any], corpus: Texts, teacher: FrozenTeacher, functions_per_shard: int
) -> None:
    records = _finished(folder)
    if records:
        functions_per_shard = max(record.functions for record in records.values())
        # From here on the folder is incomplete: when a shard is made again, the old manifest no longer holds.
        write_manifest(folder / FINISHED_SHARDS, {"shards": [asdict(record) for record in records.values()]})
        (folder / MANIFEST).unlink(missing_ok=True)
    starts = range(0, len(corpus), functions_per_shard)
    files = {f"shard-{number:05d}.safetensors": start for number, start in enumerate(starts)}
    present = {file for file in files if file in records and (folder / file).is_file()}
    signatures, bodies = corpus.column("signature"), corpus.column("body")
    with progress(None, f"embed with {teacher.name}", total=len(corpus), unit="function") as bar:
        bar.initial = bar.n = sum(records[file].functions for file in present)  # what is there does not make the rate
        for file, start in files.items():
            if file in present:
                continue
            rows = slice(start, start + functions_per_shard)
            tensors, truncated = _embed(teacher, signatures[rows], bodies[rows], inputs["body_states"], bar.update)
            tensors["ids"] = torch.arange(start, start + len(signatures[rows]))
            records[file] = write_shard(folder / file, tensors, truncated)
            finished = [asdict(records[file]) for file in files if file in records]
            write_manifest(folder / FINISHED_SHARDS, {"shards": finished})
    kept_in = getattr(corpus, "folder", None)  # what has none was made in memory
    upstream = {} if kept_in is None else {"corpus": upstream_of(kept_in, corpus.hash)}
    write_manifest(folder / MANIFEST, describe([records[file] for file in files], inputs, teacher, upstream))


def _finished(folder: Path) -> dict[str, ShardRecord]:
    """Shards that the manifest, or the notes of an interrupted job, vouch for."""
    if (folder / MANIFEST).is_file():
        shards = read_manifest(folder / MANIFEST, MANIFEST_KEYS)["shards"]
    elif (folder / FINISHED_SHARDS).is_file():
        notes = read_json(folder / FINISHED_SHARDS)
        # a list: of before seals
        shards = notes if isinstance(notes, list) else read_manifest(folder / FINISHED_SHARDS, ("shards",))["shards"]
    else:
        shards = []
    return {shard["file"]: ShardRecord(**shard) for shard in shards}


def _embed(
    teacher: FrozenTeacher,
    signatures: Sequence[str],
    bodies: Sequence[str],
    body_states: bool,
    advance: Callable[[int], object],
) -> tuple[dict[str, Tensor], tuple[int, int]]:
    signature = teacher.encode(signatures, teacher.max_signature_tokens)
    body = teacher.encode(bodies, teacher.max_body_tokens, keep_states=body_states, advance=advance)
    assert signature.states is not None
    tensors = {
        "signature_states": signature.states,
        "signature_offsets": signature.offsets,
        "signature_lengths": signature.offsets.diff(),
        "signature_pooled": signature.pooled,
        "body_lengths": body.offsets.diff(),
        "body_pooled": body.pooled,
    }
    if body.states is not None:
        tensors |= {"body_states": body.states, "body_offsets": body.offsets}
    return tensors, (signature.truncated, body.truncated)
