"""Python's search for garbage, which takes time where many objects come at once and none of them is garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def search_rests() -> Iterator[None]:
    """Let Python's search for garbage rest within the block."""
    searches = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searches:
            gc.enable()
