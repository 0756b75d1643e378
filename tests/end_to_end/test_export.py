"""Real hard negatives, exported by the command and brought back in the place of mining."""

import json

import hydra
import numpy as np
import pytest

from sigjepa.errors import SigjepaError
from sigjepa.export import export
from sigjepa.negatives.exchange.imported_index import ImportedIndex
from sigjepa.negatives.exchange.imported_pairs import ImportedPairs
from sigjepa.negatives.index.pair_filter import PairFilter
from sigjepa.runtime.config_files import config_directory
from sigjepa.store.store import Store

FIELDS = "fields={anchor_id: anchor, neighbor_id: neighbor, score_c: judgement.score_c}"
MINED = ("experiment=exp2_1", "negatives.tiers=null", "data=tiny")


@pytest.fixture(scope="module")
def compose_export(tiny_data_dir):
    """The config of an export, on the shared artifact cache."""

    def compose(*overrides):
        with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
            return hydra.compose(
                "export", [f"paths.data_dir={tiny_data_dir}", "paths.run_dir=none", "logger=none", *overrides]
            )

    return compose


@pytest.fixture(scope="module")
def exported(run, compose_export, tmp_path_factory):
    """The folder of an export by position, and the folder of one by content key under other field names."""
    folder = tmp_path_factory.mktemp("export")
    run("export", *MINED, "output=published", cwd=folder)
    export(compose_export(*MINED, f"output={folder / 'by_key'}", "ids=key", FIELDS))
    return folder


@pytest.mark.parametrize("name", ["published", "by_key"])
def test_an_export_gives_the_mined_index_again(exported, tiny_datamodule, tmp_path, name):
    data = tiny_datamodule.data
    mined = data.hard_negatives
    floor = mined.metadata["filter"]["min_cosim"]
    for recipe in (
        ImportedPairs(exported / name / "knn_results.jsonl", PairFilter(min_cosim=floor)),
        ImportedIndex(exported / name / "hard_negatives.json"),
    ):
        index = recipe.prepare(data.corpus, data.shards, Store(tmp_path).get, tmp_path)
        assert len(index) == len(mined) > 0
        for ours, theirs in ((index.negatives, mined.negatives), (index.related, mined.related)):
            for column in ("keys", "offsets", "values"):
                np.testing.assert_array_equal(getattr(ours, column), getattr(theirs, column))
        np.testing.assert_array_equal(index.scores, mined.scores)
        np.testing.assert_array_equal(index.cosims, mined.cosims)
        own = {row: value for row, value in mined.summary_rows().items() if row != "Source"}
        assert index.summary_rows().items() >= own.items()


def test_the_published_names_are_in_the_file(exported):
    line = json.loads((exported / "by_key" / "knn_results.jsonl").read_text().splitlines()[0])
    assert isinstance(line["anchor"], str)
    assert line["judgement"]["score_c"] in (0, 1, 2, 3)
    lists = json.loads((exported / "published" / "hard_negatives.json").read_text())
    assert all(key.isdecimal() and isinstance(values[0], int) for key, values in lists.items())


def test_a_brought_file_stands_where_mining_stood(run, exported):
    file = "by_key/knn_results.jsonl"
    done = run("prepare", "data=tiny", "negatives=pairs_file", f"negatives.path={file}", cwd=exported)
    assert f"| Source | `{file}` |" in done.stdout
    assert "| Model | minilm |" in done.stdout
    assert "'negatives': 'imported-" in done.stdout


def test_what_is_there_is_not_overwritten(run, exported):
    done = run("export", *MINED, "output=published", "ids=key", cwd=exported, check=False)
    assert done.returncode == 1
    assert "sigjepa: published/hard_negatives.json is there with another content" in done.stderr
    assert "overwrite=true" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((*MINED,), "'output'.*output="),
        (("experiment=exp1_4", "output=other"), "student="),
        ((*MINED, "output=other", "ids=keys"), "ids=keys.*'key'"),
        ((*MINED, "output=other", "fields={score: grade}"), "'score'"),
    ],
)
def test_a_mistake_is_found_before_anything_is_built(compose_export, monkeypatch, overrides, message):
    monkeypatch.setattr("sigjepa.pipeline.pipeline_of", None)
    with pytest.raises(SigjepaError, match=message):
        export(compose_export(*overrides))


def test_a_corpus_is_written_as_a_data_set_without_being_embedded(compose_export, tmp_path, monkeypatch):
    monkeypatch.setattr("sigjepa.pipeline.Pipeline.get", lambda _: pytest.fail("embedded"))
    export(compose_export("data=tiny", "format=datasets", f"output={tmp_path / 'set'}"))
    assert (tmp_path / "set" / "README.md").is_file()
    assert list((tmp_path / "set" / "corpus").glob("validation-*.parquet"))
    with pytest.raises(SigjepaError, match="format=onnx"):
        export(compose_export(*MINED, "format=onnx", f"output={tmp_path / 'set'}"))
