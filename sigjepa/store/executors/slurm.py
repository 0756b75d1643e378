"""The executor of a Slurm cluster: a job array (submitit), each job of which builds a share of the parts."""

import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sigjepa.errors import SigjepaError
from sigjepa.store.build import PartRecord
from sigjepa.store.executors.executor import check_number
from sigjepa.store.executors.tries import Tries
from sigjepa.store.executors.worker import Failure, Worker, probed_driver
from sigjepa.store.stage import Part, Stage

log = logging.getLogger(__name__)

FOLDER = ".slurm"
"""Below the data directory: what submitit sends to the jobs, and their logs."""


@dataclass(frozen=True)
class Slurm:
    """Builds parts in the jobs of an array over a folder that all nodes mount.

    jobs: of the array at most, each of which opens the stage once. partition, timeout_min, cpus_per_task,
    gpus_per_node, mem_gb: of a job, as submitit names them; GPUs are asked for where a model runs. cluster: slurm, or
    local for processes of this machine, to try. patience: seconds that a file may be late on the shared file system.
    poll_seconds: between two looks at the queue.

    What a job that ends early has not built, another array builds. Raises SigjepaError for fewer than one job.
    """

    jobs: int = 16
    partition: str | None = None
    timeout_min: int = 240
    cpus_per_task: int = 4
    gpus_per_node: int | None = None
    mem_gb: float | None = 32
    cluster: str = "slurm"
    patience: float = 60
    poll_seconds: float = 10

    def __post_init__(self) -> None:
        check_number("jobs", self.jobs, 1)
        if self.cluster not in ("slurm", "local"):
            raise SigjepaError(f"executor.cluster={self.cluster} must be slurm or local.")

    def run(self, stage: Stage[Any], parts: Sequence[Part], folder: Path) -> Iterator[PartRecord]:
        """As Executor says; a part that fails three times is named when the others are done."""
        if not parts:
            return
        folder = folder.absolute()
        submitter = self._submitter(stage, folder)
        tries = Tries(parts)
        with probed_driver(stage, folder, ("submitit",), self.patience) as driver:
            while tries.waiting:
                waiting = [*tries.waiting]
                tries.waiting.clear()
                count = min(self.jobs, len(waiting))
                shares = [waiting[number::count] for number in range(count)]
                worker = Worker(stage, folder, driver)
                for result in self._array(submitter, worker, shares, tries):
                    driver.await_files(folder, result)
                    yield result
        tries.check()

    def _array(self, submitter: Any, worker: Worker, shares: list[list[Part]], tries: Tries) -> Iterator[PartRecord]:
        """Yield what the jobs of an array have built, and note what they have not."""
        from submitit import helpers  # noqa: PLC0415  optional
        from submitit.core.utils import FailedJobError, UncompletedJobError  # noqa: PLC0415

        jobs = submitter.map_array(worker_build, [worker] * len(shares), shares)
        share_of = {job.job_id: share for job, share in zip(jobs, shares, strict=True)}
        try:
            for job in helpers.as_completed(jobs, poll_frequency=self.poll_seconds):
                try:
                    results: list[PartRecord | Failure] = job.result()
                except (UncompletedJobError, FailedJobError):
                    results = self._left_by(job, worker, share_of[job.job_id], tries)
                for result in results:
                    if isinstance(result, Failure):
                        tries.fail(result)
                    else:
                        yield result
        finally:
            for job in jobs:
                if not job.done():
                    job.cancel(check=False)

    def _left_by(self, job: Any, worker: Worker, share: list[Part], tries: Tries) -> list[PartRecord | Failure]:
        """Return what a job had built before it died, and the part that it died in; the others wait again."""
        records = {part: PartRecord.read(worker.folder, part, worker.stage) for part in share}
        unbuilt = [part for part, record in records.items() if record is None]
        built: list[PartRecord | Failure] = [record for record in records.values() if record is not None]
        tries.waiting.extend(unbuilt[1:])
        said = f"the job {job.job_id} ended before it was done; see {job.paths.stderr}."
        return [*built, *(Failure(part, "its node", said) for part in unbuilt[:1])]

    def _submitter(self, stage: Stage[Any], folder: Path) -> Any:
        """Return submitit's executor; raises SigjepaError without submitit, or where there is no Slurm."""
        try:
            import submitit  # noqa: PLC0415  optional
        except ImportError:
            raise SigjepaError("executor=slurm needs submitit: pip install 'sigjepa[cluster]'.") from None
        if self.cluster == "slurm" and shutil.which("srun") is None:
            raise SigjepaError(
                "executor=slurm finds no `srun`: give the command on a machine of a Slurm cluster, or "
                "executor.cluster=local to try it on this one."
            )
        logs = folder.parents[1] / FOLDER / folder.parent.name / folder.name
        logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        submitter = submitit.AutoExecutor(logs, cluster=self.cluster)
        submitter.update_parameters(
            name=f"sigjepa-{stage.kind}",
            timeout_min=self.timeout_min,
            cpus_per_task=self.cpus_per_task,
            gpus_per_node=self.gpus_per_node if stage.uses == "gpu" else None,
            mem_gb=self.mem_gb,
            slurm_partition=self.partition,
            slurm_array_parallelism=self.jobs,
        )
        return submitter


def worker_build(worker: Worker, share: Sequence[Part]) -> list[PartRecord | Failure]:
    """Return what a worker makes of each part of its share."""
    return [worker.build(part) for part in share]
