"""Opening the folder of an index only when every file in it is as it was written."""

from pathlib import Path

from sigjepa.errors import SigjepaError
from sigjepa.negatives.index.hard_negatives import HardNegatives
from sigjepa.store.artifacts import damaged, file_digest, read_manifest
from sigjepa.store.origin import MADE

MANIFEST = "manifest.json"


def open_index(folder: Path, n_functions: int) -> HardNegatives:
    """The index in an artifact folder, for a corpus of `n_functions`; raises DamagedError naming what changed."""
    manifest = read_manifest(folder / MANIFEST, ("inputs",))
    for name, digest in manifest.get(MADE, {}).get("files", {}).items():
        if not (folder / name).is_file():
            raise damaged(folder / name, "is missing", folder)
        if file_digest(folder / name) != digest:
            raise damaged(folder / name, "was altered after it was written: its digest differs", folder)
    try:
        return HardNegatives.load(folder, n_functions)
    except SigjepaError as error:  # an index of before digests
        raise damaged(folder, f"is damaged ({error})") from None
