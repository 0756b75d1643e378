"""What lies beside a file of pairs or negatives, `<name>.meta.json`: of which corpus and teacher it is."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.index_file import Document
from sigjepa.store.artifacts import file_digest

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus
    from sigjepa.teacher.shards import TeacherShards


def sidecar_path(path: Path) -> Path:
    """Where the notes on a file lie: `knn_results.meta.json` beside `knn_results.jsonl`."""
    return path.with_name(f"{path.stem}.meta.json")


def origin(corpus: "Corpus", shards: "TeacherShards") -> dict[str, Any]:
    """What pairs depend on, for a sidecar: `model` (the teacher's name), `corpus`, `teacher` (its fingerprint)."""
    return {
        "model": shards.manifest.facts["name"],
        "corpus": corpus.hash,
        "teacher": shards.manifest.inputs["teacher"],
    }


def read_sidecar(path: Path) -> dict[str, Any]:
    """The notes on a file, empty when it has none; raises SigjepaError for damaged ones, or of another content."""
    notes = sidecar_path(path)
    if not notes.exists():
        return {}
    document = Document(notes, f"export {path.name} again, or delete {notes.name} to read the file without it.")
    content = document.read()
    if not isinstance(content, dict) or "digest" not in content:
        raise document.wrong("is no meta file: it has no digest")
    if (digest := file_digest(path)) != content["digest"]:
        raise document.wrong(f"belongs to another {path.name}: it says {content['digest']}, the file has {digest}")
    return content


def check_origin(
    path: Path, notes: Mapping[str, Any], expected: Mapping[str, Any], *, by_position: bool, check_cosim: bool
) -> None:
    """Raise SigjepaError when a sidecar says that ids or cosines of its file are of another corpus or teacher.

    expected: the `origin` of the corpus and shards in use. Content keys mean the same functions in every corpus.
    """
    from sigjepa.store.manifest import differences  # noqa: PLC0415

    corpus, teacher = notes.get("corpus"), notes.get("teacher")
    if by_position and corpus and corpus != expected["corpus"]:
        raise SigjepaError(
            f"{path} is of another corpus: {sidecar_path(path).name} says {corpus}, the corpus in use is "
            f"{expected['corpus']}, so its ids name other functions. Use the corpus that it was exported from, or "
            "export it with ids=key."
        )
    if check_cosim and teacher and expected["teacher"] and (changes := differences(teacher, expected["teacher"])):
        raise SigjepaError(
            f"{path} has the cosines of another teacher: {'; '.join(changes)}. Use that teacher, or accept its cosines "
            "with negatives.check_cosim=false."
        )
