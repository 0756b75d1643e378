"""What a folder of teacher shards says of itself: its inputs, and a digest of every file."""

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from sigjepa import __version__
from sigjepa.store.files import atomic_path, file_digest
from sigjepa.store.manifest import damaged
from sigjepa.store.origin import MADE, made
from sigjepa.store.progress import progress
from sigjepa.teacher.encoder import FrozenTeacher

MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class ShardRecord:
    """A finished shard, as the manifest lists it."""

    file: str
    first_id: int
    functions: int
    bytes: int
    digest: str
    signature_states: int
    body_states: int
    truncated_signatures: int
    truncated_bodies: int


def write_shard(path: Path, tensors: dict[str, Tensor], truncated: tuple[int, int]) -> ShardRecord:
    """Write a shard, atomically; `truncated` counts its cut signatures and bodies."""
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)
        size, digest = temporary.stat().st_size, file_digest(temporary)
    return ShardRecord(
        file=path.name,
        first_id=int(tensors["ids"][0]),
        functions=len(tensors["ids"]),
        bytes=size,
        digest=digest,
        signature_states=int(tensors["signature_lengths"].sum()),
        body_states=int(tensors["body_lengths"].sum()),
        truncated_signatures=truncated[0],
        truncated_bodies=truncated[1],
    )


def describe(
    records: list[ShardRecord],
    inputs: dict[str, Any],
    teacher: FrozenTeacher,
    upstream: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The manifest of a folder with these shards, made from the artifacts `upstream`."""
    packages = ("torch", "transformers", "tokenizers", "safetensors")
    return {
        "name": teacher.name,
        "path": teacher.checkpoint.path,
        "revision": teacher.checkpoint.revision,
        "inputs": inputs,
        "dim": teacher.dim,
        "functions": sum(record.functions for record in records),
        "signature_states": sum(record.signature_states for record in records),
        "body_states": sum(record.body_states for record in records),
        "truncated": {
            "signatures": sum(record.truncated_signatures for record in records),
            "bodies": sum(record.truncated_bodies for record in records),
        },
        "versions": {"python": platform.python_version(), "sigjepa": __version__}
        | {package: importlib.metadata.version(package) for package in packages},
        "shards": [asdict(record) for record in records],
        MADE: made((*packages, "numpy"), upstream),
    }


def shards_digest(shards: Sequence[Mapping[str, Any]]) -> str:
    """One digest for a folder of shards, of theirs."""
    return f"sha256:{hashlib.sha256(' '.join(shard['digest'] for shard in shards).encode()).hexdigest()}"


def check_shards(folder: Path, shards: list[Mapping[str, Any]]) -> None:
    """Raise SigjepaError naming the first shard that is missing, truncated or altered, and the way out."""
    for shard in shards:
        path = folder / shard["file"]
        if not path.is_file():
            raise damaged(path, "is missing")
        if path.stat().st_size != shard["bytes"]:
            raise damaged(path, f"has {path.stat().st_size} bytes instead of {shard['bytes']}")
    # xxhash lets go of the interpreter, so threads hash as fast as the disk reads.
    with ThreadPoolExecutor(min(len(shards), os.cpu_count() or 1)) as pool:
        digests = pool.map(file_digest, [folder / shard["file"] for shard in shards])
        bar = progress(digests, "check teacher shards", total=len(shards), unit="shard")
        for shard, digest in zip(shards, bar, strict=True):
            if digest != shard["digest"]:
                raise damaged(folder / shard["file"], "was altered (its digest differs)")


def differences(have: Mapping[str, Any], want: Mapping[str, Any]) -> list[str]:
    """What distinguishes two nested mappings, as `key: have x, want y`."""
    flat_have, flat_want = _flatten(have), _flatten(want)
    keys = sorted(flat_have.keys() | flat_want.keys())
    pairs = [(key, flat_have.get(key, "nothing"), flat_want.get(key, "nothing")) for key in keys]
    return [f"{key}: have {have}, want {want}" for key, have, want in pairs if have != want]


def _flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            flat.update(_flatten(inner, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = inner
    return flat
