import json
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sigjepa.corpus.corpus import SCHEMA, Corpus
from sigjepa.corpus.dedup import VIEWS, jaccard, shingle_set
from sigjepa.corpus.sources.folder import Folder
from sigjepa.corpus.split import SPLITS
from sigjepa.corpus.stage import CorpusStage
from sigjepa.errors import SigjepaError
from sigjepa.store.manifest import Manifest, Reference, digest_of_files
from sigjepa.store.store import Store
from sigjepa.store.verified import VERIFIED_FILE


def module(label: str, functions: int) -> str:
    """Functions whose bodies share nothing that makes them near duplicates."""
    return "\n".join(
        f"def f{i}(x):\n    '''Says {label}.'''\n    y = x.get('{label}_{i}')\n    return '{i}_{label}', y\n"
        for i in range(functions)
    )


@pytest.fixture
def code(tmp_path: Path) -> Path:
    root = tmp_path / "code"
    for repository in range(10):
        for file in range(3):
            path = root / f"r{repository}" / f"m{file}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(module(f"w{repository}x{file}", 2 + repository))
    (root / "r0/broken.py").write_text("def f(:\n")
    (root / "r0/latin.py").write_bytes(b"x = '\xe9'\n")
    (root / "r1/test_it.py").write_text(module("tested", 3))
    (root / "r9/copy.py").write_text(module("w0x0", 2))  # those of r0/m0.py
    return root


@pytest.fixture
def stage(code: Path) -> CorpusStage:
    return CorpusStage(Folder([str(code)]))


@pytest.fixture
def corpus(stage: CorpusStage, tmp_path: Path) -> Corpus:
    return Store(tmp_path / "data").get(stage)


TOTAL = 3 * sum(range(2, 12))


def test_the_folder_holds_what_is_promised(corpus: Corpus, tmp_path: Path) -> None:
    assert corpus.folder.parent == tmp_path / "data/corpus"
    assert corpus.folder.name.startswith("folder-")
    names = {"functions.parquet/00000.parquet", "sources.parquet", "summary.txt"}
    entries = {"functions.parquet", "sources.parquet", "summary.txt", "manifest.json", "parts"}
    assert {file.name for file in corpus.folder.iterdir()} - {VERIFIED_FILE} == entries
    assert corpus.manifest.files.keys() == names
    assert Manifest.read(corpus.folder) == corpus.manifest
    facts = corpus.manifest.facts
    assert facts["functions"] == len(corpus) == TOTAL
    assert facts["skipped"] == {"exact_duplicate": 2, "syntax_error": 1, "test_file": 1, "undecodable_file": 1}
    assert corpus.reference == Reference(
        "corpus", corpus.folder.name, corpus.hash, digest_of_files(corpus.manifest.digests())
    )
    assert str(tmp_path) not in (corpus.folder / "manifest.json").read_text()


def test_rows_are_in_order_and_ids_are_positions(corpus: Corpus) -> None:
    table = pq.read_table(corpus.folder / "functions.parquet")
    assert table.schema.equals(SCHEMA)
    assert table.column("id").to_pylist() == list(range(TOTAL))
    places = [*zip(*(corpus.column(name) for name in ("repository", "path", "line", "qualname")), strict=True)]
    assert places == sorted(places)
    row = {name: corpus.column(name)[0] for name in SCHEMA.names}
    assert row["signature"] == "def f0(x):"
    assert row["docstring"] == "Says w0x0."
    assert row["body"] == "y = x.get('w0x0_0')\nreturn '0_w0x0', y"
    assert (row["repository"], row["path"], row["qualname"], row["line"]) == ("r0", "m0.py", "f0", 1)


def test_splits_and_tiers_are_by_repository_and_keep_their_shares(corpus: Corpus) -> None:
    homes = {*zip(*(corpus.column(name) for name in ("repository", "split", "tier")), strict=True)}
    assert len(homes) == 10
    for split, share in (("train", 0.7), ("val", 0.2), ("test", 0.1)):
        assert len(corpus.ids(split)) / TOTAL == pytest.approx(share, abs=0.06)


