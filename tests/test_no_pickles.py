"""No pickle is ever opened: not by a call in the source, and not where a file that should hold numbers is one."""

import ast
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import sigjepa
from sigjepa.errors import SigjepaError

PACKAGE = Path(sigjepa.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "code"}
FORBIDDEN_MODULES |= {"imp", "runpy", "importlib.machinery", "codeop", "xmlrpc"}
ALLOWED_IN = {
    "__init__.py": ["importlib.import_module"],  # of the modules that the stub beside it names
    "runtime/imports.py": ["importlib.import_module"],  # of the libraries that commands name
    "__main__.py": ["import runpy"],  # of the commands that it lists
    "runtime/defaults_lists.py": ["yaml.load"],  # by libyaml's safe loader
    "data/loader.py": ["import pickle", "pickle.loads"],  # of batches that come through a pipe from its own worker
}
ALLOWED_NAMES = {("pickle", "UnpicklingError")}  # what torch raises
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "execfile", "breakpoint"}
FORBIDDEN_ATTRIBUTES = {
    *("yaml.load", "yaml.full_load", "yaml.unsafe_load", "importlib.import_module", "os.system", "os.popen"),
    *("pandas.read_pickle", "pd.read_pickle", "pickle.load", "pickle.loads", "torch.jit.load", "torch.hub.load"),
    *("zipfile.ZipFile.extractall", "shutil.unpack_archive", "torch.package", "ast.literal_eval", "builtins.eval"),
}
FORBIDDEN_METHODS = {"extractall", "load_from_checkpoint", "read_pickle", "unpickle"}
REQUIRED = {"torch.load": ("weights_only", True), "from_pretrained": ("trust_remote_code", False)}
OWN = {"Student.from_pretrained"}  # of safetensors and JSON; takes no code
REFUSED = {("allow_pickle", True), ("weights_only", False), ("trust_remote_code", True), ("shell", True)}


def dotted(node):
    """`a.b.c` of an expression, or its last name after whatever else."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def offences(source):
    """What a module must not do, each with its line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, f"import {name.name}") for name in node.names if forbidden(name.name)]
        elif isinstance(node, ast.ImportFrom) and forbidden(node.module or ""):
            names = [name.name for name in node.names if (node.module, name.name) not in ALLOWED_NAMES]
            found += [(node.lineno, f"from {node.module} import {name}") for name in names]
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            given = {word.arg: getattr(word.value, "value", word.value) for word in node.keywords}
            if name in FORBIDDEN_CALLS | FORBIDDEN_ATTRIBUTES or name.rpartition(".")[2] in FORBIDDEN_METHODS:
                found.append((node.lineno, name))
            found += [(node.lineno, f"{name}({word}={value})") for word, value in given.items() if no(word, value)]
            for wanted, (word, value) in REQUIRED.items():
                if name not in OWN and (name == wanted or name.endswith(f".{wanted}")) and given.get(word) is not value:
                    found.append((node.lineno, f"{name} without {word}={value}"))
    return found


def forbidden(module):
    return module in FORBIDDEN_MODULES or module.partition(".")[0] in FORBIDDEN_MODULES


def no(word, value):
    """Whether a keyword is a refused one, or one of theirs that is not a plain constant."""
    return any(word == name and (value is bad or isinstance(value, ast.AST)) for name, bad in REFUSED)


