"""The student of a run, written into its directory when it has finished."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from sigjepa.data.training_data import TrainingData
from sigjepa.errors import SigjepaError
from sigjepa.runtime.instantiate import instantiate
from sigjepa.serving.student import Student, StudentConfig
from sigjepa.serving.student_files import STUDENT_FOLDER

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
