import logging
from types import SimpleNamespace

import pytest

from sigjepa.errors import SigjepaError
from sigjepa.training.loggers import logger_session, wandb_id, wandb_logger, warn_of_wandb_errors


def test_a_run_directory_keeps_its_id_wherever_it_is_moved(tmp_path):
    first = wandb_id(tmp_path / "a")
    assert wandb_id(tmp_path / "a") == first
    assert wandb_id(tmp_path / "b") != first
    (tmp_path / "a").rename(tmp_path / "moved")
    assert wandb_id(tmp_path / "moved") == first
    assert wandb_id(tmp_path / "a") != first


@pytest.mark.parametrize("content", ["", "a/b", "two words", "x" * 65, "ä"])
def test_a_damaged_id_is_named(tmp_path, content):
    (tmp_path / "wandb_id").write_text(content)
    with pytest.raises(SigjepaError, match="wandb_id"):
        wandb_id(tmp_path)


@pytest.mark.parametrize(("key", "mode"), [(None, "offline"), ("0" * 40, "online")])
def test_the_mode_follows_the_login(tmp_path, monkeypatch, key, mode):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    logger = wandb_logger("project", "name", "group", str(tmp_path))
    assert logger._wandb_init["mode"] == mode
    assert logger._wandb_init["resume"] == "allow"


def test_the_run_has_the_id_of_its_directory(tmp_path):
    for _ in range(2):  # as a resumed run does
        logger = wandb_logger("project", "name", "group", str(tmp_path), mode="disabled")
        assert logger.experiment is not None
        assert logger._wandb_init["id"] == (tmp_path / "wandb_id").read_text().strip()
        logger.finish(failed=False)


def test_an_unknown_mode_is_named(tmp_path):
    with pytest.raises(SigjepaError, match="logger.wandb.mode=of.*offline"):
        wandb_logger("project", "name", "group", str(tmp_path), mode="of")


def test_names_and_groups_fit_the_limits_of_wandb(tmp_path):
    logger = wandb_logger("project", "n" * 200, "g" * 200, str(tmp_path), tags={"experiment": "e" * 200})
    assert len(logger._wandb_init["name"]) == len(logger._wandb_init["group"]) == 128
    assert [len(tag) for tag in logger._wandb_init["tags"]] == [64]


def test_a_failure_of_wandb_is_a_warning(caplog):
    with caplog.at_level(logging.WARNING), warn_of_wandb_errors("log the tables"):
        raise ConnectionError("no route")
    assert "W&B could not log the tables, and the run goes on without it: no route" in caplog.text


def test_ctrl_c_is_no_failure_of_wandb():
    with pytest.raises(KeyboardInterrupt), warn_of_wandb_errors("finish the run"):
        raise KeyboardInterrupt


def test_the_error_of_a_run_is_not_hidden_by_its_logger(tmp_path):
    logger = wandb_logger("project", "name", "group", str(tmp_path), mode="disabled")
    with pytest.raises(SigjepaError, match="diverged"), logger_session([logger]):
        raise SigjepaError("diverged")


@pytest.mark.parametrize("failed", [False, True])
def test_every_logger_is_told_how_the_run_ended(failed):
    told = []
    loggers = [SimpleNamespace(finalize=told.append), SimpleNamespace(finalize=told.append)]
    try:
        with logger_session(loggers):
            if failed:
                raise SigjepaError("stop")
    except SigjepaError:
        pass
    assert told == ["failed" if failed else "success"] * 2
