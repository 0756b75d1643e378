"""The executor of a Ray cluster: actors that each open the stage once and are given its parts one by one."""

import logging
import os
import re
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from sigjepa.errors import SigjepaError
from sigjepa.store.build import PartRecord
from sigjepa.store.credentials import without_credentials
from sigjepa.store.executors.executor import check_number
from sigjepa.store.executors.tries import MAX_TRIES, Tries
from sigjepa.store.executors.worker import Driver, Failure, Worker, probed_driver
from sigjepa.store.stage import Part, Stage

log = logging.getLogger(__name__)

CONTACT_SECONDS = 5.0
"""Seconds that a head may take to answer; one that is there does in milliseconds."""
CHECK_SECONDS = 120.0
"""Seconds that the workers may take to compare themselves with the driver, beside what a file may be late."""
MODULE = re.compile(r"No module named '([\w.]+)'")


@dataclass(frozen=True)
class Ray:
    """Builds parts on a Ray cluster, in actors.

    address: `host:port` of the cluster's head, or `auto` for that of this machine; None: what `RAY_ADDRESS` says, or a
    cluster of this machine alone, which ends with the command. workers: actors; None is as many as fit now.
    cpus_per_worker: cores of each. gpus_per_worker: GPUs, or a share of one, of each that runs a model. patience:
    seconds that a file may be late on the shared file system.

    Each actor has one part at a time, so a slow node has fewer. Raises SigjepaError for a number out of range.
    """

    address: str | None = None
    workers: int | None = None
    cpus_per_worker: float = 1
    gpus_per_worker: float = 0
    patience: float = 60

    def __post_init__(self) -> None:
        for name, least in {"workers": 1, "cpus_per_worker": 0, "gpus_per_worker": 0, "patience": 0}.items():
            value = getattr(self, name)
            if value is not None:
                check_number(name, value, least, whole=name == "workers")

    def run(self, stage: Stage[Any], parts: Sequence[Part], folder: Path) -> Iterator[PartRecord]:
        """As Executor says; a part that fails three times is named when the others are done."""
        if not parts:
            return
        ray = self._connect()
        folder = folder.absolute()
        gpus = self.gpus_per_worker if stage.uses == "gpu" else 0
        slots = self._slots(ray, gpus)
        with probed_driver(stage, folder, ("ray",), self.patience) as driver:
            sent = send(ray, stage)
            check_nodes(ray, sent, folder, driver)
            actor = ray.remote(Worker).options(num_cpus=self.cpus_per_worker, num_gpus=gpus)
            start = partial(actor.remote, sent, folder, driver)
            yield from build(ray, start, min(self.workers or slots, len(parts)), parts, driver, folder)

    def _connect(self) -> ModuleType:
        """Return Ray, connected; raises SigjepaError where there is none, no cluster, or one of other versions."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
        try:
            import ray  # noqa: PLC0415  optional
        except ImportError:
            raise SigjepaError("executor=ray needs Ray: pip install 'sigjepa[cluster]'.") from None
        if ray.is_initialized():
            return ray
        address = self.address or os.environ.get("RAY_ADDRESS") or "local"
        there = f"There is no Ray cluster at executor.address={address}"
        way_out = "Start one (`ray start --head`), or leave the address out for a cluster of this machine alone."
        if ":" in address and not answers(address):
            raise SigjepaError(f"{there}: nothing answers. {way_out}")
        here: dict[str, Any] = {} if address != "local" else {"num_cpus": self._cores(), "include_dashboard": False}
        try:
            ray.init(address, logging_level=logging.CRITICAL, log_to_driver=False, **here)
        except (ConnectionError, ValueError, RuntimeError) as error:
            said = " ".join(str(error).split())
            if "ersion mismatch" in said:
                raise SigjepaError(f"The Ray cluster at {address} has other versions: {said}") from None
            raise SigjepaError(f"{there}: {said}. {way_out}") from None
        return ray

    def _cores(self) -> int | None:
        """The cores of a cluster that is started here; None is all."""
        return None if self.workers is None else max(1, round(self.workers * self.cpus_per_worker))

    def _slots(self, ray: ModuleType, gpus: float) -> int:
        """Return how many actors fit on the nodes; raises SigjepaError when none does."""
        slots = 0
        for node in alive_nodes(ray):
            has = node["Resources"]
            fits = [has.get("CPU", 0) // self.cpus_per_worker] if self.cpus_per_worker else []
            fits += [has.get("GPU", 0) // gpus] if gpus else []
            slots += int(min(fits, default=1))
        if slots == 0 and self.workers is None:
            raise SigjepaError(
                f"No node of the Ray cluster has executor.cpus_per_worker={self.cpus_per_worker:g} cores"
                f"{f' and executor.gpus_per_worker={gpus:g} GPUs' if gpus else ''}. Ask for less, or give "
                "executor.workers where nodes are still to come."
            )
        return slots


def build(
    ray: ModuleType, start: Callable[[], Any], count: int, parts: Sequence[Part], driver: Driver, folder: Path
) -> Iterator[PartRecord]:
    """Yield the records of parts that `count` actors build, one at a time each, so that no more wait in the cluster.

    start: starts an actor. One that is lost, as with its node, is replaced, and its part is tried again: Ray's own
    retries are used up while it can't yet start an actor elsewhere. An actor is given parts when it has been checked,
    so none waits for an actor that has no node.
    """
    tries, idle, working = Tries(parts), deque[Any](), dict[Any, tuple[Any, Part | None]]()
    lost = 0
    for _ in range(count):
        begin(start, working)
    while tries.waiting or any(part is not None for _, part in working.values()):
        while tries.waiting and idle:
            actor, part = idle.popleft(), tries.waiting.popleft()
            working[actor.build.remote(part)] = actor, part
        done, _ = ray.wait([*working], timeout=CONTACT_SECONDS)
        if not done:
            check_head(ray)
            continue
        actor, checked = working.pop(done[0])
        try:
            result = ray.get(done[0])
        except ray.exceptions.RayTaskError as error:  # in the check; what fails in a part is a result
            raise cause_of(error, "a node") from None
        except ray.exceptions.RayError as error:
            lost += checked is None
            if lost == MAX_TRIES:
                raise refusal(error, "a node") from None
            if checked is not None:
                tries.fail(Failure(checked, "its node", f"its worker died: {in_a_line(error)}"))
            begin(start, working)
            continue
        idle.append(actor)
        if isinstance(result, Failure):
            tries.fail(result)
        elif checked is None:
            driver.await_report(result, "a node")
        else:
            driver.await_files(folder, result)
            yield result
    tries.check()


def begin(start: Callable[[], Any], working: dict[Any, tuple[Any, Part | None]]) -> None:
    """Start an actor, which is checked before it is given a part."""
    actor = start()
    working[actor.check.remote()] = actor, None


def send(ray: ModuleType, stage: Stage[Any]) -> Any:
    """Return a reference to a stage in the object store, from which each actor takes it once.

    Raises SigjepaError when a node's store is too small for it.
    """
    size = len(ray.cloudpickle.dumps(stage))
    stores = {node["NodeManagerAddress"]: node["Resources"].get("object_store_memory", 0) for node in alive_nodes(ray)}
    host, least = min(stores.items(), key=lambda store: store[1])
    if size > least:
        raise SigjepaError(
            f"What a worker needs of '{stage.kind}' has {size / 2**20:,.0f} MiB, and the object store of Ray on {host} "
            f"has {least / 2**20:,.0f} MiB. Start Ray there with a larger one (`ray start --object-store-memory=...`)."
        )
    return ray.put(stage)


def check_nodes(ray: ModuleType, sent: Any, folder: Path, driver: Driver) -> None:
    """Have every node open the stage and compare itself with the driver, before any work is begun.

    Raises SigjepaError for a module that a node lacks, other versions, and a folder that is not shared.
    """
    pinned = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    probes = {}
    for node in alive_nodes(ray):
        strategy = pinned(node["NodeID"], soft=False)
        worker = ray.remote(Worker).options(num_cpus=0, scheduling_strategy=strategy).remote(sent, folder, driver)
        probes[worker.check.remote()] = node["NodeManagerAddress"], worker
    waiting = list(probes)
    while waiting:
        done, waiting = ray.wait(waiting, timeout=CHECK_SECONDS + driver.patience)
        if not done:
            raise SigjepaError(f"The node {probes[waiting[0]][0]} of the Ray cluster does not answer. Restart it.")
        host = probes[done[0]][0]
        try:
            report = ray.get(done[0])
        except ray.exceptions.RayTaskError as error:
            raise cause_of(error, host) from None
        except ray.exceptions.RayError as error:
            raise refusal(error, host) from None
        driver.await_report(report, host)


def cause_of(error: Any, host: str) -> SigjepaError:
    """Return what a worker has raised for the user, or else the error for a node that can't do any work."""
    return error.cause if isinstance(error.cause, SigjepaError) else refusal(error, host)


