"""Functions of a Python file: signature and body as written, and why the others were left out."""

import ast
import inspect
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import xxhash

from sigjepa.corpus.text import SourceText, decode_source
from sigjepa.runtime.garbage_collection import paused_garbage_collection

EXTRACTION_VERSION = 3
"""Part of every corpus key: raise it when the same bytes give other functions, so that no stale corpus is read."""

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Block: TypeAlias = Sequence[ast.stmt]

# The markers that code generators leave, in the comments or the docstring a file opens with.
HEADER_LINES = 20
GENERATED = re.compile(
    r"@generated\b|\bdo not edit\b"
    r"|\b(auto-?|automatically )generated\b"
    r"|^\s*(#+|\"\"\"|''')\s*(this (file|module|code) (is|was|has been) )?generated (by|from|using|with)\b",
    re.IGNORECASE | re.MULTILINE | re.ASCII,
)
TEST_FOLDERS = frozenset({"test", "tests"})
TEST_FILE = re.compile(r"(test_.*|.*_test|conftest|tests?)\.py")
ABSTRACT_DECORATORS = frozenset({"abstractmethod", "abstractproperty", "abstractclassmethod", "abstractstaticmethod"})

BLOCKS = {
    kind: [field for field in ("body", "cases", "handlers", "orelse", "finalbody") if field in kind._fields]
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}
"""The fields of each kind of statement that hold statements, handlers or cases, in order."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function: its halves as written (dedented), its docstring apart, and where it stands."""

    repository: str
    path: str
    qualname: str
    line: int
    signature: str
    docstring: str
    body: str

    @property
    def key(self) -> str:
        """Content hash of signature and body; functions with equal keys are exact duplicates."""
        return xxhash.xxh3_128_hexdigest(f"{self.signature}\0{self.body}".encode())

    @property
    def place(self) -> tuple[str, str, int, str, str]:
        """The place in the source, by which rows are ordered."""
        return (self.repository, self.path, self.line, self.qualname, self.key)


Extracted: TypeAlias = tuple[list[Function], Counter[str]]
"""The functions of a file, and what was skipped, by reason."""
Extract: TypeAlias = Callable[..., Extracted]
"""Takes the bytes of a file and the arguments of `extract_functions`; can be pickled."""


def is_test_path(path: str) -> bool:
    """Return whether `path`, relative to its repository, is test code by pytest's and unittest's naming."""
    *folders, name = path.lower().split("/")
    return not TEST_FOLDERS.isdisjoint(folders) or TEST_FILE.fullmatch(name) is not None


def extract_functions(
    content: bytes,
    *,
    repository: str,
    path: str,
    min_body_statements: int = 2,
    max_body_lines: int = 200,
    max_file_bytes: int = 1_000_000,
) -> Extracted:
    """Return the functions of one file in source order, nested ones included, and what was skipped, by reason.

    Nothing is raised for a bad file: it is counted.
    """
    if len(content) > max_file_bytes:
        return [], Counter(oversized_file=1)
    try:
        code = decode_source(content)
    except (UnicodeError, LookupError, SyntaxError):
        return [], Counter(undecodable_file=1)
    if is_generated(code):
        return [], Counter(generated_file=1)
    with paused_garbage_collection():  # no part of a tree is garbage before all of it
        return functions_of(code, repository, path, min_body_statements, max_body_lines)


def functions_of(code: str, repository: str, path: str, min_body_statements: int, max_body_lines: int) -> Extracted:
    """Return the functions of decoded code, as `extract_functions` does.

    Statements are counted at every depth of the body, without the docstring. A nested function is a record of its
    own and stays part of the outer body.
    """
    try:
        with warnings.catch_warnings():  # invalid escapes in other people's strings
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return [], Counter(syntax_error=1)
    except (RecursionError, MemoryError):
        return [], Counter(too_deeply_nested=1)

    text, functions, skipped = SourceText(code), [], Counter[str]()
    for node, qualname in definitions(tree):
        docstring = ast.get_docstring(node, clean=False)
        documented = docstring is not None
        statements = node.body[1:] if documented else node.body
        reason = skip_reason(node, statements, min_body_statements)
        if reason is None:
            body = body_text(text, node, statements, documented)
            if body.count("\n") + 1 > max_body_lines:
                reason = "long_body"
        if reason is not None:
            skipped[reason] += 1
            continue
        # An escape may spell half a surrogate pair, which UTF-8 has no bytes for.
        docstring = inspect.cleandoc(docstring or "").encode("utf-8", "replace").decode("utf-8")
        signature = signature_text(text, node)
        functions.append(Function(repository, path, qualname, node.lineno, signature, docstring, body))
    return functions, skipped


def is_generated(code: str) -> bool:
    """Return whether the first lines of a file carry a code generator's marker."""
    return GENERATED.search("\n".join(code.split("\n", HEADER_LINES)[:HEADER_LINES])) is not None


