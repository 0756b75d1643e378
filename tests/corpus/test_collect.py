from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from sigjepa.corpus.collect import INLINE_FILES, Collected, collect
from sigjepa.corpus.functions import Function
from sigjepa.corpus.sources.source import Repository
from sigjepa.errors import SigjepaError


def memory_repository(name: str, files: dict[str, bytes | None], reads: list[str] | None = None) -> Repository:
    """A repository of `files`; what is read is added to `reads`."""
    paths, seen = list(files), [] if reads is None else reads

    def read(positions: Sequence[int]) -> Iterator[bytes | None]:
        for position in positions:
            seen.append(paths[position])
            yield files[paths[position]]

    return Repository(name, paths, read)


def source(functions: int, label: str) -> bytes:
    return "".join(f"def f{i}(x):\n    y = '{label}{i}'\n    return y\n" for i in range(functions)).encode()


def repository(name: str, files: int, functions: int = 1, reads: list[str] | None = None) -> Repository:
    return memory_repository(name, {f"m{i}.py": source(functions, f"{name}{i}:") for i in range(files)}, reads)


def collected(
    repositories: Sequence[Repository],
    *,
    total: int | None = None,
    each: int | None = None,
    include_tests: bool = False,
    seed: int = 0,
    workers: int = 1,
) -> Collected:
    return collect(
        repositories,
        limits={},
        max_functions=total,
        max_functions_per_repository=each,
        include_tests=include_tests,
        seed=seed,
        workers=workers,
    )


def test_without_limits_everything_is_read() -> None:
    found = collected([repository("a", 7, 2), repository("b", 3)])
    assert {name: len(functions) for name, functions in found.functions.items()} == {"a": 14, "b": 3}
    assert found.files_listed == found.files_read == 10


def test_with_a_limit_a_repository_is_not_read_to_the_end() -> None:
    reads: list[str] = []
    large, small = repository("large", 400, reads=reads), repository("small", 3)
    found = collected([large, small], each=10)
    assert 13 <= len(found.functions["large"]) < 50
    assert len(found.functions["small"]) == 3
    assert len(reads) == len(found.functions["large"])
    assert reads != sorted(reads)  # drawn at random, not from the top
    assert found.files_listed == 403


def test_one_large_repository_makes_up_for_small_ones() -> None:
    found = collected([repository("large", 400), *(repository(f"s{i}", 1) for i in range(20))], total=200)
    assert sum(map(len, found.functions.values())) >= 200


def test_the_result_is_the_same_for_any_number_of_workers_and_differs_by_seed() -> None:
    def run(workers: int, seed: int = 0) -> Collected:
        return collected([repository("a", INLINE_FILES + 50), repository("b", 30)], workers=workers, seed=seed)

    assert run(1) == run(2)
    assert run(1).functions["a"] != run(1, seed=1).functions["a"]


def test_tests_and_unreadable_files_are_counted() -> None:
    files = {"a.py": source(1, "a"), "tests/b.py": source(1, "b"), "gone.py": None}
    found = collected([memory_repository("r", files)])
    assert found.skipped == {"test_file": 1, "unreadable_file": 1}
    assert [function.path for function in found.functions["r"]] == ["a.py"]
    with_tests = collected([memory_repository("r", files)], include_tests=True)
    assert with_tests.skipped == {"unreadable_file": 1}
    assert {function.path for function in with_tests.functions["r"]} == {"a.py", "tests/b.py"}


def test_a_name_that_is_no_text_is_made_one() -> None:
    found = collected([memory_repository("r", {"\udce9.py": source(1, "a")})])
    assert found.functions["r"][0].path == "\\udce9.py"


def test_zero_workers_are_an_error() -> None:
    with pytest.raises(SigjepaError, match="corpus.workers=0"):
        collected([repository("a", 1)], workers=0)


def test_a_dead_worker_is_one_clear_error() -> None:
    with pytest.raises(SigjepaError, match="corpus.workers=1"):
        collect(
            [replace(repository("a", INLINE_FILES), extract=end_process)],
            limits={},
            max_functions=None,
            max_functions_per_repository=None,
            include_tests=False,
            seed=0,
            workers=2,
        )


def end_process(content: bytes, *, repository: str, path: str) -> tuple[list[Function], Counter[str]]:
    import os

    os._exit(3)
