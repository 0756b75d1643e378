"""The end of a run: its predictions, its student and what it has come to are written."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from sigjepa.data.training_data import TrainingData
from sigjepa.errors import SigjepaError
from sigjepa.reporting.run import Run
from sigjepa.reporting.runs import read_run
from sigjepa.runtime.instantiate import instantiate
from sigjepa.serving.card import run_card
from sigjepa.serving.student import Student
from sigjepa.serving.student_config import StudentConfig
from sigjepa.serving.student_files import CARD_FILE
from sigjepa.store.files import atomic_path
from sigjepa.training.provenance import write_file_digests
from sigjepa.training.run_directory import SplitPredictions, write_pool_facts, write_predictions
from sigjepa.training.run_file_names import STUDENT_FOLDER, SUMMARY_FILE
from sigjepa.training.run_status import FINISHED, write_summary

log = logging.getLogger(__name__)


def write_run_student(run_dir: Path, resolved: Mapping[str, Any], model: nn.Module, data: TrainingData) -> None:
    """Write `student/` into a run directory; model: with the weights of the best epoch. resolved: the run's config.

    A model that reads what only training has can't be put to use, and a warning says so.
    """
    identity = data.shards.manifest.inputs["teacher"]
    config = StudentConfig(resolved["model"], data.shards.dim, resolved["teacher"], identity)
    teacher = instantiate(resolved["teacher"], resolved["allowed_targets"])
    statistics = data.train_statistics if Student.reads_terms(model) else None
    try:
        student = Student(config, model, teacher, statistics)
    except SigjepaError as error:
        log.warning("%s/%s is not written: %s", run_dir, STUDENT_FOLDER, error)
        return
    student.save_pretrained(run_dir / STUDENT_FOLDER)


def finish_run(
    run_dir: Path,
    facts: Mapping[str, Any],
    resolved: Mapping[str, Any],
    model: nn.Module,
    evaluated: Mapping[str, SplitPredictions],
    data: TrainingData,
) -> Run:
    """Write all that a run ends with, and return the finished run.

    Predictions and pools by split, the student, the summary, the student's card and the digests of all files. facts:
    of the summary. resolved: the run's config. model: with the weights of the best epoch, of which `evaluated` is.
    """
    write_predictions(run_dir, evaluated)
    write_pool_facts(run_dir, data.corpus, data.pool)
    write_run_student(run_dir, resolved, model, data)
    write_summary(run_dir / SUMMARY_FILE, {**facts, "status": FINISHED})
    if (run_dir / STUDENT_FOLDER).is_dir():
        with atomic_path(run_dir / STUDENT_FOLDER / CARD_FILE) as temporary:
            temporary.write_text(run_card(read_run(run_dir)), encoding="utf-8")
    write_file_digests(run_dir)
    return read_run(run_dir)
