"""A student copied to a folder of its own, or written as a graph."""

from pathlib import Path

from sigjepa.errors import SigjepaError, nearest_name
from sigjepa.serving.graphs import FILES, export_graph
from sigjepa.serving.student import Student

FOLDER = "folder"
FORMATS = (FOLDER, *FILES)


def check_format(form: str) -> None:
    """Raise SigjepaError for a form that is not among `FORMATS`."""
    if form not in FORMATS:
        raise SigjepaError(f"format={form}: use {', '.join(FORMATS)}.{nearest_name(str(form), FORMATS)}")


def export_student(
    source: str, output: Path, form: str, *, overwrite: bool = False, allowed_targets: tuple[str, ...] = ()
) -> list[Path]:
    """Write the student of a run directory, a folder or the Hub into a folder, and return its files.

    form: of `FORMATS`. Raises SigjepaError for a source that is no student, and for a folder with files in it, unless
    they may be overwritten.
    """
    check_format(form)
    student = Student.from_pretrained(source, check_teacher=False, allowed_targets=allowed_targets)
    if output.exists() and (not output.is_dir() or any(output.iterdir())) and not overwrite:
        raise SigjepaError(f"{output} is there, and not empty: choose another output, or set overwrite=true.")
    if form != FOLDER:
        return [export_graph(student, output, form)]
    student.save_pretrained(output)
    return sorted(path for path in output.rglob("*") if path.is_file())