def refusal(error: Exception, host: str) -> SigjepaError:
    """Return the error for a node that can't do any work."""
    missing = MODULE.search(str(error))
    if missing is None:
        return SigjepaError(f"The node {host} of the Ray cluster can't work: {in_a_line(error)}")
    return SigjepaError(
        f"The node {host} of the Ray cluster has no module '{missing[1]}'. Install its package there, in the version "
        "of this machine, or add its folder to PYTHONPATH where `ray start` is given."
    )


def check_head(ray: ModuleType) -> None:
    """Raise SigjepaError when the head of the cluster is gone."""
    address = ray.get_runtime_context().gcs_address
    if not answers(address):
        with suppress(Exception):
            ray.shutdown()
        raise SigjepaError(
            f"The head of the Ray cluster at {address} is gone. Finished parts are kept: start the cluster again, and "
            "give the same command again."
        )


def answers(address: str) -> bool:
    """Return whether something listens at `host:port`."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), CONTACT_SECONDS):
            return True
    except (OSError, ValueError, OverflowError):
        return False


def alive_nodes(ray: ModuleType) -> list[dict[str, Any]]:
    """Return what Ray says of the nodes that are there."""
    return [node for node in ray.nodes() if node["Alive"]]


def in_a_line(error: Exception) -> str:
    """Return the last line of an error of Ray, which has the traces of several processes before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return without_credentials(lines[-1] if lines else type(error).__name__)
