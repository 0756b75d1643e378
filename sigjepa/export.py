"""Write the published files, a data set, or a student: `python -m sigjepa.export student=<run> output=my_student`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from sigjepa.errors import SigjepaError
from sigjepa.runtime.command import hydra_job, run_command
from sigjepa.runtime.instantiate import RUN_KEYS, check_keys, plain
from sigjepa.runtime.terminal import show

EXPORT_KEYS = (*RUN_KEYS, "output", "ids", "fields", "overwrite", "student", "format")
"""The top-level keys of an export's config."""
DATASETS = "datasets"
"""The format of a folder that Hugging Face `datasets` opens."""
NEGATIVES_FORMATS = ("folder", DATASETS)
"""Formats of what is no student."""


def export(config: DictConfig) -> None:
    """Write a student, the corpus as a data set, or hard negatives, whichever the config names."""
    resolved = plain(config)
    check_keys(resolved, EXPORT_KEYS)
    as_dataset = resolved["format"] == DATASETS and resolved["student"] is None
    if (resolved["student"] is None) == (resolved["negatives"] is None) and not as_dataset:
        raise SigjepaError(
            "Say what to export, one of both: student=<run directory>, or negatives, of an experiment that mines them "
            "or by negatives=knn. format=datasets writes the corpus alone, too."
        )
    if resolved["student"] is not None:
        write_student(resolved)
    elif as_dataset:
        write_dataset(config, Path(resolved["output"]), resolved["overwrite"])
    elif resolved["format"] in NEGATIVES_FORMATS:
        write_negatives(config, resolved)
    else:
        known = ", ".join(NEGATIVES_FORMATS)
        raise SigjepaError(f"format={resolved['format']} is of a student; without student= use {known}.")


def write_student(resolved: Mapping[str, Any]) -> None:
    """Write the student of a run or a folder."""
    from sigjepa.serving.export import export_student

    files = export_student(
        str(resolved["student"]),
        Path(resolved["output"]),
        resolved["format"],
        overwrite=resolved["overwrite"],
        allowed_targets=tuple(resolved["allowed_targets"]),
    )
    show_files(files)


def write_dataset(config: DictConfig, output: Path, overwrite: bool) -> None:
    """Write the corpus, and hard negatives where the config has some, as a data set; build what is missing of them."""
    from sigjepa.negatives.exchange.exported import export_dataset
    from sigjepa.pipeline import pipeline_of

    pipeline = pipeline_of(config)
    if pipeline.negatives is None:  # then nothing is embedded
        negatives, corpus = None, pipeline.get_corpus()
    else:
        data = pipeline.get()
        negatives, corpus = data.hard_negatives, data.corpus
    show_files(export_dataset(negatives, corpus, output, overwrite=overwrite))


def write_negatives(config: DictConfig, resolved: Mapping[str, Any]) -> None:
    """Write judged pairs and hard negatives in the published formats; build what is missing of them."""
    from sigjepa.negatives.exchange.exported import export as export_negatives
    from sigjepa.negatives.exchange.field_map import FieldMap
    from sigjepa.negatives.exchange.function_ids import check_kind
    from sigjepa.pipeline import pipeline_of

    check_kind(resolved["ids"])
    FieldMap(resolved["fields"])
    data = pipeline_of(config).get()
    assert data.hard_negatives is not None, "negatives were asked for"
    files = export_negatives(
        data.hard_negatives,
        data.corpus,
        Path(resolved["output"]),
        ids=resolved["ids"],
        fields=resolved["fields"],
        overwrite=resolved["overwrite"],
    )
    size = next(file.stat().st_size for file in files if file.name == "hard_negatives.json")
    show(data.hard_negatives.summary_table(size))
    show_files(files)


def show_files(files: list[Path]) -> None:
    """Print files with their sizes."""
    sizes = {file: file.stat().st_size for file in files}
    print(
        "\n".join(
            f"{file} ({size / 1e6:,.1f} MB)" if size > 1e5 else f"{file} ({size:,} bytes)"
            for file, size in sizes.items()
        )
    )


def main() -> None:
    """Run the command of `sys.argv`."""
    run_command("export", lambda: hydra_job("export", export, ["lightning"]))


if __name__ == "__main__":
    main()
