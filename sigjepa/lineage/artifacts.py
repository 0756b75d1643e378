"""The chain of keyed folders: negatives, judged and mined pairs, teacher shards, corpus, each against its record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sigjepa.corpus.corpus import FUNCTIONS_FILE, Corpus, content_hash
from sigjepa.corpus.source_files import SOURCES_FILE
from sigjepa.errors import SigjepaError
from sigjepa.lineage.report_types import Check, Link, compared
from sigjepa.lineage.sources import source_files
from sigjepa.negatives.exchange import index_file
from sigjepa.negatives.judging import judged_pairs as judged
from sigjepa.negatives.mining import mined
from sigjepa.store.files import file_digest, read_json
from sigjepa.store.manifest import Manifest, content_key
from sigjepa.store.origin import MADE
from sigjepa.teacher.manifest import shards_digest

MANIFEST = "manifest.json"
FOLDERS = {"corpus": "corpus", "shards": "teacher", "mined": "mined", "judged": "judged", "negatives": "negatives"}
"""Kinds of artifacts, and their folders below the data directory."""
NOT_RECORDED = "made before this was recorded; the folder's key still names its inputs"


@dataclass
class Cache:
    """A data directory, and the content digests of the artifacts that were met in it, by kind and folder."""

    data_dir: Path
    digests: dict[tuple[str, str], str] = field(default_factory=dict)

    def folder(self, kind: str, name: str) -> Path:
        """Where an artifact lies."""
        return self.data_dir / FOLDERS[kind] / name


def artifact(kind: str, folder: Path, cache: Cache) -> Link:
    """One artifact and all that it was made from, every link checked."""
    link = Link(kind, str(folder))
    manifest = manifest_of(folder, link)
    if manifest is None:
        return link
    inputs, record = manifest["inputs"], manifest.get(MADE) or {}
    link.made = {key: record[key] for key in ("time", "command", "code", "versions") if key in record}
    link.checks.append(
        compared("key of its inputs", content_key(inputs), folder.name.rpartition("-")[2], "names the folder")
    )
    digests = recorded_digests(kind, folder, manifest) | record.get("files", {})
    found = {name: checked_file(folder / name, digest, link) for name, digest in digests.items()}
    cache.digests[kind, folder.name] = content_digest(kind, folder, manifest, found, link)
    if not record:
        link.checks.append(Check("code, versions, command and time", "not recorded", NOT_RECORDED))
    if kind == "corpus":
        if SOURCES_FILE in record.get("files", {}):
            link.upstream.append(source_files(folder / SOURCES_FILE, inputs.get("source", {})))
        else:
            link.checks.append(Check("source files", "not recorded", NOT_RECORDED))
    for above, name in upstream_folders(kind, inputs, record, cache).items():
        if name is None:
            link.checks.append(Check(f"{above} that it was made from", "missing", "no folder has the recorded hash"))
        else:
            link.upstream.append(artifact(above, cache.folder(above, name), cache))
    link.checks += upstream_checks(record.get("upstream"), cache)
    link.checks += input_checks(kind, inputs, cache)
    if brought := brought_file(folder, inputs):
        link.upstream.append(brought)
    return link


def manifest_of(folder: Path, link: Link) -> dict[str, Any] | None:
    """The manifest of a folder; what is wrong with it becomes a check of `link`, and None."""
    if not (folder / MANIFEST).is_file():
        link.checks.append(Check(MANIFEST, "missing", f"{folder / MANIFEST} does not exist"))
        return None
    try:
        manifest = read_json(folder / MANIFEST)
    except SigjepaError as error:
        link.checks.append(Check(MANIFEST, "changed", str(error)))
        return None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("inputs"), dict):
        link.checks.append(Check(MANIFEST, "changed", f"{folder / MANIFEST} holds no inputs"))
        return None
    return manifest


def recorded_digests(kind: str, folder: Path, manifest: Mapping[str, Any]) -> dict[str, str]:
    """Digests that the manifest records outside of `made`, by file."""
    if kind == "shards":
        return {str(shard["file"]): str(shard["digest"]) for shard in manifest.get("shards", ())}
    names = {"corpus": FUNCTIONS_FILE, "mined": mined.FILE_NAME, "judged": judged.FILE_NAME}
    if kind in names:
        return {names[kind]: str(manifest.get("digest"))}
    meta = folder / index_file.META_NAME
    if not meta.is_file():
        return {index_file.META_NAME: "a digest"}
    try:
        return {index_file.FILE_NAME: str(read_json(meta).get("digest"))}
    except (SigjepaError, AttributeError):
        return {}  # its digest under `made` tells


def checked_file(path: Path, digest: str, link: Link) -> str:
    """The digest of a file today, after a check against the recorded one."""
    if not path.is_file():
        link.checks.append(Check(path.name, "missing", f"{path} does not exist"))
        return ""
    found = file_digest(path)
    link.checks.append(compared(path.name, found, digest))
    return found


def content_digest(kind: str, folder: Path, manifest: Mapping[str, Any], found: Mapping[str, str], link: Link) -> str:
    """What downstream knows the artifact by: the digest of what it holds today, not of what its manifest says."""
    if kind == "shards":
        return shards_digest([{"digest": found[shard["file"]]} for shard in manifest.get("shards", ())])
    if kind != "corpus":
        name = {"mined": mined.FILE_NAME, "judged": judged.FILE_NAME, "negatives": index_file.FILE_NAME}[kind]
        return found.get(name, "")
    try:
        digest = content_hash(Corpus(Manifest.read(folder)).table)
    except (SigjepaError, KeyError) as error:
        link.checks.append(Check("hash of all functions", "changed", str(error)))
        return ""
    link.checks.append(compared("hash of all functions", digest, manifest.get("hash")))
    return digest


def upstream_folders(
    kind: str, inputs: Mapping[str, Any], record: Mapping[str, Any], cache: Cache
) -> dict[str, str | None]:
    """The artifact that comes before one in the chain, by kind; None where it can't be found."""
    recorded = {above: str(one["folder"]) for above, one in (record.get("upstream") or {}).items()}
    before = inputs.get("judged", inputs.get("read")) if kind == "negatives" else None
    if kind == "corpus":
        return {}
    if kind == "shards":
        return {"corpus": recorded.get("corpus") or corpus_with(str(inputs.get("corpus")), cache)}
    if kind == "judged" and "mined" in inputs:
        return {"mined": content_key(inputs["mined"])}
    if before is None:
        return {"shards": inputs.get("shards")}
    ending = content_key(before)
    folders = sorted(cache.folder("judged", "").glob(f"*-{ending}/"))
    return {"judged": folders[0].name if folders else recorded.get("judged", f"?-{ending}")}


