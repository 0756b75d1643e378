"""Checkpoints on disk: written whole or not at all, and read without running anything that is in them."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from sigjepa.errors import SigjepaError, StorageError
from sigjepa.store.files import atomic_path, read_errors


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its name and renames it: a process killed while it writes leaves the earlier one.

    Lightning's own writes to a temporary folder that may lie on another disk, from where nothing moves atomically.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write `checkpoint` to `path`, atomically."""
        with atomic_path(Path(path)) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(
        self, path: str | Path, map_location: Callable | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Return what is at `path`: tensors and plain values alone, whatever `weights_only` says."""
        return read_checkpoint(Path(path))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return a checkpoint's tensors and plain values, on the CPU; raises SigjepaError naming a file that holds
    anything else.

    Nothing is unpickled but weights: a checkpoint may come from anywhere.
    """
    try:
        with read_errors(path), zipfile.ZipFile(path) as archive:  # torch does not compare the checksums that it writes
            if (broken := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {broken} differs")
            for member in archive.infolist():  # nor sizes: it would give whatever lies in memory for what is not there
                whole = member.compress_type == zipfile.ZIP_STORED and len(archive.read(member)) == member.file_size
                if not whole or member.comment or member.extra or member.external_attr:  # torch writes none of these
                    raise ValueError(f"the archive's record of {member.filename} is damaged")
        with read_errors(path):
            return torch.load(path, map_location="cpu", weights_only=True)
    except StorageError:
        raise
    except FileNotFoundError:
        raise SigjepaError(f"{path} does not exist; train again, with resume=never.") from None
    except Exception as error:  # noqa: BLE001 - torch raises whatever the damaged bytes lead to
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SigjepaError(f"{path} is no readable checkpoint ({reason}); delete it to begin this run anew.") from None
