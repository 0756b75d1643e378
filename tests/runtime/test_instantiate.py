import re

import pytest
import torch
from omegaconf import OmegaConf

from sigjepa.errors import SigjepaError
from sigjepa.losses.infonce import InfoNCE
from sigjepa.negatives.index.ramp import Ramp
from sigjepa.runtime.config_files import config_directory
from sigjepa.runtime.instantiate import ALLOWED_PACKAGES, check_keys, instantiate, plain

INFONCE = {
    "_target_": "sigjepa.losses.infonce.InfoNCE",
    "temperature": 0.1,
    "schedule": {"_target_": "sigjepa.negatives.index.ramp.Ramp", "start_epoch": 3, "ramp_epochs": 2},
}


def test_nested_nodes_become_objects():
    loss = instantiate(OmegaConf.create(INFONCE))
    assert isinstance(loss, InfoNCE)
    assert loss.schedule == Ramp(start_epoch=3, ramp_epochs=2)


def test_interpolated_nodes_become_objects():
    config = OmegaConf.create({"loss": {"infonce": "${term}"}, "term": INFONCE})
    assert isinstance(instantiate(config.loss)["infonce"], InfoNCE)


def test_none_passes_through():
    assert instantiate(None) is None


def test_partial_targets_take_arguments_later():
    make = instantiate(OmegaConf.create({"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 0.5}))
    assert make([torch.nn.Parameter(torch.zeros(1))]).param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize("target", ["os.system", "builtins.eval", "subprocess.run", "functools.partial", "sigjepax.a"])
@pytest.mark.parametrize("depth", ["outer", "nested", "list"])
def test_targets_outside_the_allow_list_are_refused(target, depth):
    node = {"_target_": target}
    config = {"outer": node, "nested": {**INFONCE, "schedule": node}, "list": {"terms": [node]}}[depth]
    with pytest.raises(SigjepaError, match="allowed_targets"):
        instantiate(OmegaConf.create(config))


def test_files_of_a_package_need_its_name_on_the_command_line():
    node = {"_target_": "torch.nn.Softmax", "dim": "package://my_package/model"}
    with pytest.raises(SigjepaError, match=r"package://my_package/model.*allowed_targets=\[my_package\.\]"):
        instantiate(node)
    assert instantiate(node, ["my_package."]).dim == node["dim"]
    assert instantiate(node | {"dim": f"package://{ALLOWED_PACKAGES[0]}/model"})


def test_the_packages_that_are_allowed_are_those_of_our_configs():
    named = {
        found
        for path in config_directory().rglob("*.yaml")
        for found in re.findall(r"^\s*\w+: package://(\w+)", path.read_text(), re.MULTILINE)
    }
    assert named == set(ALLOWED_PACKAGES)


ALIASES = [
    *("torch.nn.modules.module.functools.partial", "torch.optim.lr_scheduler.types.FunctionType"),
    *("lightning.pytorch.callbacks.model_checkpoint.os.system", "lightning.pytorch.loggers.csv_logs.os.remove"),
    *("sigjepa.training.provenance.os.system", "sigjepa.corpus.sources.git.subprocess.run"),
    *("sigjepa.negatives.index.stage.write_index", "sigjepa.training.run_directory.write_arrays"),
    *("sigjepa.corpus.corpus.Corpus.open", "sigjepa.training.module.SigJepaModule.load_from_checkpoint"),
    *(
        "sigjepa.store.files.write_json",
        "sigjepa.runtime.instantiate.instantiate",
        "sigjepa.runtime.command.run_command",
    ),
    *("lightning.pytorch.cli.LightningCLI", "lightning.fabric.utilities.cloud_io._load", "torch.load"),
    *("hydra.utils.call", "hydra.utils.get_method", "importlib.import_module", "SIGJEPA.losses.infonce.InfoNCE"),
]


@pytest.mark.parametrize("target", ALIASES)
def test_what_a_module_holds_beside_its_components_is_refused(target):
    with pytest.raises(SigjepaError, match=re.escape(target)):
        instantiate(OmegaConf.create({"_target_": target}))


@pytest.mark.parametrize("key", ["_args_", "_partial_", "_recursive_"])
def test_hydra_keys_open_no_way(key, tmp_path):
    evil = {"_target_": "os.system", "_args_": [f"touch {tmp_path / 'marker'}"]}
    node = {
        "_args_": {"_target_": "torch.nn.Sequential", "_args_": [evil]},
        "_partial_": {**INFONCE, "schedule": {**evil, "_partial_": True}},
        "_recursive_": {**INFONCE, "_recursive_": False, "schedule": evil},
    }[key]
    with pytest.raises(SigjepaError, match="allowed_targets"):
        instantiate(OmegaConf.create(node))
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "${oc.env:SIGJEPA_EVIL}"},
        {"_target_": "${evil}", "evil": "os.system"},
        {**INFONCE, "schedule": "${oc.create:{_target_: os.system}}"},
        {**INFONCE, "schedule": r"\${oc.create:{_target_: os.system, command: ls}}"},
        {**INFONCE, "schedule": "${oc.decode:'{_target_: os.system}'}"},
        {"_target_": 3},
        {"_target_": ["os.system"]},
    ],
)
def test_interpolation_brings_no_target(node, monkeypatch):
    monkeypatch.setenv("SIGJEPA_EVIL", "os.system")
    with pytest.raises(SigjepaError, match=r"allowed_targets|interpolation"):
        instantiate(OmegaConf.create(node))


