"""`_target_` alone swaps a class: what both take stays, what only the old one took goes, what is given is checked."""

import pytest

from sigjepa.errors import SigjepaError
from sigjepa.runtime.compose import compose
from sigjepa.runtime.instantiate import instantiate, plain

SGD = "optimizer._target_=torch.optim.SGD"


def test_the_settings_that_both_classes_take_stay():
    optimizer = plain(compose(["optimizer=muon", SGD, "optimizer.lr=0.1"]))["optimizer"]
    assert optimizer == {
        "_target_": "torch.optim.SGD",
        "_partial_": True,
        "lr": 0.1,
        "weight_decay": 0.05,
        "momentum": 0.95,
    }


@pytest.mark.parametrize(
    ("override", "group"),
    [
        ("scheduler._target_=torch.optim.lr_scheduler.OneCycleLR", "scheduler"),
        ("scheduler._target_=torch.optim.lr_scheduler.ReduceLROnPlateau", "scheduler"),
        ("optimizer._target_=torch.optim.Adagrad", "optimizer"),
        ("loss.infonce._target_=torch.nn.CosineSimilarity", "loss"),
        ("corpus.source._target_=sigjepa.corpus.sources.installed.InstalledPackages", "corpus"),
        ("model._target_=torch.nn.ReLU", "model"),
    ],
)
def test_one_override_is_enough(override, group):
    assert instantiate(compose([override])[group]) is not None


def test_a_key_that_is_given_and_not_taken_is_refused():
    config = compose([SGD, "+optimizer.momentun=0.9"])
    with pytest.raises(SigjepaError, match=r"momentun.*momentum"):
        instantiate(config.optimizer)
    config = compose(["model._target_=torch.nn.ReLU", "model.hidden_dim=8"])
    with pytest.raises(SigjepaError, match="hidden_dim"):
        instantiate(config.model)


def test_without_such_an_override_nothing_is_dropped():
    config = compose(["+optimizer.momentum=0.9"])
    with pytest.raises(SigjepaError, match="momentum"):
        instantiate(config.optimizer)


def test_a_target_that_is_not_allowed_is_refused_before_it_is_imported():
    with pytest.raises(SigjepaError, match="antigravity"):
        compose(["model._target_=antigravity.fly"])


def test_other_nodes_stay_as_they_are():
    changed, unchanged = (plain(compose([*words, "logger=none"], folder="run")) for words in ([SGD], []))
    del changed["optimizer"], unchanged["optimizer"]
    assert changed == unchanged


def test_files_are_looked_for_only_where_one_that_is_chosen_names_a_class(monkeypatch):
    """Which would be a second composition of every job: `sweep=flagship_search` is there, and not chosen."""
    monkeypatch.setattr("sigjepa.runtime.replaced_targets.composition_of", None)
    compose(["experiment=hardneg_coverage"])
    with pytest.raises(TypeError, match="not callable"):
        compose(["sweep=flagship_search"])


EXPERIMENT = """# @package _global_
name: mine
model: {_target_: torch.nn.Linear, in_features: 4}
optimizer: {_target_: torch.optim.SGD, momentum: 0.5}
"""


@pytest.fixture
def own_experiment(tmp_path):
    """A folder with an experiment `mine` that replaces two classes, and `more`, which builds on it."""
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(EXPERIMENT)
    more = "# @package _global_\ndefaults: [mine]\noptimizer: {nesterov: true}\nmodel: {out_features: 4, heads: 2}\n"
    (tmp_path / "experiment" / "more.yaml").write_text(more)
    return tmp_path


def test_a_file_may_replace_a_class(own_experiment):
    config = plain(compose(["experiment=mine", "+model.out_features=3"], config_dir=own_experiment))
    assert config["model"] == {"_target_": "torch.nn.Linear", "in_features": 4, "out_features": 3}
    assert config["optimizer"].keys() == {"_target_", "_partial_", "lr", "weight_decay", "momentum"}


def test_what_is_given_with_the_new_class_or_after_it_is_refused_where_that_does_not_take_it(own_experiment):
    config = compose(["experiment=more"], config_dir=own_experiment)
    assert config.optimizer.nesterov
    with pytest.raises(SigjepaError, match="heads"):
        instantiate(config.model)


@pytest.mark.parametrize(
    "words",
    [
        ["optimizer=muon", "optimizer.ns_steps=3", SGD],
        ["optimizer=muon", SGD, "optimizer.ns_steps=3"],
        ["+optimizer={_target_: torch.optim.SGD, ns_steps: 3}"],
        ["experiment=mine", "+optimizer.ns_steps=3"],
    ],
)
def test_what_is_typed_is_never_dropped(words, own_experiment):
    config = compose(words, config_dir=own_experiment)
    with pytest.raises(SigjepaError, match="ns_steps"):
        instantiate(config.optimizer)
