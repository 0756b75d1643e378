"""Parts built by Ray: on this machine, and on clusters of two nodes that are processes of this machine."""

import importlib.util
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from embedding_stages import CountsLoads
from stages import Fragile, Late, NeedsAKey, Squares
from test_store import built, contents

import sigjepa
from sigjepa.errors import SigjepaError
from sigjepa.store.executors import ray_cluster
from sigjepa.store.executors.ray_cluster import Ray
from sigjepa.store.store import Store

if importlib.util.find_spec("ray") is None:
    pytest.skip("needs ray", allow_module_level=True)

HERE = Path(__file__).parent
PYTHONPATH = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
STORE_BYTES = 80_000_000
"""The least that Ray gives an object store."""


def start_cluster(nodes):
    """A head without cores, and nodes with one each, whose environment is given."""
    from ray.cluster_utils import Cluster

    common = {"object_store_memory": STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **common})
    for environment in nodes:
        cluster.add_node(num_cpus=1, env_vars=environment, **common)
    return cluster


@pytest.fixture(scope="module")
def ray_environment():
    """What the processes of a cluster are started with: they know the stages of these tests, and report nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", PYTHONPATH)
        patch.delenv("RAY_ADDRESS", raising=False)
        yield


@pytest.fixture(scope="module")
def cluster(ray_environment):
    """A cluster that no test breaks, `b` its slower node."""
    cluster = start_cluster([{"NODE": "a"}, {"NODE": "b", "SLOW": "0.7"}])
    yield cluster
    import ray

    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def executor(cluster):
    return Ray(cluster.address, patience=10)


DRIVER = """
import sys
from pathlib import Path
from stages import Fragile
from sigjepa.errors import SigjepaError
from sigjepa.store.executors.ray_cluster import Ray
from sigjepa.store.store import Store
address, data, log, numbers, seconds = sys.argv[1:]
try:
    stage = Fragile(int(numbers), seconds=float(seconds), log=log)
    print(Store(Path(data), Ray(address, patience=10)).get(stage))
except SigjepaError as error:
    sys.exit(f"sigjepa: {error}")
