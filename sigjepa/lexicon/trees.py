"""Syntax trees of signatures and bodies, or none for what is not Python."""

import ast
import warnings


def parse(code: str) -> ast.Module | None:
    """Return the syntax tree of some code, None for what this Python cannot parse."""
    try:
        with warnings.catch_warnings():  # invalid escapes in other people's strings
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
