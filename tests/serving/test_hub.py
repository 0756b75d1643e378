"""A student goes to the Hub and comes back, through huggingface_hub and over HTTP."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hub_server import COMMIT, hub_server
from serving_students import BODIES, SIGNATURES, build_student

from sigjepa.data.views import score
from sigjepa.errors import SigjepaError
from sigjepa.serving.student import Student

SCRIPT = f"""
import json, sys
import sigjepa
from sigjepa.data.views import score

def said(act):
    try:
        return act()
    except sigjepa.SigjepaError as error:
        return str(error)

student = sigjepa.Student.from_pretrained(sys.argv[1])
pushed = said(lambda: student.push_to_hub("me/student", private=True, token="hf_t"))
fetched = sigjepa.Student.from_pretrained("me/student")
scores = score(fetched.predict({SIGNATURES!r}), fetched.encode_bodies({BODIES!r})).tolist()
print(json.dumps([pushed, fetched.fingerprint, scores]), flush=True)
input()  # until the Hub is gone
pushed = said(lambda: student.push_to_hub("me/student", token="hf_t"))
print(json.dumps([pushed, said(lambda: sigjepa.Student.from_pretrained("me/other"))]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "student"
    student = build_student("sig_predictor")
    student.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def told(folder, tmp_path_factory):
    """The Hub, what a process with an empty cache told of pushing and fetching, and of the same once the Hub was gone.

    It is a cold start, since huggingface_hub reads the Hub's address when it is imported.
    """
    home = tmp_path_factory.mktemp("home")
    env = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    words = [sys.executable, "-c", SCRIPT, str(folder)]
    with hub_server() as hub:
        env |= {"HF_ENDPOINT": hub.address, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(words, cwd=home, env=env, text=True, **pipes)
        first = process.stdout.readline()
    out, err = process.communicate("\n", timeout=300)
    assert process.returncode == 0, err
    return hub, json.loads(first), json.loads(out)


def test_a_student_is_pushed_and_fetched(folder, told):
    hub, (pushed, fingerprint, scores), _ = told
    assert COMMIT in pushed, pushed
    assert hub.made["visibility"] == "private"
    assert hub.tokens == {"Bearer hf_t"}
    assert {"README.md", "config.json", "modules.json"} <= hub.files.keys()
    assert hub.files["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    student = Student.from_pretrained(folder)
    assert fingerprint == student.fingerprint
    expected = score(student.predict(SIGNATURES), student.encode_bodies(BODIES))
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_a_hub_that_cannot_be_reached_is_named_with_the_way_out(told):
    _, _, (pushed, fetched) = told
    assert re.search(r"me/student.*save_pretrained", pushed)
    assert re.search(r"me/other.*--local-dir", fetched)


def test_the_place_of_a_teacher_stays_here(tmp_path, monkeypatch):
    student = build_student("sig_predictor")
    (tmp_path / "my_teacher").mkdir()
    object.__setattr__(student.config, "teacher", {**student.config.teacher, "path": str(tmp_path / "my_teacher")})
    sent = {}

    def upload(folder: Path, *arguments: object) -> str:
        sent.update(json.loads((folder / "config.json").read_text()))
        return "sent"

    monkeypatch.setattr("sigjepa.serving.student.upload", upload)
    assert student.push_to_hub("me/student") == "sent"
    assert sent["teacher"]["path"] == "my_teacher"
    assert student.config.teacher["path"] != "my_teacher"


def test_a_name_that_is_no_folder_and_no_id_asks_no_hub():
    with pytest.raises(SigjepaError, match="/no/such/folder "):
        Student.from_pretrained("/no/such/folder")
