"""Configs are composed by the tests as by Hydra itself."""

import hydra
import pytest
import quicker
from hydra._internal import defaults_list
from omegaconf import OmegaConf

from sigjepa.runtime.config_files import config_directory

INTERPOLATED = "defaults: [{data: tiny}, {teacher: minilm}, {model: '${data}_${teacher}'}, _self_]\n"


@pytest.fixture
def folder(tmp_path):
    """A config whose defaults list has an interpolation."""
    files = {"root.yaml": INTERPOLATED, "data/tiny.yaml": "a: 1", "teacher/minilm.yaml": "b: 2"}
    for name, text in (files | {"model/tiny_minilm.yaml": "c: ${data.a}"}).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def compose(folder, name, *words):
    with hydra.initialize_config_dir(str(folder), version_base="1.3"):
        return OmegaConf.to_container(hydra.compose(name, list(words), return_hydra_config=True))


def test_a_composition_is_that_of_hydra(folder, monkeypatch):
    def composed():
        words = (
            "experiment=hardneg_curriculum",
            "data=tiny",
            "schedule@loss.infonce.schedule=cosine",
            "model.dropout=0",
        )
        return [compose(config_directory(), "train", *words), compose(folder, "root", "+x=1")]

    twice = [composed(), composed()]
    monkeypatch.setattr(OmegaConf, "load", quicker._load)
    monkeypatch.setattr(defaults_list, "_create_interpolation_map", quicker._interpolation_map)
    assert twice == [composed()] * 2
    assert twice[0][1]["model"] == {"c": "${data.a}"}


def test_a_file_that_changed_is_read_again(tmp_path):
    path = tmp_path / "a.yaml"
    for value in (1, 2, 1):
        path.write_text(f"a: {value}")
        with path.open() as stream:
            config = OmegaConf.load(stream)
        assert config == {"a": value}
        config.a = 3  # changes what was given, not what is kept
