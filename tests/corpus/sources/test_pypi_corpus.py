"""`corpus=pypi data=full` from nothing, downloads included: the counts and the hash that every machine must get."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from math import ceil
from pathlib import Path

import hydra
import pytest

from sigjepa.corpus.corpus import Corpus
from sigjepa.corpus.dedup import renamed_tokens, tokens
from sigjepa.corpus.sources.pins import read_pins
from sigjepa.corpus.sources.pypi import COMMITTED_LIST
from sigjepa.runtime.config_files import config_directory
from sigjepa.runtime.instantiate import instantiate
from sigjepa.store.store import Store

pytestmark = pytest.mark.slow

HASH = "xxh3_128:9a8a6efc118bf22e4c6fed4df21c65e2"
COUNTS = {
    ("train", "phase0"): 23_570,
    ("train", "heads"): 18_569,
    ("val", "phase0"): 3_220,
    ("val", "heads"): 2_576,
    ("test", "phase0"): 1_610,
    ("test", "heads"): 1_290,
}
SKIPPED = {
    "abstract": 3_626,
    "exact_duplicate": 2_649,
    "generated_file": 237,
    "long_body": 277,
    "near_duplicate": 2_104,
    "over_limit": 60_913,
    "overload": 2_879,
    "oversized_file": 2,
    "renamed_duplicate": 8_212,
    "short_body": 54_768,
    "stub": 3_310,
    "test_file": 3_855,
    "vendored_file": 496,
}
"""No `syntax_error`, `undecodable_file` or `too_deeply_nested`, which would depend on the Python that reads."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    data_dir = tmp_path_factory.mktemp("pypi")
    overrides = ["data=full", "corpus=pypi", f"paths.data_dir={data_dir}", "paths.run_dir=none", "logger=none"]
    with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = hydra.compose("train", overrides)
    made: Corpus = Store(Path(data_dir)).get(instantiate(config.corpus))
    return made


def test_every_machine_gets_the_same_functions(corpus: Corpus) -> None:
    counted = Counter(zip(corpus.column("split"), corpus.column("tier"), strict=True))
    assert corpus.manifest.facts["skipped"] == SKIPPED
    assert counted == COUNTS
    assert corpus.hash == HASH


def test_sizes_are_the_published_ones(corpus: Corpus) -> None:
    assert len(corpus) == 50_835
    assert [len(corpus.ids(tiers=[tier])) for tier in ("phase0", "heads")] == [28_400, 22_435]
    assert len(corpus.ids("train")) == pytest.approx(42_047, rel=0.005)
    assert len(corpus.ids("test")) >= 2_900


def test_no_package_gives_more_than_a_twentieth(corpus: Corpus) -> None:
    sizes = Counter(corpus.column("repository"))
    assert set(sizes) == {pin.project for pin in read_pins(COMMITTED_LIST)}
    assert max(sizes.values()) <= 0.05 * len(corpus)
    homes = {*zip(*(corpus.column(name) for name in ("repository", "split", "tier")), strict=True)}
    assert len(homes) == len(sizes)


def shingles(tokens: list[str]) -> frozenset[str]:
    """Runs of five tokens as text: no hash, so no collision either."""
    return frozenset(" ".join(tokens[i : i + 5]) for i in range(max(1, len(tokens) - 4)))


def similar_pairs(
    bodies: list[str], threshold: float, view: Callable[[str], Iterable[str]] = tokens
) -> Iterator[tuple[int, int, float]]:
    """All pairs of a Jaccard of `threshold` or more, exactly.

    Two such sets share a shingle among the rarest `n - ceil(threshold * n) + 1` of each, so only those are indexed.
    """
    sets = [shingles(list(view(body))) for body in bodies]
    frequency = Counter(shingle for one in sets for shingle in one)
    holders: dict[str, list[int]] = defaultdict(list)
    for position, one in enumerate(sets):
        prefix = sorted(one, key=lambda shingle: (frequency[shingle], shingle))[
            : len(one) - ceil(threshold * len(one)) + 1
        ]
        for other in {other for shingle in prefix for other in holders[shingle]}:
            shared = len(one & sets[other])
            if (similarity := shared / (len(one) + len(sets[other]) - shared)) >= threshold:
                yield other, position, similarity
        for shingle in prefix:
            holders[shingle].append(position)


def test_the_search_for_similar_pairs_finds_them() -> None:
    words = [f"w{i}" for i in range(40)]
    near = [*words[:39], "other"]
    far = [*words[:20], *(f"v{i}" for i in range(20))]
    found = [*similar_pairs([" ".join(one) for one in (words, far, near)], 0.8)]
    assert found == [(0, 2, pytest.approx(35 / 37))]


def test_no_near_duplicates_are_left_in_or_across_packages(corpus: Corpus) -> None:
    bodies = corpus.column("body")
    assert len(set(bodies)) == len(bodies)
    assert list(similar_pairs(bodies, 0.8)) == []
    assert list(similar_pairs(bodies, 0.8, renamed_tokens)) == []
