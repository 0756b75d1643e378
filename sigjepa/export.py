"""Write the published files: `python -m sigjepa.export experiment=exp2_1 output=published`."""

from pathlib import Path

from omegaconf import DictConfig

from sigjepa.errors import SigjepaError
from sigjepa.runtime.command import hydra_job, run_command
from sigjepa.runtime.instantiate import RUN_KEYS, check_keys, plain
from sigjepa.runtime.terminal import show

EXPORT_KEYS = (*RUN_KEYS, "output", "ids", "fields", "overwrite")
"""The top-level keys of an export's config."""


def export(config: DictConfig) -> None:
    """Build or open the artifacts of a run, write its judged pairs and hard negatives, and print their summary."""
    from sigjepa.negatives.exchange.exported import export as export_negatives
    from sigjepa.negatives.exchange.field_map import FieldMap
    from sigjepa.negatives.exchange.function_ids import check_kind
    from sigjepa.pipeline import pipeline_of

    resolved = plain(config)
    check_keys(resolved, EXPORT_KEYS)
    if resolved["negatives"] is None:
        raise SigjepaError("negatives=none has nothing to export; choose an experiment that mines, or negatives=knn.")
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
