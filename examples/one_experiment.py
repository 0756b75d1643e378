"""Train one experiment from Python and look at what came of it: `python examples/one_experiment.py data=tiny`.

Arguments are overrides, as after `python -m sigjepa.train`.
"""

import sys

import sigjepa


def main(overrides: list[str]) -> None:
    """Train Exp 1.4 with `overrides`, and print its ranks, and those of the strongest baseline beside it."""
    config = sigjepa.compose(["experiment=exp1_4", "logger=none", *overrides])
    run = sigjepa.run_experiment(config)
    strongest, figures = max(run.baselines.items(), key=lambda item: item[1]["test/rank10"])
    print(f"{run.experiment}, seed {run.seed}: test Rank@10 {100 * run.figure('test/rank10'):.2f} %")
    print(f"{strongest}, without training: {100 * figures['test/rank10']:.2f} %")
    print(f"val/rank10 by epoch: { {epoch: round(value, 4) for epoch, value in run.curve('val/rank10').items()} }")
    ids, ranks = run.ranks("test")
    hardest = ids[ranks.pessimistic.argmax()]
    print(f"hardest query: function {hardest}, rank {ranks.pessimistic.max()} of {len(ids)}")


if __name__ == "__main__":
    main(sys.argv[1:])
