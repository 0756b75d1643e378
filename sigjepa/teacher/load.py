"""A teacher by the name of its config."""

from collections.abc import Sequence

from sigjepa.runtime.compose import compose
from sigjepa.runtime.instantiate import instantiate
from sigjepa.teacher.encoder import FrozenTeacher


def load_teacher(name: str = "minilm", overrides: Sequence[str] = ()) -> FrozenTeacher:
    """Return the teacher that `teacher=<name>` stands for, with overrides such as `teacher.device=cpu`.

    The model is read from disk when it is first asked to encode. Raises SigjepaError for an unknown name or key.
    """
    config = compose([f"teacher={name}", *overrides])
    teacher = instantiate(config.teacher, list(config.allowed_targets))
    assert isinstance(teacher, FrozenTeacher)
    return teacher