def corpus_with(digest: str, cache: Cache) -> str | None:
    """The folder of the corpus with a hash, for shards that do not name it; the same content may be there twice."""
    for path in sorted(cache.folder("corpus", "").glob(f"*/{MANIFEST}")):
        if read_json(path).get("hash") == digest:
            return path.parent.name
    return None


def upstream_checks(recorded: Mapping[str, Mapping[str, Any]] | None, cache: Cache) -> list[Check]:
    """What was recorded of the artifacts that a thing was made from, against what they hold today."""
    checks = []
    for kind, one in (recorded or {}).items():
        what = f"digest of {kind} {one['folder']}"
        found = cache.digests.get((kind, str(one["folder"])))
        if found is None:
            checks.append(Check(what, "missing", f"{cache.folder(kind, str(one['folder']))} is not the one in use"))
        else:
            checks.append(compared(what, found, one["digest"]))
    return checks


def input_checks(kind: str, inputs: Mapping[str, Any], cache: Cache) -> list[Check]:
    """The corpus hash among the inputs, which every manifest has, against the corpus that was met."""
    if kind not in ("shards", "mined"):
        return []
    hashes = {digest for (met, _), digest in cache.digests.items() if met == "corpus"}
    if not hashes:
        return []
    wanted = str(inputs.get("corpus"))
    return [compared("corpus among its inputs", wanted if wanted in hashes else min(hashes), wanted)]


def brought_file(folder: Path, inputs: Mapping[str, Any]) -> Link | None:
    """The file of pairs or negatives that an import read, hashed again where it still lies; None for what was mined."""
    digest = inputs.get("digest")
    meta = folder / index_file.META_NAME
    read = inputs.get("read")
    if digest is None and isinstance(read, Mapping):
        digest = read.get("digest")
    if digest is None or not meta.is_file():
        return None
    place = str(read_json(meta).get("source", ""))
    link = Link("brought file", place)
    if place and Path(place).is_file():
        link.checks.append(compared(Path(place).name, file_digest(Path(place)), digest))
    else:
        link.checks.append(Check(Path(place).name or "file", "gone", "it no longer lies where it was read"))
    return link
