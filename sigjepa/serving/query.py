"""Queries: a signature as it is, or what comes nearest to one of a name, a sentence or a place in a file."""

import ast
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from sigjepa.corpus.functions import FunctionNode, body_text, definitions, signature_text
from sigjepa.corpus.identifiers import split_identifier
from sigjepa.corpus.text import SourceText, decode_source
from sigjepa.errors import SigjepaError
from sigjepa.lexicon.trees import parse

MAX_LETTERS = 10_000
MAX_WORDS = 12
"""Of a sentence, so many words become the name."""
EXPECTED = "Give a signature, such as 'def read_csv(path, sep=\",\"):', a name, or a few words"
NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class Query:
    """A signature that is searched. note: how it was come by, None where it was given as it is.

    file, qualname, body: of a function of a file, whose own body is not wanted.
    """

    signature: str
    note: str | None = None
    file: Path | None = None
    qualname: str | None = None
    body: str | None = None


def read_query(text: str) -> Query:
    """Return the query of a text that a person typed: a signature, a whole function, a call, a name, or words.

    Raises SigjepaError for a text without a word, or with more than MAX_LETTERS letters.
    """
    text = textwrap.dedent(text).strip()
    if len(text) > MAX_LETTERS:
        raise SigjepaError(f"The query has {len(text):,} letters, the most is {MAX_LETTERS:,}. {EXPECTED}.")
    if is_signature(text):
        return Query(text)
    if (function := first_function(text)) is not None:
        signature = signature_text(SourceText(text), function)
        return Query(signature, f"only the signature is searched: {_line(signature)}")
    start = "" if re.match(r"(async\s+)?def\b|@", text) else "def "
    bare = text.rstrip(":").rstrip()
    for signature in (f"{start}{text}:", f"{start}{bare}:", f"{start}{bare}):"):
        if "(" in text and is_signature(signature):
            return Query(signature, f"read as {_line(signature)}")
    sentence = re.sub(r"^(async\s+)?def\b", "", text)
    name = re.sub(r"^[\d_]+", "", "_".join(split_identifier(sentence)[:MAX_WORDS]))
    words = text.rpartition(".")[2] if NAME.fullmatch(text) else name
    if not words.isidentifier():
        raise SigjepaError(f"{_line(text)!r} is no signature. {EXPECTED}.")
    signature = f"def {words}():"
    if not is_signature(signature):  # a keyword, such as `import`
        signature = f"def {words}_():"
    return Query(signature, f"no signature, so it is searched as {signature}")


def is_signature(text: str) -> bool:
    """Return whether a text is decorators and `def …:`, and no more."""
    tree = parse(f"{text} pass")
    if tree is None or len(tree.body) != 1 or not text.endswith(":"):
        return False
    (function,) = tree.body
    return isinstance(function, FunctionNode) and [type(statement) for statement in function.body] == [ast.Pass]


def first_function(text: str) -> FunctionNode | None:
    """Return the function that a text begins with, which may end at the colon of a block; None for other code.

    Behind that colon a comment may stand.
    """
    tree = parse(text) or parse(f"{text} pass") or parse(f"{text}\n{' ' * MAX_LETTERS}pass")  # deeper than any block
    if tree is None or not tree.body or not isinstance(tree.body[0], FunctionNode):
        return None
    return tree.body[0]


def function_at(place: str) -> Query:
    """Return the query of the function around a line, given as `path.py:42`; the innermost, decorators included.

    Raises SigjepaError for a place of another form, a file that can't be read as Python, and a line outside of
    functions.
    """
    path, colon, number = place.rpartition(":")
    if not colon or not number.isdecimal():
        raise SigjepaError(f"from-file {place}: give a file and a line in a function, such as path.py:42.")
    file, line = Path(path).expanduser(), int(number)
    try:
        code = decode_source(file.read_bytes())
        tree = ast.parse(code)
    except OSError as error:
        raise SigjepaError(f"{file} can't be read: {error.strerror}. Give a file and a line, path.py:42.") from None
    except (SyntaxError, ValueError, LookupError, RecursionError, MemoryError) as error:
        raise SigjepaError(f"{file} can't be read as Python ({error}).") from None
    around = [
        (node, qualname)
        for node, qualname in definitions(tree)
        if min([node.lineno, *(each.lineno for each in node.decorator_list)])
        <= line
        <= (node.end_lineno or node.lineno)
    ]
    if not around:
        raise SigjepaError(f"Line {line} of {file} is in no function; give one that is.")
    node, qualname = around[-1]  # those within others come after them
    text = SourceText(code)
    documented = ast.get_docstring(node, clean=False) is not None
    statements = node.body[1:] if documented else node.body
    body = body_text(text, node, statements, documented) if statements else ""
    return Query(signature_text(text, node), None, file, qualname, body)


def _line(text: str) -> str:
    """Return the start of a text in one line."""
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:99]}…"
