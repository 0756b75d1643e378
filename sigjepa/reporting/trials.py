"""Trials of a search: settings that share a name, and which of them is best by what a search chooses."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import mean

from sigjepa.evaluation.metrics import Metric, metric_at
from sigjepa.reporting.labels import label_of
from sigjepa.reporting.run import Run
from sigjepa.reporting.runs import by_experiment


def best_trials(finished: Sequence[Run]) -> list[str]:
    """Return a sentence for each name that several settings share: which is best by what a sweep optimizes.

    That is the metric that selects the epoch, so a figure of val; a mean over seeds. Only runs of one pool and one
    such metric are set against each other. Runs of folds are pooled.
    """
    trials: dict[tuple[str, str, str, Metric], dict[str, list[Run]]] = defaultdict(dict)
    for experiment, members in by_experiment(finished).items():
        kinds = {(run.pool(), run.monitor, metric_at(run.monitor, run.metrics)) for run in members}
        if len(kinds) == 1:
            trials[(members[0].name, *kinds.pop())][experiment] = members
    return [_sentence(name, key, others) for (name, _, key, _), others in trials.items() if len(others) > 1]


def _sentence(name: str, key: str, trials: dict[str, list[Run]]) -> str:
    metrics = next(iter(trials.values()))[0].metrics
    selecting, tested = metric_at(key, metrics), key.replace("val/", "test/")
    unit = " %" if selecting.percent else ""
    levels = {experiment: mean(run.figure(key) for run in members) for experiment, members in trials.items()}
    most = max(map(selecting.gain, levels.values()))
    best = {experiment: trials[experiment] for experiment, level in levels.items() if selecting.gain(level) == most}
    described = []
    for experiment, members in best.items():
        seeds = f"mean over {len(members)} seeds" if len(members) > 1 else "one seed"
        on_test = ""
        if all(tested in run.summary for run in members):
            figure = selecting.format(mean(run.figure(tested) for run in members))
            on_test = f"; {figure}{unit} on {label_of(tested, metrics)}"
        described.append(f"{experiment} ({selecting.format(levels[experiment])}{unit}, {seeds}{on_test})")
    return (
        f"Of {len(trials)} experiments called {name}, the best on {label_of(key, metrics)}, which a search optimizes: "
        f"{' and '.join(described)}. The best of several is flattered on val."
    )
