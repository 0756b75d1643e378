"""Fixtures that several rooms share."""

import gc
import multiprocessing
import os
import shutil
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest  # the process of xdist that runs no tests reads this file, too: what takes seconds is imported below
from command_server import command_server
from quicker import be_quicker

be_quicker()

# the first builds what many files share, and the next ones, long as well, need nothing of it
FIRST = ("test_report.py", "test_documents.py", "test_conf.py", "test_report_page.py", "test_sweeper.py")
LONG_ROOMS = {"end_to_end", "training", "store", "benchmarks", "serving"}


def pytest_collection_modifyitems(items):
    """Put files that take long first, so that no process of `make test` waits for another, nor at the end."""

    def place(item):
        name = item.path.name
        return FIRST.index(name) if name in FIRST else len(FIRST) + LONG_ROOMS.isdisjoint(item.path.parts)

    items.sort(key=place)


def pytest_collection_finish():
    """Leave what was imported, a million objects, out of every search for garbage."""
    gc.freeze()


@pytest.fixture(autouse=True)
def torch_flags():
    """Take back the flags that a `Trainer` of a test sets for its process: no test depends on those before it."""
    yield
    if (torch := sys.modules.get("torch")) is not None:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.deterministic = torch.backends.cudnn.benchmark = False


@pytest.fixture
def make_batch():
    """Random batches of any size; negatives are owned at random, a third of anchors own none."""
    import torch

    from sigjepa.data.batch import Batch, NegativeBatch

    def make(
        size: int = 6, dim: int = 8, negatives: int = 0, body_tokens: int = 0, seed: int = 0, first_id: int = 0
    ) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        lengths = torch.randint(1, 7, (size,), generator=generator)
        batch = Batch(
            ids=torch.arange(first_id, first_id + size),
            signature_states=torch.randn(size, 7, dim, generator=generator),
            signature_mask=torch.arange(7) < lengths[:, None],
            body_pooled=torch.randn(size, dim, generator=generator),
        )
        if negatives:
            scores = torch.randint(-1, 2, (size, negatives), generator=generator).to(torch.int8)
            scores[::3] = -1
            batch.negatives = NegativeBatch(
                ids=torch.arange(1000, 1000 + negatives),
                embeddings=torch.randn(negatives, dim, generator=generator),
                scores=scores,
            )
        if body_tokens:
            body_lengths = torch.randint(1, body_tokens + 1, (size,), generator=generator)
            batch.body_states = torch.randn(size, body_tokens, dim, generator=generator)
            batch.body_mask = torch.arange(body_tokens) < body_lengths[:, None]
        return batch

    return make


@pytest.fixture(scope="session")
def commands(shared_folder):
    """Processes of Python that start at once; see command_server.py."""
    with command_server(shared_folder) as server:
        yield server


@pytest.fixture(scope="session")
def run_python(commands):
    """Run Python words in a process of its own as `subprocess.run` would."""
    return commands.run


@pytest.fixture(scope="session")
def forkserver():
    """A start method of processes that know nothing of this one, and have the heavy libraries imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sigjepa.pipeline", "transformers", "lightning.pytorch", "torch._dynamo"])
    return context


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """A folder that the tests of one session share, those in other processes of pytest-xdist too."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def tiny_data_dir(shared_folder):
    """An artifact cache that the tests of one session share, so that `data=tiny` is embedded once."""
    folder = shared_folder / "data"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def tiny_config(tiny_data_dir):
    """The config of `data=tiny experiment=exp2_1 data.body_states=true` over the shared cache, all tiers mined."""
    import hydra

    from sigjepa.runtime.config_files import config_directory

    with hydra.initialize_config_dir(str(config_directory()), version_base="1.3"):
        return hydra.compose(
            "train",
            [
                *("data=tiny", "experiment=exp2_1", "data.body_states=true", "negatives.tiers=null"),
                *(f"paths.data_dir={tiny_data_dir}", "paths.run_dir=none", "logger=none"),
            ],
        )


@pytest.fixture(scope="session")
def tiny_pipeline(tiny_config):
    """How the data of `tiny_config` is come by."""
    from sigjepa.pipeline import pipeline_of

    return pipeline_of(tiny_config)


@pytest.fixture(scope="session")
def tiny_data(tiny_pipeline):
    """Real functions, the real teacher's states of them, and mined hard negatives."""
    return tiny_pipeline.get()


@pytest.fixture(scope="session")
def tiny_datamodule(tiny_config, tiny_data):
    """The DataModule that serves `tiny_data`."""
    from sigjepa.runtime.instantiate import instantiate

    return instantiate(tiny_config.data, data=tiny_data)


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory):
    """Words that make a corpus of three packages with 14 functions each, which is read and embedded in a second."""
    folder = tmp_path_factory.mktemp("sources")
    for name in "abc":
        (folder / name).mkdir()
        for number in range(14):
            keys = [f"{name}{number}_{line}" for line in range(3)]  # other strings, since other names are clones
            body = "\n".join(f"    {key} = x['{key}']" for key in keys)
            (folder / name / f"m{number}.py").write_text(f"def f{number}(x):\n{body}\n    return x\n")
    paths = ",".join(str(folder / name) for name in "abc")
    shares = "corpus.split_shares={train: 0.34, val: 0.33, test: 0.33}"
    return ["data=tiny", "corpus=folder", f"corpus.source.paths=[{paths}]", shares]


@pytest.fixture(scope="module")
def browser():
    """Chromium, without a network; tests that need it are skipped where it is not installed."""
    from playwright.sync_api import sync_playwright

    executable = shutil.which("chromium")
    if executable is None:
        if os.environ.get("SIGJEPA_REQUIRE_CHROMIUM") == "1":
            pytest.fail("SIGJEPA_REQUIRE_CHROMIUM=1, but there is no `chromium` on PATH")
        pytest.skip("no `chromium` on PATH: apt-get install chromium")
    switches = ("no-first-run", "background-networking", "component-update", "sync")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    arguments += [f"--disable-{switch}" for switch in switches[1:]]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield browser
        browser.close()
