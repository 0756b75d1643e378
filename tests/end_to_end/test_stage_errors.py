"""Sources that break what a stage promises, at the command: refused or survived in one line, nothing lost."""

import os

import pytest

from sigjepa.runtime.compose import compose
from sigjepa.runtime.instantiate import instantiate
from sigjepa.store.store import Store

CODE = '''
import os
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sigjepa.corpus.sources.source import Repository
from sigjepa.corpus.stage import CorpusStage


def intrude(data_dir, positions):
    Path(data_dir, "corpus", "other").mkdir(parents=True)
    yield None


@dataclass(frozen=True)
class Intruder:
    """A source that writes where other artifacts lie."""

    data_dir: str
    name: str = "intruder"

    def fingerprint(self):
        return {"source": self.name}

    def repositories(self):
        return [Repository("one", ["a.py"], partial(intrude, self.data_dir))]


def die(positions):
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Victim:
    """A source whose process is killed, as when memory runs out."""

    name: str = "victim"

    def fingerprint(self):
        return {"source": self.name}

    def repositories(self):
        return [Repository("one", ["a.py"], die)]


class Namesake(CorpusStage):
    """Another class of the kind and the inputs of a corpus."""
'''


@pytest.fixture
def prepare(run_python, tmp_path):
    """Run `python -m sigjepa.prepare` with the package `broken` at hand; returns the finished process."""
    (tmp_path / "broken.py").write_text(CODE)

    def command(*words):
        environment = os.environ | {
            "SIGJEPA_DATA_DIR": str(tmp_path / "data"),
            "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
        }
        return run_python(["-m", "sigjepa.prepare", "allowed_targets=[broken.]", *words], tmp_path, environment)

    return command


def refused(done, *names):
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert [name for name in names if name not in done.stderr] == []


def test_a_stage_that_writes_elsewhere_is_refused(prepare, tmp_path):
    done = prepare(
        "data=tiny", "corpus.source._target_=broken.Intruder", f"+corpus.source.data_dir={tmp_path / 'data'}"
    )
    refused(done, "ExtractionStage writes", str(tmp_path / "data" / "corpus" / "other"), "caches()")
    assert not (tmp_path / "data" / "corpus" / "other").exists()


def test_an_executor_that_dies_is_said_to_have_died(prepare):
    done = prepare("data=tiny", "corpus.source._target_=broken.Victim", "executor.workers=2")
    refused(done, "executor.workers=1", "kept")


def test_two_stages_of_one_kind_and_key_are_refused(prepare, small_corpus, tmp_path):
    Store(tmp_path / "data").get(instantiate(compose(small_corpus).corpus))
    done = prepare(*small_corpus, "corpus._target_=broken.Namesake")
    refused(done, "CorpusStage", "Namesake", "another kind")


@pytest.mark.parametrize(
    "word", ["teacher.name=../x", "teacher.max_body_tokens=null", "data.pool_size=11.5", "executor.workers=abc"]
)
def test_a_setting_that_can_not_be_is_named_before_anything_is_built(prepare, tmp_path, word):
    refused(prepare("data=tiny", word), word.partition("=")[0])
    assert not (tmp_path / "data").exists()
