"""What Hydra is spared when it starts a command."""

import sys

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl

from sigjepa.runtime import job_overrides
from sigjepa.runtime.command import hydra_job


@pytest.mark.parametrize(("words", "times"), [(["runs=here"], 1), (["runs=here", "hydra.mode=RUN"], 2)])
def test_a_command_is_composed_once_unless_a_word_sets_the_mode(monkeypatch, tmp_path, words, times):
    compose, composed, jobs = ConfigLoaderImpl.load_configuration, [], []

    def count(self, *arguments, **options):
        composed.append(arguments)
        return compose(self, *arguments, **options)

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", count)
    monkeypatch.setattr(sys, "argv", ["report", *words])
    monkeypatch.chdir(tmp_path)
    hydra_job("report", lambda config: jobs.append(config.runs))
    assert (jobs, len(composed)) == (["here"], times)


def test_a_file_of_a_checkout_may_set_the_mode(monkeypatch, tmp_path):
    assert not job_overrides._a_file_sets_mode()
    job_overrides._a_file_sets_mode.cache_clear()
    monkeypatch.setattr(job_overrides, "config_directory", lambda: tmp_path)
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nhydra: {mode: MULTIRUN}\n")
    assert job_overrides._a_file_sets_mode()
    job_overrides._a_file_sets_mode.cache_clear()
