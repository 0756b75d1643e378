"""Large libraries that a command is about to use, imported without looking for garbage among what they define."""

import gc
import importlib
import sys
from collections.abc import Sequence

from sigjepa.runtime.garbage_collection import paused_garbage_collection

TEACHERS_LIBRARY = "transformers.modeling_utils"
"""What a teacher's model is built of, imported when its files are read."""


def import_libraries(names: Sequence[str]) -> None:
    """Import modules while Python's search for garbage rests; what is there by then is left out of later searches.

    torch, Lightning and transformers define half a million objects, and Python would look through all of them over and
    over, for a fifth to a third of the time that importing them takes. Only a process of a command's own is to call
    this: garbage that a notebook has by then would never be found. Nothing is done where all are imported.
    """
    if all(name in sys.modules for name in names):
        return
    with paused_garbage_collection():
        try:
            for name in names:
                importlib.import_module(name)
        finally:
            gc.freeze()