def test_own_packages_are_allowed_by_name():
    node = OmegaConf.create({"_target_": "collections.Counter"})
    assert instantiate(node, ["collections."]) == {}


def test_misspelt_key_names_the_nearest():
    with pytest.raises(SigjepaError, match="'temprature'.*'temperature'"):
        instantiate(OmegaConf.create({"_target_": INFONCE["_target_"], "temprature": 0.1}))


def test_target_that_does_not_exist():
    with pytest.raises(SigjepaError, match="sigjepa.losses.infonce.Nothing"):
        instantiate(OmegaConf.create({"_target_": "sigjepa.losses.infonce.Nothing"}))


def test_arguments_that_are_added_are_checked_like_keys():
    node = OmegaConf.create({"_target_": "torch.nn.Linear", "in_features": 2})
    assert instantiate(node, out_features=3).weight.shape == (3, 2)
    with pytest.raises(SigjepaError, match=r"torch.nn.ReLU.*teacher_dim"):
        instantiate(OmegaConf.create({"_target_": "torch.nn.ReLU"}), teacher_dim=3)
    with pytest.raises(SigjepaError, match=r"torch.nn.Linear.*out_features"):
        instantiate(node, bias=False)


BROKEN = {
    "raises.py": "raise RuntimeError('no license')",
    "misspelled.py": "def function(:",
    "needs.py": "import a_package_that_nobody_has",
    "works.py": "class Uniformity: ...",
}


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("a_package_that_nobody_has.Loss", "a_package_that_nobody_has.*PYTHONPATH"),
        ("broken_package.nowhere.Loss", "broken_package.*nowhere"),
        ("broken_package.works.Uniformty", "broken_package.works.*Uniformity"),
        ("broken_package.raises.Loss", "RuntimeError: no license.*broken_package"),
        ("broken_package.misspelled.Loss", "SyntaxError.*broken_package"),
        ("broken_package.needs.Loss", "a_package_that_nobody_has.*broken_package"),
    ],
)
def test_an_outside_package_that_does_not_import_is_named(target, named, tmp_path, monkeypatch):
    package = tmp_path / "broken_package"
    package.mkdir()
    for name, text in {"__init__.py": "", **BROKEN}.items():
        (package / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    allowed = ["broken_package.", "a_package_that_nobody_has."]
    with pytest.raises(SigjepaError, match=named):
        instantiate(OmegaConf.create({"_target_": target}), allowed)
    with pytest.raises(SigjepaError, match=named):  # before any work, whatever else the settings ask for
        check_keys(
            {"allowed_targets": allowed, "model": {"inner": [{"_target_": target}]}}, ["allowed_targets", "model"]
        )


def test_value_that_is_not_given_names_the_key():
    with pytest.raises(SigjepaError, match=r"corpus\.path="):
        plain(OmegaConf.create({"corpus": {"path": "???"}}))


def test_top_level_key_that_nothing_reads():
    with pytest.raises(SigjepaError, match="'trainner'.*'trainer'"):
        check_keys({"trainner": 1}, ["trainer", "seed"])
