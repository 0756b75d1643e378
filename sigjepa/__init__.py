"""sigjepa: how much of a function's body can be predicted from its signature?

The names that a notebook needs stand in `__init__.pyi`, and each is imported when it is first used (PEP 562), so that
`import sigjepa` loads neither torch nor Lightning.
"""

import ast
import functools
import importlib
from pathlib import Path
from typing import Any

__version__ = "0.3.0"


@functools.cache
def _modules() -> dict[str, str]:
    """Return the module of each public name: what `from module import name as name` in the stub says."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def __getattr__(name: str) -> Any:
    if name.startswith("_") or name not in _modules():
        raise AttributeError(f"module 'sigjepa' has no attribute '{name}'")
    value = getattr(importlib.import_module(_modules()[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_modules()})