def test_no_duplicate_and_no_near_duplicate_is_left_to_straddle_a_split(code: Path, tmp_path: Path) -> None:
    names = [f"name{i}" for i in range(60)]
    for repository in range(10):  # one body with a small difference in each repository
        body = " + ".join(["seed", *names[1:30], f"own{repository}", *names[31:]])
        (code / f"r{repository}" / "near.py").write_text(f"def near(x):\n    total = {body}\n    return total\n")
    corpus = Store(tmp_path / "data").get(CorpusStage(Folder([str(code)])))
    assert corpus.manifest.facts["skipped"]["near_duplicate"] == 9
    assert corpus.column("qualname").count("near") == 1
    assert len(set(corpus.column("key"))) == len(set(corpus.column("body"))) == len(corpus)
    splits = corpus.column("split")
    pairs = [(i, j) for i in range(len(corpus)) for j in range(i) if splits[i] != splits[j]]
    for view in VIEWS.values():
        shingles = [shingle_set(view(body), {}) for body in corpus.column("body")]
        assert all(jaccard(shingles[i], shingles[j]) < 0.8 for i, j in pairs)


def test_ids_of_splits_and_tiers_divide_the_corpus(corpus: Corpus) -> None:
    assert corpus.ids().dtype == np.int64
    by_split = np.concatenate([corpus.ids(split) for split in ("train", "val", "test")])
    by_tier = np.concatenate([corpus.ids(tiers=[tier]) for tier in ("phase0", "heads")])
    assert sorted(by_split) == sorted(by_tier) == list(corpus.ids()) == list(range(TOTAL))
    both = corpus.ids("train", ["phase0"])
    assert 0 < len(both) < len(corpus.ids("train"))
    assert {corpus.column("split")[i] + corpus.column("tier")[i] for i in both} == {"trainphase0"}
    assert len(corpus.ids(tiers=[])) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda corpus: corpus.ids("trian"), "'trian'.*'train'"),
        (lambda corpus: corpus.ids(tiers=["head"]), "'head'.*'heads'"),
        (lambda corpus: corpus.column("sigature"), "'sigature'.*'signature'"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(corpus: Corpus, call: Any, message: str) -> None:
    with pytest.raises(SigjepaError, match=message):
        call(corpus)


def test_a_second_call_reads_what_the_first_wrote(stage: CorpusStage, corpus: Corpus, tmp_path: Path) -> None:
    written = (corpus.folder / "summary.txt").stat().st_mtime_ns
    again = Store(tmp_path / "data").get(stage)
    assert again.folder == corpus.folder
    assert (again.folder / "summary.txt").stat().st_mtime_ns == written
    assert again.hash == corpus.hash


def test_equal_content_elsewhere_has_an_equal_hash(
    stage: CorpusStage, corpus: Corpus, code: Path, tmp_path: Path
) -> None:
    code.rename(tmp_path / "moved")
    moved = Store(tmp_path / "elsewhere").get(CorpusStage(Folder([str(tmp_path / "moved")])))
    assert (moved.folder.name, moved.hash) == (corpus.folder.name, corpus.hash)


@pytest.mark.parametrize(
    "change",
    [
        {"max_functions": 50},
        {"max_functions_per_repository": 7},
        {"include_tests": True},
        {"min_body_statements": 1},
        {"max_body_lines": 100},
        {"max_file_bytes": 10_000},
        {"near_duplicate_threshold": 0.9},
        {"split_shares": {"train": 0.6, "val": 0.2, "test": 0.2}},
        {"phase0_share": 0.3},
        {"tier_sizes": {"phase0": 100, "heads": 80}},
        {"split_seed": 1},
    ],
)
def test_another_recipe_has_another_folder(stage: CorpusStage, change: Mapping[str, Any]) -> None:
    assert replace(stage, **change).inputs() != stage.inputs()


def test_changed_code_is_extracted_again(stage: CorpusStage, corpus: Corpus, code: Path, tmp_path: Path) -> None:
    (code / "r5/m9.py").write_text(module("added", 1))
    changed = Store(tmp_path / "data").get(stage)
    assert changed.folder != corpus.folder
    assert len(changed) == TOTAL + 1


def test_limits_hold(stage: CorpusStage, tmp_path: Path) -> None:
    each = Store(tmp_path / "data").get(replace(stage, max_functions_per_repository=7))
    sizes = [each.column("repository").count(f"r{i}") for i in range(10)]
    assert max(sizes) == 7
    total = Store(tmp_path / "data").get(replace(stage, max_functions=41))
    assert len(total) == 41
    assert total.manifest.facts["skipped"]["over_limit"] > 0


def test_tiers_have_exactly_the_sizes_asked_for(stage: CorpusStage, tmp_path: Path) -> None:
    sized = Store(tmp_path / "data").get(replace(stage, tier_sizes={"phase0": 90, "heads": 61}))
    assert [len(sized.ids(tiers=[tier])) for tier in ("phase0", "heads")] == [90, 61]
    homes = {*zip(*(sized.column(name) for name in ("repository", "split", "tier")), strict=True)}
    assert len(homes) == len({*sized.column("repository")})
    assert {(split, tier) for _, split, tier in homes} == {(s, t) for s in SPLITS for t in ("phase0", "heads")}
    assert sized.manifest.facts["counts"]["tiers"] == {"phase0": 90, "heads": 61}
    assert sized.manifest.facts["skipped"]["over_limit"] == TOTAL - 151


def test_a_corpus_goes_to_a_worker_process_as_its_path(corpus: Corpus) -> None:
    pickled = pickle.dumps(corpus)
    assert len(pickled) < 10_000
    assert pickle.loads(pickled).column("body") == corpus.column("body")


@dataclass(frozen=True)
class EmptySource:
    name: str = "nothing"
    found: list[Any] = field(default_factory=list)

    def fingerprint(self) -> dict[str, Any]:
        return {}

    def repositories(self) -> list[Any]:
        return self.found


def test_an_empty_corpus_says_what_was_skipped(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m.py").write_text("def f(x):\n    return x\ndef g(x): ...\n")
    stage = CorpusStage(Folder([str(tmp_path / name) for name in ("a", "b", "c")]))
    with pytest.raises(SigjepaError, match=r" 3 short_body, 3 stub.*corpus\.source"):
        Store(tmp_path / "data").get(stage)
    assert not list((tmp_path / "data/corpus").glob("*/manifest.json"))
    with pytest.raises(SigjepaError, match="'nothing'.* 0 "):
        Store(tmp_path / "data").get(CorpusStage(EmptySource()))


def test_two_repositories_are_too_few(code: Path, tmp_path: Path) -> None:
    with pytest.raises(SigjepaError, match=r"r1 \(9 .*r2 \(12 "):
        Store(tmp_path / "data").get(CorpusStage(Folder([str(code / "r1"), str(code / "r2")])))


@pytest.mark.parametrize(
    "change",
    [
        *({"max_functions": value} for value in (0, "abc", 10.5, True)),
        *({"max_functions_per_repository": -1}, {"min_body_statements": 0}, {"min_body_statements": None}),
        *({"max_body_lines": 0}, {"max_file_bytes": "abc"}, {"max_file_bytes": -1}, {"include_tests": 3}),
        *({"near_duplicate_threshold": value} for value in ("x", 0, 1.1, float("nan"))),
        *({"phase0_share": value} for value in ("x", 2, -0.1)),
        *({"split_shares": value} for value in (5, "abc", {"train": "a", "val": "b", "test": "c"})),
        *({"tier_sizes": value} for value in (5, {"phase0": "a", "heads": 3})),
        {"split_seed": "x"},
    ],
)
def test_a_setting_of_another_type_or_out_of_range_is_named(change: dict[str, Any]) -> None:
    with pytest.raises(SigjepaError, match=rf"^corpus\.{next(iter(change))}[.=].*change that key"):
        CorpusStage(EmptySource(), **change)


@pytest.mark.parametrize("word", ["corpus.max_functions=abc", "corpus.tier_sizes=5"])
def test_the_command_names_it_before_anything_is_read(run_python: Any, tmp_path: Path, word: str) -> None:
    done = run_python(["-m", "sigjepa.prepare", "data=tiny", word], tmp_path, os.environ)
    assert done.returncode == 1
    assert done.stderr.startswith(f"sigjepa: {word.partition('=')[0]}=")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_whole_number_where_a_fraction_may_stand_keeps_its_key() -> None:
    inputs = CorpusStage(EmptySource(), near_duplicate_threshold=1, phase0_share=0).inputs()
    assert json.dumps([inputs["near_duplicate_threshold"], inputs["phase0_share"]]) == "[1, 0]"


@pytest.mark.parametrize("content", ["not parquet", "other columns"])
def test_a_file_of_another_kind_is_named(corpus: Corpus, content: str) -> None:
    file = corpus.folder / "functions.parquet/00000.parquet"
    if content == "not parquet":
        file.write_text(content)
    else:
        pq.write_table(pa.table({"id": [0], "body": [""]}), file)
    with pytest.raises(SigjepaError, match=r"functions\.parquet"):
        Corpus(corpus.manifest).ids()
    with pytest.raises(SigjepaError, match=r"functions\.parquet"):
        Corpus.load(corpus.folder)
