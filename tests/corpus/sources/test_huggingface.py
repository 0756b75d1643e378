"""Rows of Hugging Face data sets: read as those of a file of rows, and every way in which they can't be."""

import builtins
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sigjepa.corpus.source_check import open_repository
from sigjepa.corpus.sources.huggingface import HuggingFaceDataset
from sigjepa.corpus.stage import CorpusStage
from sigjepa.errors import SigjepaError
from sigjepa.store.store import Store

ROWS = [
    {"repo": f"r{i % 3}", "path": f"{i}.py", "content": f"def f{i}(x):\n    y = {i}\n    return y * x\n", "stars": i}
    for i in range(9)
]
FIELDS = {"repository": "repo", "code": "content"}


@pytest.fixture(autouse=True)
def away_from_the_hub(tmp_path, monkeypatch):
    """No test asks the Hub, and none writes into a cache of this machine."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


@pytest.fixture
def file(tmp_path):
    """A parquet file of rows."""
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def source(path, tmp_path, **options):
    return HuggingFaceDataset(str(path), str(tmp_path / "cache"), **{"fields": FIELDS, **options})


def lines(found):
    return [json.loads(line) for line in found.rows().read_text().splitlines()]


def test_rows_are_files_of_their_repositories(file, tmp_path):
    found = source(file, tmp_path)
    repositories = found.repositories()
    assert [each.name for each in repositories] == ["r0", "r1", "r2"]
    assert repositories[1].paths == ["1.py", "4.py", "7.py"]
    (row,) = (json.loads(line) for line in repositories[1].read([2]))
    assert row == {"repository": "r1", "path": "7.py", "code": ROWS[7]["content"]}  # and no column beside
    shown = open_repository("r1", repositories[1].place, ["1.py"], found.fingerprint())
    assert shown is not None
    assert shown.paths == repositories[1].paths


def test_a_corpus_of_it_is_that_of_the_same_rows_elsewhere(file, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with (folder / "train.jsonl").open("w") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in ROWS)
    one, other = source(file, tmp_path), source(folder, tmp_path)
    assert one.fingerprint() == other.fingerprint()
    corpus = Store(tmp_path / "data").get(CorpusStage(one, near_duplicate_threshold=1.0))
    assert len(corpus) > 0


def test_rows_are_streamed_again_only_where_the_file_is_another(file, tmp_path):
    assert len(lines(source(file, tmp_path))) == 9
    first = lines(source(file, tmp_path, max_rows=2))
    assert [row["path"] for row in first] == ["0.py", "1.py"]
    pq.write_table(pa.Table.from_pylist(ROWS[:4]), file)
    assert len(lines(source(file, tmp_path))) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fields": {"repository": "repo"}}, "'code'.*content"),
        ({"fields": {"code": "content", "repository": "rep"}}, "'rep'.*Did you mean 'repo'"),
        ({"split": "test"}, "test"),
        ({"fields": FIELDS | {"code": "stars"}}, "row 1: 'stars' is not a string"),
        ({"max_rows": 0}, "max_rows=0"),
    ],
)
def test_what_is_missing_is_named(file, tmp_path, options, said):
    if options.get("split"):
        (tmp_path / "set").mkdir()
        file = file.rename(tmp_path / "set" / "train.parquet").parent
    with pytest.raises(SigjepaError, match=said):
        source(file, tmp_path, **options).rows()
    assert not list(tmp_path.glob("cache/*.jsonl"))


@pytest.mark.parametrize("path", ["owner/none", "none.parquet", "no such/name"])
def test_a_data_set_that_cant_be_had_is_named(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SigjepaError, match=path) as caught:
        source(path, tmp_path).fingerprint()
    assert "hf auth login" in str(caught.value)


def test_a_gated_data_set_says_what_to_do(tmp_path, monkeypatch):
    from datasets.exceptions import DatasetNotFoundError

    def gated(*arguments, **options):
        raise DatasetNotFoundError("Dataset 'owner/gated' is a gated dataset on the Hub. Visit the page to ask.")

    monkeypatch.setattr("datasets.load_dataset_builder", gated)
    with pytest.raises(SigjepaError, match=r"gated dataset.*hf auth login"):
        source("owner/gated", tmp_path).fingerprint()


def test_without_the_extra_it_is_named(file, tmp_path, monkeypatch):
    importing = builtins.__import__

    def without(name, *arguments, **options):
        if name == "datasets":
            raise ImportError(name)
        return importing(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SigjepaError, match=r"sigjepa\[datasets\]"):
        source(file, tmp_path).fingerprint()
