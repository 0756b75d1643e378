"""What a path is: a checkpoint, a run directory, an artifact, or a file in one of them."""

from pathlib import Path

from sigjepa.errors import SigjepaError
from sigjepa.lineage.artifacts import FOLDERS, MANIFEST, Cache, artifact
from sigjepa.lineage.report_types import Link
from sigjepa.lineage.runs import checkpoint, run
from sigjepa.store.files import read_json
from sigjepa.training.provenance import PROVENANCE_FILE

LEVELS = 4
"""How many folders above a file are looked at for the run or artifact that it belongs to."""


def lineage(path: Path, data_dir: Path | None = None) -> Link:
    """What lies at `path`, and all that it was made from, checked.

    data_dir: where the artifacts are, when they are not where they were. Raises SigjepaError for a path that does not
    exist, or is nothing that this package wrote.
    """
    if not path.exists():
        raise SigjepaError(f"{path} does not exist.")
    if data_dir is not None and not data_dir.is_dir():
        raise SigjepaError(f"--data-dir {data_dir} is no folder.")
    path = path.resolve()
    if path.is_file() and path.suffix == ".ckpt":
        return checkpoint(path, data_dir)
    folders = [path, *path.parents] if path.is_dir() else list(path.parents)
    for folder in folders[:LEVELS]:
        if is_run(folder):
            return run(folder, data_dir)
        if (kind := kind_of(folder)) is not None:
            return artifact(kind, folder, Cache(data_dir or folder.parent.parent))
    raise SigjepaError(
        f"{path} is nothing that sigjepa wrote: neither a checkpoint (.ckpt), nor a run directory (with "
        f"{PROVENANCE_FILE}), nor an artifact ({', '.join(f'{name}/…' for name in FOLDERS.values())} of a data "
        f"directory, with {MANIFEST}), nor a file in one."
    )


def is_run(folder: Path) -> bool:
    """Whether a folder is a run directory."""
    path = folder / PROVENANCE_FILE
    if not path.is_file():
        return False
    facts = read_json(path)
    if not isinstance(facts, dict) or not {"config", "data_dir"} <= facts.keys():
        raise SigjepaError(f"{path} is not the provenance of a run: it has no config or no data_dir.")
    return True


def kind_of(folder: Path) -> str | None:
    """Which kind of artifact a folder is, by the folder that it lies in; None for something else."""
    kinds = {name: kind for kind, name in FOLDERS.items()}
    if folder.parent.name not in kinds:
        return None
    return kinds[folder.parent.name] if any(folder.glob("*")) and not is_run(folder) else None