"""


def start_driver(address, tmp_path, numbers=12, seconds=0.0):
    """A command of its own that builds Squares into `data`, and logs what is built into `log`."""
    words = [address, tmp_path / "data", tmp_path / "log", numbers, seconds]
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        cwd=tmp_path,
    )


def parts_of(log):
    return Counter(line for line in built(log) if line.startswith("part"))


def await_first_part(tmp_path):
    end = time.monotonic() + 120
    while not list(tmp_path.glob("data/squares/*/parts/*.json")):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_cluster_of_this_machine_writes_the_same_bytes(ray_environment, tmp_path):
    import ray

    stage = Squares(6, log=str(tmp_path / "log"))
    try:
        store, here = Store(tmp_path / "data", Ray(workers=1)), Store(tmp_path / "here")
        assert store.get(stage) == here.get(Squares(6))
    finally:
        ray.shutdown()
    assert contents(store.folder(stage)) == contents(here.folder(stage))
    assert built(tmp_path / "log") == [part.name for part in stage.parts()]


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def test_no_cluster_is_one_sentence_at_the_command_within_seconds(run_python, small_corpus, tmp_path):
    address = f"127.0.0.1:{free_port()}"
    words = [*small_corpus, "executor=ray", f"executor.address={address}", f"paths.data_dir={tmp_path / 'data'}"]
    done = run_python(["-m", "sigjepa.prepare", *words], tmp_path, dict(os.environ))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"no Ray cluster at executor.address={address}" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("said", ["Version mismatch: The cluster was started with: Ray: 1.0", "Can't find a node"])
def test_a_cluster_that_refuses_is_one_sentence(monkeypatch, said):
    def refuse(*_, **__):
        raise RuntimeError(f"{said}\n    and more")

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", refuse)
    with pytest.raises(SigjepaError, match=f"auto.*{said}") as raised:
        Ray("auto")._connect()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "bad", [{"workers": "abc"}, {"workers": 0}, {"cpus_per_worker": -1}, {"gpus_per_worker": -1}, {"patience": -1}]
)
def test_what_can_not_be_is_refused(bad):
    with pytest.raises(SigjepaError, match=f"executor.{next(iter(bad))}"):
        Ray(**bad)


def test_only_what_runs_a_model_is_given_a_gpu():
    nodes = [{"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}}, {"Alive": True, "Resources": {"CPU": 8.0}}]
    fake = SimpleNamespace(nodes=lambda: nodes)
    executor = Ray(cpus_per_worker=2, gpus_per_worker=0.5)
    assert executor._slots(fake, 0) == 8
    assert executor._slots(fake, 0.5) == 4
    with pytest.raises(SigjepaError, match="gpus_per_worker=4"):
        executor._slots(fake, 4)


def test_a_module_that_a_node_lacks_is_named():
    error = ray_cluster.refusal(RuntimeError("trace\nModuleNotFoundError: No module named 'mine.sources'"), "10.0.0.2")
    assert "10.0.0.2" in str(error)
    assert "'mine.sources'" in str(error)


@pytest.mark.slow
def test_two_nodes_write_the_same_bytes_and_the_slow_one_less(executor, tmp_path):
    stage = Fragile(40, log=str(tmp_path / "log"))
    store, here = Store(tmp_path / "data", executor), Store(tmp_path / "here")
    assert store.get(stage) == here.get(Fragile(40))
    assert contents(store.folder(stage)) == contents(here.folder(stage))
    nodes = Counter(line for line in built(tmp_path / "log") if line.startswith("on-"))
    assert nodes["on-a"] > nodes["on-b"] > 0


@pytest.mark.slow
def test_an_actor_that_is_killed_twice_writes_the_same_bytes(executor, tmp_path):
    (tmp_path / "marks").mkdir()
    store, here = Store(tmp_path / "data", executor), Store(tmp_path / "here")
    stage = Fragile(8, log=str(tmp_path / "log"), marks=str(tmp_path / "marks"), breaks_in="part-004", deaths=2)
    assert store.get(stage) == here.get(Fragile(8))
    assert len(list((tmp_path / "marks").iterdir())) == 2
    assert contents(store.folder(stage)) == contents(here.folder(stage))
    assert parts_of(tmp_path / "log") == Counter(part.name for part in stage.parts())


@pytest.mark.slow
@pytest.mark.parametrize("broken", [{"raises": 99}, {"deaths": 99}])
def test_a_part_that_fails_each_time_is_named_with_the_others_done(executor, tmp_path, broken):
    (tmp_path / "marks").mkdir()
    store = Store(tmp_path / "data", executor)
    stage = Fragile(8, marks=str(tmp_path / "marks"), breaks_in="part-002", **broken)
    said = "ValueError: a bad day" if "raises" in broken else "its worker died"
    with pytest.raises(SigjepaError, match=f"part-002.*{said}"):
        store.get(stage)
    assert len(list((tmp_path / "marks").iterdir())) == 3
    assert [part.name for part in store.missing(stage)] == ["part-002"]


@pytest.mark.slow
def test_the_teacher_is_loaded_once_an_actor(executor, small_corpus, tmp_path):
    """A real chain, whose shards are of one function each: far more parts than actors."""
    from sigjepa.pipeline import pipeline_of
    from sigjepa.runtime.compose import compose

    words = [*small_corpus, f"paths.data_dir={tmp_path / 'here'}"]
    pipeline = pipeline_of(compose([*words, "paths.run_dir=none", "logger=none"]))
    corpus = pipeline.store.get(pipeline.corpus)
    stage = CountsLoads(corpus, pipeline.teacher, functions_per_shard=1, log=str(tmp_path / "loads"))
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there", executor)
    assert here.get(stage).reference == there.get(stage).reference
    loads = built(tmp_path / "loads")
    assert len(loads) == len(corpus) + len(corpus)
    assert len(set(loads)) <= 3  # this process and two actors


@pytest.mark.slow
def test_a_late_file_is_waited_for_and_then_named(executor, cluster, tmp_path):
    assert Store(tmp_path / "late", executor).get(Late(4, hidden=1.5)) == [0, 1, 4, 9]
    impatient = Ray(cluster.address, patience=1)
    with pytest.raises(SigjepaError, match=r"part-00\d\.txt .*executor\.patience"):
        Store(tmp_path / "never", impatient).get(Late(4, hidden=12))


@pytest.mark.slow
def test_a_key_that_a_worker_lacks_is_named_and_never_told(executor, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SQUARES_API_KEY", "sk-thisisasecretofmine1")
    with pytest.raises(SigjepaError, match="401.*SQUARES_API_KEY") as raised:
        Store(tmp_path / "data", executor).get(NeedsAKey(4))
    assert "thisisasecret" not in str(raised.value) + caplog.text
    logs = Path(tempfile.gettempdir(), "ray", "session_latest", "logs")  # of the cluster's machine, which is this one
    assert logs.is_dir()
    kept = [path for path in [*tmp_path.rglob("*"), *logs.rglob("*")] if path.is_file()]
    assert not [path for path in kept if b"thisisasecret" in path.read_bytes()]


@pytest.mark.slow
def test_a_folder_that_is_not_shared_is_refused_before_work(cluster, tmp_path):
    """By the number of an open folder: a path that leads there in this process, and in no other."""
    (tmp_path / "mine").mkdir()
    handle = os.open(tmp_path / "mine", os.O_RDONLY)
    free = os.dup2(handle, 900)
    try:
        with pytest.raises(SigjepaError, match=r"fd/900.*shared"):
            Store(Path(f"/proc/self/fd/{free}/data"), Ray(cluster.address, patience=1)).get(Squares())
    finally:
        os.close(free)
        os.close(handle)
    assert not list(tmp_path.rglob("*.txt"))


@pytest.mark.slow
def test_a_module_that_is_missing_on_a_node_is_refused_before_work(executor, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("from stages import Squares\nclass Mine(Squares): kind = 'mine'\n")
    monkeypatch.syspath_prepend(tmp_path)
    from only_here import Mine

    with pytest.raises(SigjepaError, match=r"node .*'only_here'"):
        Store(tmp_path / "data", executor).get(Mine())
    assert not list((tmp_path / "data").rglob("*.txt"))


@pytest.mark.slow
def test_an_object_store_that_is_too_small_is_refused_before_work(executor, tmp_path):
    with pytest.raises(SigjepaError, match=r"76 MiB.*object-store-memory"):
        Store(tmp_path / "data", executor).get(Fragile(ballast=bytes(STORE_BYTES + 1)))


@pytest.mark.slow
def test_two_commands_at_once_build_each_part_once(cluster, tmp_path):
    drivers = [start_driver(cluster.address, tmp_path, seconds=0.5) for _ in range(2)]
    printed = [driver.communicate(timeout=300) for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], printed
    assert len({out for out, _ in printed}) == 1
    assert parts_of(tmp_path / "log") == Counter(part.name for part in Squares(12).parts())


@pytest.mark.slow
def test_a_node_with_other_code_is_refused_before_work(ray_environment, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(Path(sigjepa.__file__).parent, copy / "sigjepa", ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "sigjepa" / "errors.py").open("a") as stream:
        stream.write("# a later commit\n")
    cluster = start_cluster([{}, {"PYTHONPATH": os.pathsep.join([str(copy), str(HERE)])}])
    try:
        driver = start_driver(cluster.address, tmp_path)
        error = driver.communicate(timeout=300)[1]
    finally:
        cluster.shutdown()
    assert driver.returncode == 1
    assert "the files of sigjepa" in error
    assert not (tmp_path / "log").exists()


@pytest.mark.slow
def test_a_node_that_dies_loses_no_part_and_a_head_that_dies_none_that_is_finished(ray_environment, tmp_path):
    cluster = start_cluster([{}, {}])
    try:
        driver = start_driver(cluster.address, tmp_path, seconds=2.0)
        await_first_part(tmp_path)
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        out, error = driver.communicate(timeout=300)
        assert driver.returncode == 0, error
        assert f"{[number * number for number in range(12)]}\n" in out  # where Ray prints the log of a dead node, too
        # of the dead node: logged, perhaps, and not recorded
        assert set(parts_of(tmp_path / "log")) == {part.name for part in Squares(12).parts()}

        (tmp_path / "again").mkdir()
        driver = start_driver(cluster.address, tmp_path / "again", seconds=8.0)
        await_first_part(tmp_path / "again")
        cluster.remove_node(cluster.head_node, allow_graceful=False)
        error = driver.communicate(timeout=300)[1]
        assert driver.returncode == 1
        assert "sigjepa: The head of the Ray cluster" in error
        assert "Traceback" not in error
    finally:
        cluster.shutdown()
    kept = len(list((tmp_path / "again").glob("data/squares/*/parts/*.json")))
    store, stage = Store(tmp_path / "again" / "data"), Fragile(12, log=str(tmp_path / "again" / "log"))
    assert 0 < kept < 6
    assert len(store.missing(stage)) == 6 - kept
    before = sum(parts_of(tmp_path / "again" / "log").values())
    assert store.get(stage) == [number * number for number in range(12)]
    assert sum(parts_of(tmp_path / "again" / "log").values()) - before == 6 - kept


def test_a_head_that_is_gone_is_one_sentence(monkeypatch):
    closed = []
    address = f"127.0.0.1:{free_port()}"
    fake = SimpleNamespace(
        get_runtime_context=lambda: SimpleNamespace(gcs_address=address), shutdown=lambda: closed.append(True)
    )
    with pytest.raises(SigjepaError, match=f"head .*{address} is gone.*same command"):
        ray_cluster.check_head(fake)
    assert closed
    with socket.create_server(("127.0.0.1", 0)) as server:
        fake.get_runtime_context = lambda: SimpleNamespace(gcs_address=f"127.0.0.1:{server.getsockname()[1]}")
        ray_cluster.check_head(fake)
