"""What makes processes of the tests quicker and changes no result of theirs; test_quicker.py compares."""

import gc
import io
import os
import pickle

import yaml
from hydra._internal import defaults_list
from omegaconf import OmegaConf

_load, _interpolation_map = OmegaConf.load, defaults_list._create_interpolation_map
_loaded: dict[str, bytes] = {}


def load_once(file_):
    """Do what `OmegaConf.load` does; a text that was loaded before is not parsed again."""
    if not hasattr(file_, "read"):
        return _load(file_)
    text = file_.read()
    if text not in _loaded:
        _loaded[text] = pickle.dumps(_load(io.StringIO(text)))
    return pickle.loads(_loaded[text])


def interpolation_map_where_needed(overrides, defaults, self_added):
    """Do what Hydra does for the defaults list of each file, where an entry of it has an interpolation."""
    if any(default.is_interpolation() for default in defaults):
        return _interpolation_map(overrides, defaults, self_added)
    return None


def be_quicker() -> None:
    """Take effect for the rest of this process: a composition takes half of its time."""
    os.fsync = os.fstat  # no test cuts the power: what is written need not reach the disk, which takes milliseconds
    gc.set_threshold(10_000)  # garbage is looked for after so many objects, not 700: a config has thousands
    yaml.SafeLoader = yaml.CSafeLoader  # of which OmegaConf makes its own
    OmegaConf.load = staticmethod(load_once)
    defaults_list._create_interpolation_map = interpolation_map_where_needed
