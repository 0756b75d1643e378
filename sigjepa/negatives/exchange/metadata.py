"""The metadata beside a file of pairs or negatives, `<name>.meta.json`: of which corpus and teacher it is."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.document import Document
from sigjepa.negatives.exchange.function_ids import FunctionIds
from sigjepa.negatives.mining.stage import pair_metadata
from sigjepa.store.files import file_digest
from sigjepa.store.manifest import differences

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus
    from sigjepa.teacher.shards import TeacherShards


def metadata_path(path: Path) -> Path:
    """Return where the metadata of a file lies: `knn_results.meta.json` beside `knn_results.jsonl`."""
    return path.with_name(f"{path.stem}.meta.json")


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata of a file, empty when it has none; raises SigjepaError for a damaged one, or another's."""
    recorded = metadata_path(path)
    if not recorded.exists():
        return {}
    document = Document(recorded, f"export {path.name} again, or delete {recorded.name} to read the file without it.")
    content = document.read()
    if not isinstance(content, dict) or "digest" not in content:
        raise document.wrong("is no meta file: it has no digest")
    if (digest := file_digest(path)) != content["digest"]:
        raise document.wrong(f"belongs to another {path.name}: it says {content['digest']}, the file has {digest}")
    return content


def check_metadata(
    path: Path,
    recorded: Mapping[str, Any],
    corpus: "Corpus",
    shards: "TeacherShards",
    ids: FunctionIds,
    *,
    check_cosim: bool,
) -> None:
    """Raise SigjepaError when ids or cosines of a file are recorded to be of another corpus or teacher.

    Content keys mean the same functions in every corpus.
    """
    expected, teacher = pair_metadata(corpus, shards), recorded.get("teacher")
    if ids.kind == "position" and recorded.get("corpus") not in (None, expected["corpus"]):
        raise SigjepaError(
            f"{path} is of another corpus: {metadata_path(path).name} says {recorded['corpus']}, the corpus in use is "
            f"{expected['corpus']}, so its ids name other functions. Use the corpus that it was exported from, or "
            "export it with ids=key."
        )
    if check_cosim and teacher and expected["teacher"] and (changes := differences(teacher, expected["teacher"])):
        raise SigjepaError(
            f"{path} has the cosines of another teacher: {'; '.join(map(str, changes))}. Use that teacher, or accept "
            "its cosines with negatives.check_cosim=false."
        )
