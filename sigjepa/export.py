"""Write the published files, or a student: `python -m sigjepa.export student=<run directory> output=my_student`."""

from pathlib import Path

from omegaconf import DictConfig

from sigjepa.errors import SigjepaError
from sigjepa.runtime.command import hydra_job, run_command
from sigjepa.runtime.instantiate import RUN_KEYS, check_keys, plain
from sigjepa.runtime.terminal import show

EXPORT_KEYS = (*RUN_KEYS, "output", "ids", "fields", "overwrite", "student", "format")
"""The top-level keys of an export's config."""


def export(config: DictConfig) -> None:
    """Write a student; or build or open the artifacts of a run and write its judged pairs and hard negatives."""
    from sigjepa.negatives.exchange.exported import export as export_negatives
    from sigjepa.negatives.exchange.field_map import FieldMap
    from sigjepa.negatives.exchange.function_ids import check_kind
    from sigjepa.pipeline import pipeline_of
    from sigjepa.serving.export import export_student

    resolved = plain(config)
    check_keys(resolved, EXPORT_KEYS)
    if (resolved["student"] is None) == (resolved["negatives"] is None):
        raise SigjepaError(
            "Say what to export, one of both: student=<run directory>, or negatives, of an experiment that mines them "
            "or by negatives=knn."
        )
    if resolved["student"] is not None:
        words = (str(resolved["student"]), Path(resolved["output"]), resolved["format"])
        allowed = tuple(resolved["allowed_targets"])
        files = export_student(*words, overwrite=resolved["overwrite"], allowed_targets=allowed)
        print("\n".join(f"{file} ({file.stat().st_size / 1e6:.1f} MB)" for file in files))
        return
    check_kind(resolved["ids"])  # before anything is built
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
    print("\n".join(f"{file} ({file.stat().st_size / 1e6:.1f} MB)" for file in files))


def main() -> None:
    """Run the command of `sys.argv`."""
    run_command("export", lambda: hydra_job("export", export))


if __name__ == "__main__":
    main()
