"""Parts that all imports of pairs share: its key, and what is said of where its pairs are from."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from sigjepa.errors import SigjepaError
from sigjepa.negatives.exchange.metadata import metadata_path
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.stage import warn_if_empty
from sigjepa.negatives.mining.stage import pair_metadata
from sigjepa.store.files import file_digest

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus
    from sigjepa.teacher.shards import TeacherShards

FORMAT = 2  # raise it when the same file gives other pairs or another artifact

Ids = Literal["position", "key"]
Outside = Literal["refuse", "skip"]
Tolerance = Annotated[float, Field(ge=0, le=2)]


def import_inputs(
    path: Path, arguments: Mapping[str, Any], corpus: "Corpus", shards: "TeacherShards"
) -> dict[str, Any]:
    """Return all that an import depends on: what the file and its metadata hold, corpus, shards and `arguments`.

    Raises SigjepaError for a file that is not there.
    """
    if not path.is_file():
        raise SigjepaError(f"{path} {'is no file' if path.exists() else 'does not exist'}; give negatives.path=<file>.")
    beside = metadata_path(path)
    return {
        "format": FORMAT,
        "digest": file_digest(path),
        "metadata": file_digest(beside) if beside.exists() else None,
        "corpus": corpus.hash,
        "shards": shards.folder.name,
        **arguments,
    }


def imported_metadata(
    corpus: "Corpus", shards: "TeacherShards", recorded: Mapping[str, Any], model: str | None, *, own_cosines: bool
) -> dict[str, Any]:
    """Return where imported pairs are from: `own_cosines` are those of the shards, others what is `recorded`."""
    facts = pair_metadata(corpus, shards)
    if not own_cosines:
        facts |= {"model": recorded.get("model"), "teacher": recorded.get("teacher")}
    return facts | ({"model": model} if model else {})


def with_source(index: HardNegatives, path: Path) -> HardNegatives:
    """Return an index that names the file where it lies today; a warning when it is empty."""
    warn_if_empty(index)
    return replace(index, metadata={**index.metadata, "source": str(path)})