def test_no_module_opens_a_pickle_or_runs_text():
    found = {path.relative_to(PACKAGE).as_posix(): offences(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert len(found) > 100
    refused = {name: [what for _, what in each] for name, each in found.items() if each}
    assert refused == ALLOWED_IN


@pytest.mark.parametrize(
    "line",
    [
        *("import pickle", "import os, dill as d", "from marshal import loads", "from joblib import load"),
        *("eval('1')", "exec(x)", "compile(a, b, 'exec')", "__import__('os')", "yaml.load(x)", "os.system('ls')"),
        *("np.load(p, allow_pickle=True)", "np.load(p, allow_pickle=flag)", "torch.load(p)"),
        *("torch.load(p, weights_only=False)", "trainer.fit(m, weights_only=False)", "archive.extractall(p)"),
        *("AutoModel.from_pretrained(p)", "AutoModel.from_pretrained(p, trust_remote_code=True)"),
        *("subprocess.run(c, shell=True)", "zipfile.ZipFile(p).extractall()", "Module.load_from_checkpoint(p)"),
    ],
)
def test_an_offence_is_found(line):
    assert offences(line)


class Evil:
    """Makes a marker when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.fixture
def evil(tmp_path):
    """An object that makes the marker when unpickled; afterwards there is none."""
    yield Evil(tmp_path / "marker")
    assert not (tmp_path / "marker").exists()


def test_the_trap_works(tmp_path):
    pickle.loads(pickle.dumps(Evil(tmp_path / "marker")))
    assert (tmp_path / "marker").exists()


def npz(path, evil, kind):
    """An archive of arrays whose members are pickles, in one of the ways that numpy knows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    members = (
        "places",
        "scores",
        "names",
        "values",
        "pairs",
        "views",
        "terms",
        "products",
        "ids",
        "optimistic",
        "pessimistic",
        "pooled",
        "rank10",
    )
    names = [f"{split}_{name}" for split in ("val", "test") for name in members]
    if kind == "object arrays":
        np.savez(path, **{name: np.array([evil], dtype=object) for name in names})
    elif kind == "a pickle":
        path.write_bytes(pickle.dumps(evil))
    elif kind == "an object array":
        stream = io.BytesIO()
        np.save(stream, np.array([evil], dtype=object))
        path.write_bytes(stream.getvalue())
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(f"{name}.npy", pickle.dumps(evil))


@pytest.mark.parametrize("kind", ["object arrays", "a pickle", "an object array", "pickles as members"])
@pytest.mark.parametrize(
    ("file", "read"),
    [
        ("ranks.npz", lambda run: run.ranks("test")),
        ("predictions.npz", lambda run: run.predictions("test")),
        ("queries.npz", lambda run: run.queries("test")),
        ("explained.npz", lambda run: run.first_bodies("test")),
        ("baselines/bm25.npz", lambda run: run.baseline_queries("bm25", "val")),
    ],
)
def test_arrays_that_are_pickles_are_refused(tmp_path, evil, file, read, kind):
    from sigjepa.evaluation.metrics import Metric
    from sigjepa.reporting.runs import read_run

    npz(tmp_path / "run" / file, evil, kind)
    (tmp_path / "run" / "summary.json").write_text(json.dumps({"status": "finished"}))
    metric = Metric("Rank@10", per_query=True).description()
    metrics = {"monitor": "val/rank10", "metrics": {"rank10": metric}}
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(SigjepaError, match=Path(file).name):
        read(read_run(tmp_path / "run"))


def save_evil(path, evil, kind):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"state_dict": evil, "hyper_parameters": {"name": evil}, "epoch": 1, "callbacks": {}}
    if kind == "torch":
        torch.save(content, path)
    elif kind == "torch before 1.6":
        torch.save(content, path, _use_new_zipfile_serialization=False)
    else:
        path.write_bytes(pickle.dumps(content))


KINDS = pytest.mark.parametrize("kind", ["torch", "torch before 1.6", "pickle"])


@KINDS
def test_a_best_checkpoint_that_is_a_pickle_is_refused_by_lightning_too(tmp_path, evil, kind):
    """Through the trainer, as all do: it is told to load everything, and must not."""
    import lightning

    from sigjepa.training.checkpoint_io import AtomicCheckpointIO

    class Module(lightning.LightningModule):
        def test_step(self, batch, batch_index):
            raise AssertionError("it was loaded")

    path = tmp_path / "checkpoints" / "best.ckpt"
    save_evil(path, evil, kind)
    trainer = lightning.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, plugins=[AtomicCheckpointIO()], barebones=False
    )
    loader = torch.utils.data.DataLoader(torch.zeros(2, 1))
    with pytest.raises(SigjepaError, match=r"best\.ckpt"):
        trainer.test(Module(), loader, ckpt_path=path, weights_only=False, verbose=False)


@KINDS
def test_a_checkpoint_that_is_a_pickle_has_its_lineage_told_without_it(tmp_path, evil, kind):
    from sigjepa.training.run_lineage import checkpoint

    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    save_evil(path, evil, kind)
    states = {check.what: check.state for check in checkpoint(path, None).checks}
    assert states["weights and config"] == "changed"


@KINDS
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_weights_of_a_teacher_that_are_a_pickle_are_refused(tmp_path, evil, kind):
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import BertConfig, PreTrainedTokenizerFast

    from sigjepa.teacher.backbone import Network
    from sigjepa.teacher.pretrained import Checkpoint

    BertConfig(vocab_size=8, hidden_size=4, num_hidden_layers=1, num_attention_heads=1).save_pretrained(tmp_path)
    tokenizer = Tokenizer(WordLevel({"<unk>": 0}, unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>").save_pretrained(tmp_path)
    save_evil(tmp_path / "pytorch_model.bin", evil, kind)
    with pytest.raises(SigjepaError, match=r"model\.safetensors"):
        Network(Checkpoint(str(tmp_path)), torch.float32, None, "cpu")


def test_code_beside_the_weights_of_a_teacher_is_not_imported(tmp_path):
    from sigjepa.teacher.backbone import state_size

    (tmp_path / "modeling.py").write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'marker')!r}).touch()\n")
    config = {"model_type": "trap", "auto_map": {name: f"modeling.{name}" for name in ("AutoConfig", "AutoModel")}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SigjepaError, match=str(tmp_path)):
        state_size(tmp_path)
    assert not (tmp_path / "marker").exists()
