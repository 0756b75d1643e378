"""Build corpus, shards and hard negatives alone: `python -m sigjepa.prepare experiment=hardneg_curriculum`."""

import time

from omegaconf import DictConfig

from sigjepa.data.datamodule import FunctionDataModule
from sigjepa.data.repair import repair_artifacts
from sigjepa.reporting.tables import figures_table, markdown_table
from sigjepa.runtime.command import entry_point
from sigjepa.runtime.instantiate import RUN_KEYS, check_keys, instantiate, plain


def prepare(config: DictConfig) -> None:
    """Build or open the artifacts that `sigjepa.train` would use with the same words, and say what they hold."""
    started = time.perf_counter()
    resolved = plain(config)
    check_keys(resolved, (*RUN_KEYS, "repair"))
    datamodule: FunctionDataModule = instantiate(config.data, resolved["allowed_targets"])
    if resolved["repair"]:
        repairs = repair_artifacts(datamodule)
        print(
            markdown_table(["damaged", "what was done"], [[one.problem, "set aside, built again"] for one in repairs])
        )
        print(f"{len(repairs)} repairs; every artifact is sound now")
    data = datamodule.artifacts()
    print(data.corpus.summary_table())
    if data.hard_negatives is not None:
        print(data.hard_negatives.summary_table())
    print(figures_table(datamodule.figures()))
    print(f"artifacts: {data.hashes()} in {datamodule.data_dir} ({time.perf_counter() - started:.0f} s)")


main = entry_point("prepare")(prepare)

if __name__ == "__main__":
    main()
