"""Build corpus, shards, hard negatives and baselines alone: `python -m sigjepa.prepare experiment=exp2_1`."""

import time

from omegaconf import DictConfig

from sigjepa.runtime.command import hydra_job, run_command
from sigjepa.runtime.instantiate import RUN_KEYS, check_keys, instantiate, plain
from sigjepa.runtime.terminal import show


def prepare(config: DictConfig) -> None:
    """Build or open the artifacts that `sigjepa.train` would use with the same words, and say what they hold."""
    from sigjepa.pipeline import pipeline_of
    from sigjepa.reporting.tables import figures_table, markdown_table
    from sigjepa.training.component_check import check_seed

    started = time.perf_counter()
    resolved = plain(config)
    check_keys(resolved, (*RUN_KEYS, "repair"))
    check_seed(resolved["seed"])
    pipeline = pipeline_of(config)
    if resolved["repair"]:
        data, problems = pipeline.repair()
        print(markdown_table(["damaged", "what was done"], [[each, "set aside, built again"] for each in problems]))
        print(f"{len(problems)} repairs; every artifact is sound now")
    else:
        data = pipeline.get()
    pipeline.measure_baselines(data)
    show(data.corpus.summary_table())
    if data.hard_negatives is not None:
        show(data.hard_negatives.summary_table())
    figures = instantiate(config.data, resolved["allowed_targets"], data=data).figures()
    show(figures_table(figures, data.pool.sample_texts(data.corpus)))
    folders = {name: reference.folder for name, reference in data.references().items()}
    print(f"artifacts: {folders} in {data.store.data_dir} ({time.perf_counter() - started:.0f} s)")


def main() -> None:
    """Run the command of `sys.argv`."""
    run_command("prepare", lambda: hydra_job("prepare", prepare, ["lightning"]))


if __name__ == "__main__":
    main()
