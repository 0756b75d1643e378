import ast
import inspect
import re

import pyarrow as pa

import sigjepa.corpus.collect
import sigjepa.corpus.dedup
import sigjepa.corpus.extraction
import sigjepa.corpus.functions
import sigjepa.corpus.sources.pypi
import sigjepa.corpus.stage
from sigjepa.corpus.skip_reasons import SKIP_REASONS
from sigjepa.corpus.summary import Sums, summary_text, summed

SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}
FACTS = {
    "skipped": {"stub": 1234, "syntax_error": 1},
    "counts": {"files_read": 5, "files_listed": 1000, "functions_extracted": 99},
    "hash": "xxh3_128:abc",
}


def sums(*repositories: tuple[str, str, str, int]) -> Sums:
    rows = [(name, tier, split) for name, tier, split, size in repositories for _ in range(size)]
    names, tiers, splits = zip(*rows, strict=True)
    texts = {"signature": "def f():", "body": "a\nb\nc", "docstring": ""}
    columns = {"repository": names, "tier": tiers, "split": splits}
    table = pa.table(columns | {name: [text] * len(rows) for name, text in texts.items()})
    return summed([table[:3], table[3:]])


BALANCED = sums(("a", "phase0", "train", 700), ("b", "heads", "val", 200), ("c", "heads", "test", 100))


def row(text: str, first: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if re.match(rf"\| {re.escape(first)} +\|", line))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_functions_by_split_tier_and_repository() -> None:
    text = summary_text(BALANCED, FACTS, SHARES, None)
    assert row(text, "train") == ["train", "1", "700", "0", "700", "70.0%", "70.0%"]
    assert row(text, "all") == ["all", "3", "700", "300", "1,000", "100.0%", "100.0%"]
    assert row(text, "b") == ["b", "heads", "val", "200"]
    assert "Note:" not in text


def test_lengths_and_what_was_skipped_and_why() -> None:
    text = summary_text(BALANCED, FACTS, SHARES, None)
    assert row(text, "signature characters")[1:] == ["8"] * 7
    assert row(text, "body lines")[1:] == ["3"] * 7
    assert row(text, "stub") == ["stub", "1,234", SKIP_REASONS["stub"]]
    assert "overload" not in text
    assert "5 of 1,000 files were read" in text


def test_only_the_largest_repositories_are_listed_on_request() -> None:
    text = summary_text(BALANCED, FACTS, SHARES, 1)
    assert row(text, "a")
    assert row(text, "(2 more)") == ["(2 more)", "", "", "300"]


def test_a_split_far_from_its_share_is_noted() -> None:
    text = summary_text(
        sums(("a", "phase0", "train", 90), ("b", "heads", "val", 9), ("c", "heads", "test", 1)), FACTS, SHARES, 0
    )
    assert "Note: train holds 90.0% of the functions instead of 70.0%" in text


def test_every_reason_that_the_code_counts_under_is_explained() -> None:
    rooms = [
        sigjepa.corpus.collect,
        sigjepa.corpus.extraction,
        sigjepa.corpus.dedup,
        sigjepa.corpus.functions,
        sigjepa.corpus.stage,
    ]
    strings = {
        node.value if isinstance(node, ast.Constant) else node.arg
        for room in [*rooms, sigjepa.corpus.sources.pypi]
        for node in ast.walk(ast.parse(inspect.getsource(room)))
        if isinstance(node, ast.Constant | ast.keyword)
    }
    assert set(SKIP_REASONS) <= strings
    counted = re.findall(
        r'(?:skipped|dropped)\["(\w+)"\]|reason = "(\w+)"|return "(\w+)"$', "".join(map(inspect.getsource, rooms)), re.M
    )
    assert {name for names in counted for name in names if name} <= set(SKIP_REASONS)
