"""The files of a student's folder: written with their digests, and compared with them before anything is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file
from torch import Tensor

from sigjepa.errors import SigjepaError
from sigjepa.lexicon.stage import FORMAT as LEXICON_FORMAT
from sigjepa.serving.hub import download
from sigjepa.store.files import atomic_path, file_digest, read_errors, read_json, write_json
from sigjepa.training.run_file_names import JOB_FILE, STUDENT_FOLDER

FORMAT = 1  # raise it when a folder is to be read in another way
CONFIG_FILE, WEIGHTS_FILE, STATISTICS_FILE = "config.json", "model.safetensors", "statistics.safetensors"
CHECKSUMS_FILE, CARD_FILE = "checksums.json", "README.md"
MODEL_TYPE = "sigjepa_student"


def find_student(folder_or_hub_id: str | Path) -> Path:
    """Return the folder of a student: of itself, of the run directory that has it, or fetched from the Hub.

    Raises SigjepaError when it is none.
    """
    folder = Path(folder_or_hub_id).expanduser()
    if not folder.exists():
        return download(str(folder_or_hub_id))
    for place in (folder, folder / STUDENT_FOLDER):
        if (place / CHECKSUMS_FILE).is_file() and (place / CONFIG_FILE).is_file():
            return place
    if (folder / JOB_FILE).is_file():
        raise SigjepaError(f"{folder} is a run without a student: it is written when the run has finished.")
    raise SigjepaError(
        f"{folder} is no student: it has no {CONFIG_FILE} and {CHECKSUMS_FILE}. Give a run directory, its "
        f"{STUDENT_FOLDER} folder, or what `sigjepa export student=...` wrote."
    )


def write_student(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    arrays: Mapping[str, np.ndarray],
    card: str = "",
) -> None:
    """Write the files of a student, each whole or not at all, and the digests of those that decide a prediction.

    A card is none of these: people edit it on the Hub. With statistics stands how the lexicon read the terms that they
    count.
    """
    (folder / CHECKSUMS_FILE).unlink(missing_ok=True)
    written = [CONFIG_FILE, WEIGHTS_FILE]
    formats = {"format": FORMAT, "lexicon_format": LEXICON_FORMAT} if arrays else {"format": FORMAT}
    write_json(folder / CONFIG_FILE, {"model_type": MODEL_TYPE, **formats, **config})
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        # copied, since safetensors refuses tied weights, which share memory
        save_file(
            {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}, temporary
        )
    if arrays:
        written.append(STATISTICS_FILE)
        with atomic_path(folder / STATISTICS_FILE) as temporary:
            save_arrays(dict(arrays), temporary)
    else:
        (folder / STATISTICS_FILE).unlink(missing_ok=True)
    if card:
        with atomic_path(folder / CARD_FILE) as temporary:
            temporary.write_text(card, encoding="utf-8")
    write_json(folder / CHECKSUMS_FILE, {"files": {name: file_digest(folder / name) for name in written}})


def read_student(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, np.ndarray]]:
    """Return the config, tensors and statistics of a student's folder, whose files are as they were written.

    Raises SigjepaError for a file that is missing or was changed, and for a folder or a lexicon of another format.
    """
    verify(folder)
    config = read_json(folder / CONFIG_FILE)
    if not isinstance(config, dict) or config.pop("model_type", None) != MODEL_TYPE:
        raise SigjepaError(f"{folder / CONFIG_FILE} is no student's: its model_type is not {MODEL_TYPE}.")
    if (found := config.pop("format", None)) != FORMAT:
        raise SigjepaError(
            f"{folder} has format {found} of student folders, and this version of sigjepa reads {FORMAT}: install the "
            "version that wrote it, or export it again from its run."
        )
    tensors, arrays = folder / WEIGHTS_FILE, folder / STATISTICS_FILE
    found = config.pop("lexicon_format", None)  # not there in folders written before format 4 of the lexicon
    if arrays.is_file() and found != LEXICON_FORMAT:
        raise SigjepaError(
            f"{folder} was trained on terms of lexicon format {found or '3 or earlier'}, and this version of sigjepa "
            f"reads terms as format {LEXICON_FORMAT}, so it would predict something else: train it again, or install "
            "the version that wrote it."
        )
    with read_errors(tensors):
        weights = load_file(tensors)
    with read_errors(arrays):
        return config, weights, load_arrays(arrays) if arrays.is_file() else {}


def read_card(folder: Path) -> str:
    """Return the model card of a student, empty where it has none."""
    path = folder / CARD_FILE
    with read_errors(path):
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def verify(folder: Path) -> None:
    """Raise SigjepaError for the first file whose digest is not that of its checksums."""
    record = read_json(folder / CHECKSUMS_FILE)
    files = record.get("files") if isinstance(record, dict) else None
    if not isinstance(files, dict) or not {CONFIG_FILE, WEIGHTS_FILE} <= files.keys():
        raise SigjepaError(f"{folder / CHECKSUMS_FILE} does not name a student's files; copy the whole folder again.")
    for name, digest in files.items():
        path = folder / name
        if path.parent != folder or not path.is_file():
            raise SigjepaError(f"{path} is missing: copy the whole folder again.")
        if file_digest(path) != digest:
            raise SigjepaError(f"{path} is not as it was written (its checksum differs): copy the folder again.")