def definitions(tree: ast.AST) -> Iterator[tuple[FunctionNode, str]]:
    """Yield every function definition below `tree` in source order, with its qualified name (without recursion)."""
    stack: list[tuple[ast.AST, str]] = [(tree, "")]
    while stack:
        node, prefix = stack.pop()
        if isinstance(node, FunctionNode):
            qualname = prefix + node.name
            yield node, qualname
            prefix = f"{qualname}.<locals>."
        elif isinstance(node, ast.ClassDef):
            prefix = f"{prefix}{node.name}."
        stack.extend((child, prefix) for child in reversed(child_statements(node)) if BLOCKS[type(child)])


def child_statements(node: ast.AST) -> list[ast.AST]:
    """Return the statements directly below a statement, handler, case or file, and its handlers and cases, in order."""
    return [child for field in BLOCKS[type(node)] for child in getattr(node, field)]


def skip_reason(node: FunctionNode, statements: Block, min_body_statements: int) -> str | None:
    """Return why a function is no (signature, body) pair, or None; `statements` are those after the docstring."""
    decorators = {final_name(decorator) for decorator in node.decorator_list}
    if "overload" in decorators:
        return "overload"
    if not ABSTRACT_DECORATORS.isdisjoint(decorators) or is_abstract(statements):
        return "abstract"
    if all(is_placeholder(statement) for statement in statements):
        return "stub"
    if not has_statements(statements, min_body_statements):
        return "short_body"
    return None


def final_name(expression: ast.expr) -> str:
    """Return `c` of `c`, `a.b.c` and `a.b.c(...)`, or an empty string."""
    if isinstance(expression, ast.Call):
        expression = expression.func
    if isinstance(expression, ast.Attribute):
        return expression.attr
    return expression.id if isinstance(expression, ast.Name) else ""


def is_abstract(statements: Block) -> bool:
    """Return whether all that a body does is raise NotImplementedError, its message prepared in a variable or not."""
    if not statements:
        return False
    *before, last = statements
    return (
        isinstance(last, ast.Raise)
        and last.exc is not None
        and final_name(last.exc) == "NotImplementedError"
        and all(isinstance(statement, ast.Assign) or is_placeholder(statement) for statement in before)
    )


def is_placeholder(statement: ast.stmt) -> bool:
    """Return whether a statement is `pass`, `...` or another bare constant."""
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def has_statements(statements: Block, wanted: int) -> bool:
    """Return whether a body has at least `wanted` statements, those of its inner blocks included."""
    stack: list[ast.AST] = list(statements)
    found = 0
    while stack and found < wanted:
        node = stack.pop()
        found += isinstance(node, ast.stmt)
        stack.extend(child_statements(node))
    return found >= wanted


def signature_text(text: SourceText, node: FunctionNode) -> str:
    """Return the decorators and `def …:` as written, dedented by the indentation of the `def`."""
    first = node.lineno
    if node.decorator_list:
        # `ast` gives the position of the decorator's expression; the `@` may stand lines above it: `@(\n name)`.
        first = node.decorator_list[0].lineno
        while not text.lines[first - 1].lstrip(" \t\f").startswith("@"):
            first -= 1
    line, column = colon(text, node)
    return text.cut((first, 0), (line, column + 1), text.margin(node.lineno))


def colon(text: SourceText, node: FunctionNode) -> tuple[int, int]:
    """Return the line and column of the colon that ends a `def`: the first after annotations, defaults, comments."""
    arguments = node.args
    positioned: list[ast.AST] = [
        *arguments.posonlyargs,
        *arguments.args,
        *arguments.kwonlyargs,
        *arguments.defaults,
        *(default for default in arguments.kw_defaults if default is not None),
        *(argument for argument in (arguments.vararg, arguments.kwarg, node.returns) if argument is not None),
        *getattr(node, "type_params", ()),
    ]
    ends = [(part.end_lineno, part.end_col_offset) for part in positioned]  # type: ignore[attr-defined]
    line, offset = max(ends, default=(node.lineno, node.col_offset))
    column = text.column(line, offset)
    while True:
        code = text.lines[line - 1][column:].partition("#")[0]
        if ":" in code:
            return line, column + code.index(":")
        line, column = line + 1, 0


def body_text(text: SourceText, node: FunctionNode, statements: Block, documented: bool) -> str:
    """Return the statements after the docstring as written, with their comments, dedented."""
    first, last = statements[0], statements[-1]
    header = (node.body[0].end_lineno or 0) if documented else colon(text, node)[0]
    if first.lineno == header:  # `def f(): return 1` or `"""docstring"""; x = 1`
        start = (first.lineno, text.column(first.lineno, first.col_offset))
    else:  # comments above the first statement belong to the body, empty lines do not
        start_line = header + 1
        while not text.lines[start_line - 1].strip():
            start_line += 1
        start = (start_line, 0)

    end_line = last.end_lineno or last.lineno
    end_column = text.column(end_line, last.end_col_offset or 0)
    rest = text.lines[end_line - 1][end_column:]
    if re.fullmatch(r"[ \t]*;?[ \t]*#.*", rest):  # the comment beside the last statement
        end_column += len(rest.rstrip())
    # The docstring, when there is one, is what surely stands at the block's indentation.
    margin = text.margin(node.body[0].lineno)
    return text.cut(start, (end_line, end_column), margin)
