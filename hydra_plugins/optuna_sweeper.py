"""A sweep whose jobs are chosen by what those before came to: a thin sweeper around Optuna's study.

The published hydra-optuna-sweeper asks for an Optuna below 3, of 2022, whose storage today's SQLAlchemy breaks.
This one asks today's Optuna for the numbers of a job and tells it `monitor`, nothing else; Optuna keeps the study in
the sweep's folder, so that a sweep that was cut goes on. Hydra imports this file at the start of every command, so that
it imports nothing heavy itself.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

STUDY_FILE = "study.log"


class OptunaSweeper(Sweeper):
    """Ask Optuna's TPE for jobs, and tell it the `monitor` of each.

    n_trials: jobs in all, those of an earlier start of the same sweep included. n_jobs: how many are asked for at once,
    for a launcher that starts several. n_startup_trials: random ones, before there is something to learn from. seed: of
    what is drawn. params: the numbers that are searched, as on the command line, which overrides them.
    """

    def __init__(
        self, n_trials: int, n_jobs: int, n_startup_trials: int, seed: int, params: Mapping[str, str] | None
    ) -> None:
        from sigjepa.errors import SigjepaError

        for name, value in (("n_trials", n_trials), ("n_jobs", n_jobs)):
            if value < 1:
                raise SigjepaError(f"hydra.sweeper.{name}={value} must be at least 1.")
        self.n_trials, self.n_jobs, self.n_startup_trials, self.seed = n_trials, n_jobs, n_startup_trials, seed
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Set up the launcher."""
        self.context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run trials until there are `n_trials`, and print the best; raises what a job raises."""
        parser = OverridesParser.create(config_loader=self.context.config_loader)
        words = [*(f"{key}={value}" for key, value in self.params.items()), *arguments]
        overrides = {each.get_key_element(): each for each in parser.parse_overrides(words)}
        space = {key: distribution(each) for key, each in overrides.items() if each.is_sweep_override()}
        fixed = [str(each.input_line) for each in overrides.values() if not each.is_sweep_override()]
        study = self.open_study(space)
        asked = 0
        while trials := self.next_trials(study, space):
            jobs = [[*fixed, *(f"{key}={value}" for key, value in params.items())] for params in trials.values()]
            returns = self.launcher.launch(jobs, initial_job_idx=asked)
            asked += len(returns)
            failed = []
            for number, job in zip(trials, returns, strict=True):
                try:
                    study.tell(number, float(job.return_value))
                except Exception as error:  # noqa: BLE001 - of the job, raised below; the next start asks for others
                    study.tell(number, state=failed_state())
                    failed.append(error)
            if failed:
                raise failed[0]
        best = study.best_trial
        found = " ".join(f"{key}={value}" for key, value in best.params.items())
        value = f"{self.config.monitor} {best.value:.4f} of trial {best.number}"
        print(f"sigjepa: best of {len(study.trials)} trials: {value}: {found}", file=sys.stderr, flush=True)

    def open_study(self, space: Mapping[str, "BaseDistribution"]) -> "Study":
        """Return the study in the sweep's folder; raises SigjepaError where nothing is searched."""
        import optuna

        from sigjepa.errors import SigjepaError
        from sigjepa.evaluation.metrics import build_metrics, monitored_metric
        from sigjepa.runtime.instantiate import plain

        if not space:
            raise SigjepaError(
                "hydra/sweeper=optuna has nothing to search: give a key several values, such as "
                "'optimizer.lr=tag(log,interval(1e-3,1e-1))' or trainer.max_epochs=6,8,10."
            )
        metrics = build_metrics(plain(self.config.metrics), self.config.monitor, plain(self.config.allowed_targets))
        maximized = monitored_metric(self.config.monitor, metrics).direction == "max"
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        backend = optuna.storages.journal.JournalFileBackend(str(folder / STUDY_FILE))
        study = optuna.create_study(
            study_name="sweep",
            storage=optuna.storages.JournalStorage(backend),
            direction="maximize" if maximized else "minimize",
            load_if_exists=True,
        )
        # another seed for each start: what is drawn would be drawn again
        seed = self.seed + len(study.trials)
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=self.n_startup_trials, seed=seed)
        return study

    def next_trials(self, study: "Study", space: Mapping[str, "BaseDistribution"]) -> dict[int, dict[str, Any]]:
        """Return the values of the next trials by number: first those that were cut, then new ones; at the end none."""
        from optuna.trial import TrialState

        trials = study.get_trials(deepcopy=False)
        cut = {trial.number: trial.params for trial in trials if trial.state == TrialState.RUNNING}
        if cut:
            return dict(list(cut.items())[: self.n_jobs])
        told = sum(trial.state == TrialState.COMPLETE for trial in trials)
        asked = [study.ask(dict(space)) for _ in range(min(self.n_jobs, self.n_trials - told))]
        return {trial.number: trial.params for trial in asked}


def failed_state() -> Any:
    """Return Optuna's state of a trial without a value."""
    from optuna.trial import TrialState

    return TrialState.FAIL


def distribution(override: Override) -> "BaseDistribution":
    """Return Optuna's distribution of a key with several values; raises SigjepaError for one that has none."""
    from sigjepa.errors import SigjepaError

    try:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    except ModuleNotFoundError:
        raise SigjepaError("hydra/sweeper=optuna needs Optuna: pip install 'sigjepa[search]'.") from None
    swept: Any = override.value()
    try:
        match swept:
            case IntervalSweep(start=int(low), end=int(high), tags=tags):
                return IntDistribution(low, high, log="log" in tags)
            case IntervalSweep(start=low, end=high, tags=tags):
                return FloatDistribution(float(low), float(high), log="log" in tags)
            case RangeSweep(start=int(low), stop=int(stop), step=int(step)):
                return IntDistribution(low, low + (stop - 1 - low) // step * step, step=step)
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    except (ValueError, TypeError) as error:
        raise SigjepaError(f"{override.input_line} can't be searched: {error}") from None
