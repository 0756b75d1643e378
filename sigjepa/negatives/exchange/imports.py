"""What importing any file of pairs shares: its key, which ids are let in, and the folder that it lands in."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.negatives.exchange.function_ids import KINDS
from sigjepa.negatives.exchange.index_file import LAYOUT
from sigjepa.negatives.exchange.metadata import origin, sidecar_path
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.negatives.index.load_verified import open_index
from sigjepa.store.artifacts import artifact_lock, content_key, file_digest, write_manifest

if TYPE_CHECKING:
    from sigjepa.corpus.corpus import Corpus
    from sigjepa.teacher.shards import TeacherShards

logger = logging.getLogger(__name__)

FORMAT = 1  # raise it when the same file gives other pairs
MANIFEST = "manifest.json"
OUTSIDE = ("refuse", "skip")


def check_arguments(tiers: Sequence[str] | None, ids: str | None, outside_train: str, cosim_tolerance: float) -> None:
    """Raise SigjepaError naming the argument of an import that is out of range."""
    if isinstance(tiers, str) or (tiers is not None and not len(tiers)):
        raise SigjepaError(f"negatives.tiers must be a list such as [phase0,heads], or null, got {tiers!r}.")
    for name, value, choices in (("ids", ids, KINDS), ("outside_train", outside_train, OUTSIDE)):
        if value is not None and value not in choices:
            raise SigjepaError(
                f"negatives.{name}={value} is not one of {', '.join(choices)}.{nearest_name(value, choices)}"
            )
    if not 0 <= cosim_tolerance <= 2:
        raise SigjepaError(f"negatives.cosim_tolerance must lie within [0, 2], got {cosim_tolerance}.")


def import_inputs(
    path: Path, arguments: Mapping[str, Any], corpus: "Corpus", shards: "TeacherShards"
) -> dict[str, Any]:
    """All that an import depends on: what the file and its sidecar hold, the corpus, the shards and `arguments`.

    Raises SigjepaError for a file that is not there.
    """
    if not path.is_file():
        raise SigjepaError(f"{path} {'is no file' if path.exists() else 'does not exist'}; give negatives.path=<file>.")
    notes = sidecar_path(path)
    return {
        "format": FORMAT,
        "layout": LAYOUT,
        "digest": file_digest(path),
        "sidecar": file_digest(notes) if notes.exists() else None,
        "corpus": corpus.hash,
        "shards": shards.folder.name,
        **arguments,
    }


def imported_folder(
    data_dir: Path, kind: str, inputs: Mapping[str, Any], build: Callable[[Path], Mapping[str, Any]]
) -> Path:
    """`<data_dir>/<kind>/imported-<key of inputs>`; `build` fills it unless it is there, and returns its manifest."""
    folder = Path(data_dir) / kind / f"imported-{content_key(inputs)}"
    if not (folder / MANIFEST).exists():
        with artifact_lock(folder):
            if not (folder / MANIFEST).exists():  # another process may have built it while this one waited
                write_manifest(folder / MANIFEST, {"inputs": inputs, **build(folder)})
    return folder


def open_imported(folder: Path, corpus: "Corpus", path: Path) -> HardNegatives:
    """The index in `folder`, its source where the file lies today; a warning when it is empty."""
    index = open_index(folder, len(corpus))
    if not len(index):
        logger.warning(
            "There are no hard negatives: none of the pairs in %s passes the filter. Lower negatives.filter.min_cosim, "
            "raise negatives.filter.max_score_c, take other tiers, or train with negatives=none.",
            path,
        )
    return replace(index, metadata={**index.metadata, "source": str(path)})


def imported_origin(
    corpus: "Corpus", shards: "TeacherShards", notes: Mapping[str, Any], model: str | None, *, own_cosines: bool
) -> dict[str, Any]:
    """The `origin` of imported pairs: `own_cosines` are those of the shards, others what `notes` say, or unknown."""
    facts = origin(corpus, shards)
    if not own_cosines:
        facts |= {"model": notes.get("model"), "teacher": notes.get("teacher")}
    return facts | ({"model": model} if model else {})
