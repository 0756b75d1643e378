"""The functions of Python's standard library: real code that every machine has."""

import sysconfig
from functools import cache
from itertools import chain, islice
from pathlib import Path

from sigjepa.corpus.functions import Function, extract_functions
from sigjepa.errors import SigjepaError


@cache
def files() -> list[tuple[str, bytes]]:
    """Return the path and content of each file of the standard library, tests left out, in the order of their paths."""
    root = Path(sysconfig.get_path("stdlib"))
    paths = (path.relative_to(root) for path in sorted(root.rglob("*.py")))
    return [
        (str(path), (root / path).read_bytes())
        for path in paths
        if not {"site-packages", "test", "tests", "idle_test"} & set(path.parts)
    ]


def functions(count: int) -> list[Function]:
    """Return the first `count` functions; raises SigjepaError where there are fewer."""
    found = chain.from_iterable(
        extract_functions(content, repository="stdlib", path=path)[0] for path, content in files()
    )
    chosen = list(islice(found, count))
    if len(chosen) < count:
        raise SigjepaError(f"The standard library has {len(chosen)} functions, and {count} were asked for.")
    return chosen
