"""The texts and embeddings behind a run, opened again from the artifacts that its provenance names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from sigjepa.corpus.corpus import Corpus
from sigjepa.data.targets import Targets, owners_of
from sigjepa.errors import SigjepaError
from sigjepa.reporting.run import Run
from sigjepa.teacher.shards import TeacherShards


@dataclass(frozen=True)
class Evidence:
    """A corpus and the teacher's embeddings of it; targets: `[n, D]` by function id, as students saw them."""

    corpus: Corpus
    shards: TeacherShards
    targets: Tensor


def open_evidence(run: Run, data_dir: Path | None = None) -> Evidence:
    """Return the evidence of a run, below `data_dir` or, if None, where the run found it.

    Raises SigjepaError when the artifacts are not there or not those that the run was trained on.
    """
    names = run.provenance["artifacts"]
    root = data_dir if data_dir is not None else Path(run.provenance["data_dir"])
    corpus_folder, shards_folder = root / "corpus" / names["corpus"], root / "teacher" / names["shards"]
    for folder in (corpus_folder, shards_folder):
        if not folder.is_dir():
            raise SigjepaError(
                f"{folder} is not there, so {run.folder.name} has neither texts nor embeddings; say where its "
                "artifacts lie with data_dir=..., or build them again with `python -m sigjepa.prepare`."
            )
    corpus = Corpus.load(corpus_folder)
    if corpus.hash != names["corpus_hash"]:
        raise SigjepaError(
            f"{corpus_folder} holds {corpus.hash}, but {run.folder.name} was trained on {names['corpus_hash']}; "
            "say where its corpus lies with data_dir=..."
        )
    shards = TeacherShards.load(shards_folder)
    return Evidence(corpus, shards, Targets(shards, owners_of(corpus.values("body"))).whole())


def same_teacher(run: Run, runs: Sequence[Run]) -> list[Run]:
    """Return those of `runs` that one opening of `run`'s evidence serves: the same pools and the same teacher."""
    return [other for other in runs if other.pool() == run.pool() and other.config["teacher"] == run.config["teacher"]]
