import json

import pytest

from sigjepa.training.run_status import recorded_status, write_summary


def test_summary_is_strict_json(tmp_path):
    write_summary(tmp_path / "summary.json", {"temperature": float("nan"), "seed": 0})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"temperature": None, "seed": 0}


def test_status_is_running_and_then_failed_with_the_reason(tmp_path):
    path = tmp_path / "summary.json"
    facts = {"seed": 3}
    with pytest.raises(ValueError, match="boom"), recorded_status(path, facts):
        assert json.loads(path.read_text())["status"] == "running"
        facts["parameters"] = 7
        raise ValueError("boom")
    summary = json.loads(path.read_text())
    assert summary == {"seed": 3, "parameters": 7, "status": "failed", "error": "ValueError: boom"}


def test_the_error_in_a_summary_holds_no_credential(tmp_path, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "plain-words-4711")
    with pytest.raises(ValueError, match="4711"), recorded_status(tmp_path / "summary.json", {}):
        raise ValueError("plain-words-4711 was refused")
    assert json.loads((tmp_path / "summary.json").read_text())["error"] == "ValueError: <credential> was refused"
