"""Search code by signature: `python -m sigjepa.search 'def read_csv(path, sep=","):' index=my_index`."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from sigjepa.errors import SigjepaError
from sigjepa.index import student_options
from sigjepa.runtime.command import hydra_job, run_command
from sigjepa.runtime.imports import TEACHERS_LIBRARY, import_libraries
from sigjepa.runtime.instantiate import check_counts, plain

if TYPE_CHECKING:
    from sigjepa.serving.code_search import CodeSearch
    from sigjepa.serving.page.client import ServedSearch
    from sigjepa.serving.query import Query

KEY = re.compile(r"[~+]{0,2}[\w./@:-]+=")
"""How a word that sets a key begins; `def read(path, sep=','):` does not."""
FROM_FILE = "from-file"
HYDRA_OPTIONS_WITH_VALUE = ("--config-dir", "-cd", "--config-name", "-cn", "--cfg", "-c", "--package", "-p")
"""Options whose value is the next word."""


def search(config: DictConfig, typed: Sequence[str]) -> None:
    """Print the best functions for a query, for each of a file, or for those that are typed one after the other.

    typed: the words of the command line that set no key, one query or `from-file` and a place. They are no overrides:
    a signature with `password="..."` is none of the credentials that those may not hold.
    """
    resolved = plain(config)
    check_counts(resolved, ["top_k"], or_null=["lines"])
    queries = list(queries_of(typed, resolved["queries"]))  # before the index is opened
    asks = not queries and sys.stdin.isatty() and not resolved["json"]
    if not queries and not asks:
        queries = list(lines_of("standard input", sys.stdin.read()))
    index = open_search(resolved)
    if asks:
        from sigjepa.serving.prompt import ask

        ask(index, resolved["top_k"], resolved["lines"])
        return
    answers = [index.answers([query], [resolved["top_k"]])[0] for query in queries]
    if resolved["json"]:
        found = [answer.as_dict() for answer in answers]
        print(json.dumps(found[0]["results"] if typed else found, indent=2, ensure_ascii=False))
        if typed and queries[0].note:
            print(queries[0].note, file=sys.stderr)
        return
    from sigjepa.serving.result_text import show_results

    for answer in answers:
        show_results(answer.query, answer.results, resolved["lines"])


def open_search(resolved: dict[str, Any]) -> "CodeSearch | ServedSearch":
    """Return the search of an index: of its folder, or of the page that `sigjepa serve` answers at an address."""
    index = str(resolved["index"])
    if not index.startswith(("http://", "https://")):
        import_libraries(["torch"])
        from sigjepa.serving.code_search import CodeSearch

        search = CodeSearch.open(index, resolved["student"], **student_options(resolved))
        import_libraries([TEACHERS_LIBRARY])
        return search
    from sigjepa.serving.page.client import ServedSearch

    if given := [key for key in ("student", "teacher") if resolved[key] is not None]:
        raise SigjepaError(f"{given[0]}={resolved[given[0]]}: the page at {index} has its own; leave it out.")
    return ServedSearch(index)


def queries_of(typed: Sequence[str], file: str | None) -> Iterator["Query"]:
    """Yield the queries of the command line, of words that were typed or of a file; raises SigjepaError for both."""
    from sigjepa.serving.query import function_at, read_query

    if typed and file is not None:
        raise SigjepaError(f"Both a query and queries={file} are given; give one of them.")
    if typed[:1] == [FROM_FILE]:
        yield function_at(" ".join(typed[1:]))
    elif typed:
        yield read_query(" ".join(typed))
    if file is not None:
        path = Path(str(file)).expanduser()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SigjepaError(f"queries={path} can't be read ({error}); give a text file.") from None
        yield from lines_of(f"queries={path}", text)


def lines_of(name: str, text: str) -> Iterator["Query"]:
    """Yield the query of each line that is not empty; raises SigjepaError for none, and for a bad one."""
    from sigjepa.serving.query import EXPECTED, read_query

    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise SigjepaError(f"There is no query in {name}. {EXPECTED}; `sigjepa search --help` shows how.")
    for number, line in lines:
        try:
            yield read_query(line)
        except SigjepaError as error:
            raise SigjepaError(f"{name}, line {number}: {error}") from None


def divide(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the options and overrides among the words of a command line, and the others."""
    typed: list[str] = []
    overrides: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        of_hydra = word.startswith("-") or before in HYDRA_OPTIONS_WITH_VALUE or KEY.match(word) is not None
        (overrides if of_hydra else typed).append(word)
    return overrides, typed


def main() -> None:
    """Run the command of `sys.argv`; words without a key are the query."""
    sys.argv[1:], typed = divide(sys.argv[1:])
    job = partial(search, typed=typed)
    run_command("search", lambda: hydra_job("search", job), flags={"--json": "json=true"})


if __name__ == "__main__":
    main()
