"""Hydra's hooks for jobs and sweeps that go on where they were interrupted, whichever sweeper and launcher run them.

Hydra imports this file at the start of every command, so that it imports nothing heavy itself. `conf/hydra/train.yaml`
names the callback; the callback stands the sweeper before the one that was chosen; the sweeper does so with the
launcher, which all jobs pass on their way.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

if TYPE_CHECKING:
    from sigjepa.training.sweep_jobs import SweepContext


class ResumeCallback(Callback):
    """Send a single run to the folder that holds its job, and a sweep through the sweeper of this file.

    sweeper: the name of its class, `ResumingSweeper` or `PreviewSweeper`.
    """

    def __init__(self, sweeper: str) -> None:
        self.sweeper = sweeper

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Set `hydra.run.dir`, where `resume=auto` finds a folder that holds the job."""
        from sigjepa.training.sweep_jobs import resume_run

        resume_run(config)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Stand the sweeper before the chosen one, which it finds in the callback's node."""
        with open_dict(config):
            config.hydra.callbacks.resume.chosen = config.hydra.sweeper
            config.hydra.sweeper = {"_target_": f"{__name__}.{self.sweeper}"}


class ResumingSweeper(Sweeper):
    """Run the chosen sweeper in the folder where the same sweep was interrupted, or in a new one."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Put the chosen sweeper back into the config."""
        with open_dict(config):
            config.hydra.sweeper = config.hydra.callbacks.resume.pop("chosen")
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep, and say before and after it what its jobs came to; raises what a job raises."""
        from sigjepa.training.sweep_jobs import is_grid, open_sweep

        with open_sweep(self.hydra_context, self.config, arguments) as context:
            self.config.hydra.launcher = {"_target_": f"{__name__}.ResumingLauncher"}
            chosen = Plugins.instance().instantiate_sweeper(
                hydra_context=context, task_function=self.task_function, config=self.config
            )
            if is_grid(self.config):  # all its jobs are composed by now: Hydra would do it again, to see whether it can
                chosen.validate_batch_is_legal = lambda batch: None  # type: ignore[method-assign]
            return chosen.sweep(arguments)


class PreviewSweeper(ResumingSweeper):
    """Print the jobs of a sweep instead of starting them."""

    def sweep(self, arguments: list[str]) -> None:
        """Print the table of `python -m sigjepa.sweep`."""
        from sigjepa.runtime.terminal import show
        from sigjepa.sweep import preview

        show(preview(self.hydra_context.config_loader, self.config, arguments))


class ResumingLauncher(Launcher):
    """Record every job that a sweeper asks for, and start it by the chosen launcher in the folder that holds it."""

    def setup(self, *, hydra_context: "SweepContext", task_function: TaskFunction, config: DictConfig) -> None:
        """Put the chosen launcher back into the config, and set it up."""
        self.context, config.hydra.launcher = hydra_context, hydra_context.launcher
        self.chosen = Plugins.instance().instantiate_launcher(
            HydraContext(hydra_context.config_loader, hydra_context.callbacks), task_function, config
        )

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Start the jobs; one that is asked for twice at once is started once, and its result given twice."""
        jobs = self.context.place(job_overrides, initial_job_idx)
        started = {job.folder: job.arguments for job in jobs}
        returns = dict(zip(started, self.chosen.launch(list(started.values()), initial_job_idx), strict=True))
        return [returns[job.folder] for job in jobs]
