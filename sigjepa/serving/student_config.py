"""A student but for its tensors, and the check that tensors and a teacher are its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sigjepa.errors import SigjepaError
from sigjepa.teacher.encoder import FrozenTeacher


@dataclass(frozen=True)
class StudentConfig:
    """All of a student but its tensors.

    model, teacher: the config nodes of their classes and plain arguments. teacher_dim: D.
    teacher_identity: content digests of its weights, tokenizer and settings; what predicts is held to it.
    """

    model: Mapping[str, Any]
    teacher_dim: int
    teacher: Mapping[str, Any]
    teacher_identity: Mapping[str, Any]

    @classmethod
    def of(cls, content: Mapping[str, Any], path: Path) -> "StudentConfig":
        """Return the content of a `config.json`; raises SigjepaError naming the file when it is no student's."""
        kinds = {"model": dict, "teacher_dim": int, "teacher": dict, "teacher_identity": dict}
        fits = content.keys() == kinds.keys() and all(isinstance(content[key], kind) for key, kind in kinds.items())
        if not fits or any("_target_" not in content[component] for component in ("model", "teacher")):
            raise SigjepaError(
                f"{path} does not say what a student is ({', '.join(kinds)}); export the student again from its run."
            )
        return cls(**content)


def load_tensors(model: nn.Module, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Give a model its tensors; raises SigjepaError when they are not those of its class and arguments."""
    expected = model.state_dict()
    if expected.keys() != tensors.keys() or any(
        expected[name].shape != tensor.shape for name, tensor in tensors.items()
    ):
        other = sorted(expected.keys() ^ tensors.keys())[:4] or sorted(
            name for name, tensor in tensors.items() if expected[name].shape != tensor.shape
        )
        raise SigjepaError(
            f"{folder} has other tensors than {type(model).__name__} of its config.json ({', '.join(other[:4])}): "
            "install the version of sigjepa that it names, or export it again."
        )
    model.load_state_dict(dict(tensors))


def check_same_teacher(teacher: FrozenTeacher, config: StudentConfig, folder: Path) -> None:
    """Raise SigjepaError for a teacher other than the one that a student was trained with, naming what differs.

    Also for one whose files are not where the student says.
    """
    try:
        fingerprint = teacher.fingerprint()
    except SigjepaError as error:
        raise SigjepaError(
            f"The teacher of {folder} is not there: {error} Name its folder here: teacher=..."
        ) from error
    differing = [key for key, value in config.teacher_identity.items() if fingerprint.get(key) != value]
    if differing:
        raise SigjepaError(
            f"{folder} was trained with another teacher than {teacher.name}: {', '.join(differing)} differ. Give its "
            "own, or, for predictions that may mean nothing, check_teacher=False (at a command check_teacher=false)."
        )
