"""A student is the same wherever its folder lies, and is refused where it is another than was written."""

import json
import shutil

import numpy as np
import pytest
import torch
from serving_students import BODIES, MODELS, SIGNATURES, build_student, minilm

from sigjepa.data.views import score
from sigjepa.errors import SigjepaError
from sigjepa.serving.student import Student
from sigjepa.serving.student_files import (
    CHECKSUMS_FILE,
    CONFIG_FILE,
    STATISTICS_FILE,
    WEIGHTS_FILE,
    read_student,
    write_student,
)
from sigjepa.store.files import file_digest
from sigjepa.teacher.load import load_teacher


@pytest.fixture(scope="module")
def teacher():
    return minilm()


@pytest.fixture(scope="module", params=MODELS)
def student(request):
    return build_student(request.param)


@pytest.fixture
def folder(student, tmp_path):
    student.save_pretrained(tmp_path / "student")
    return tmp_path / "student"


def scores(student):
    return score(student.predict(SIGNATURES), student.encode_bodies(BODIES))


def test_a_folder_that_was_moved_gives_the_same(student, teacher, folder, tmp_path):
    shutil.move(folder, tmp_path / "elsewhere")
    loaded = Student.from_pretrained(tmp_path / "elsewhere", teacher=teacher)
    assert loaded.fingerprint == student.fingerprint
    assert torch.equal(scores(loaded), scores(student))
    loaded.save_pretrained(tmp_path / "again")
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "elsewhere" / name).read_bytes()


def test_a_prediction_is_of_its_signature_alone(student):
    alone = score(student.predict(SIGNATURES[1:2]), student.encode_bodies(BODIES[:1]))
    torch.testing.assert_close(alone[0, 0], scores(student)[1, 0], rtol=1e-5, atol=1e-5)
    apart = score(student.predict(SIGNATURES, tokens_per_batch=1), student.encode_bodies(BODIES))
    torch.testing.assert_close(apart, scores(student), rtol=1e-5, atol=1e-5)
    assert (scores(student)[:, 1] == scores(student)[:, 3]).all()  # equal bodies


def test_nothing_has_no_rows(student):
    assert score(student.predict([]), student.encode_bodies(BODIES)).shape == (0, 4)
    assert score(student.predict(SIGNATURES), student.encode_bodies([])).shape == (3, 0)
    with pytest.raises(SigjepaError, match="Signature 1"):
        student.predict(["def f():", " "])


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        ("def f(x):", r"'def f\(x\):' is one .*list"),
        (["def f():", "def g\ud800():"], "1 has half a surrogate .* 5"),
        ([3], "0 is of type int"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(student, texts, named):
    for read in (student.predict, student.encode_bodies):
        with pytest.raises(SigjepaError, match=named):
            read(texts)


def test_a_changed_byte_is_refused(folder):
    for path in sorted(folder.glob("*.safetensors")):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(SigjepaError, match=path.name):
            Student.from_pretrained(folder)
        path.write_bytes(whole)
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(SigjepaError, match=WEIGHTS_FILE):
        Student.from_pretrained(folder)


def changed(folder, name, change):
    """Change a JSON file of a student, and its checksum with it."""
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))
    record = json.loads((folder / CHECKSUMS_FILE).read_text())
    record["files"][name] = file_digest(folder / name)
    (folder / CHECKSUMS_FILE).write_text(json.dumps(record))


def test_another_format_or_teacher_is_refused(student, teacher, folder):
    changed(folder, CONFIG_FILE, lambda content: content["teacher_identity"].update(layer=3, tokenizer="other"))
    with pytest.raises(SigjepaError, match="layer, tokenizer|tokenizer, layer"):
        Student.from_pretrained(folder, teacher=teacher)
    loaded = Student.from_pretrained(folder, teacher=teacher, check_teacher=False)
    assert loaded.fingerprint == student.fingerprint  # by the teacher that encodes
    assert torch.equal(scores(loaded), scores(student))
    other = load_teacher("minilm", ["teacher.device=cpu", "teacher.layer=0"])
    assert Student.from_pretrained(folder, teacher=other, check_teacher=False).fingerprint != student.fingerprint
    changed(folder, CONFIG_FILE, lambda content: content.update(note="a key of no student"))
    with pytest.raises(SigjepaError, match=CONFIG_FILE):
        Student.from_pretrained(folder)
    changed(folder, CONFIG_FILE, lambda content: content.update(format=99))
    with pytest.raises(SigjepaError, match="99"):
        Student.from_pretrained(folder)


def test_terms_that_are_read_in_another_way_are_refused(student, teacher, folder, monkeypatch):
    fingerprint, reads_terms = student.fingerprint, Student.reads_terms(student.model)
    monkeypatch.setattr("sigjepa.serving.student.LEXICON_FORMAT", 1)
    assert (student.fingerprint != fingerprint) == reads_terms  # so that an index is built anew
    content = json.loads((folder / CONFIG_FILE).read_text())
    assert ("lexicon_format" in content) == reads_terms
    for change in (lambda each: each.update(lexicon_format=1), lambda each: each.pop("lexicon_format")):
        changed(folder, CONFIG_FILE, change)
        if reads_terms:
            with pytest.raises(SigjepaError, match=r"lexicon format (1|3 or earlier).*train it again"):
                Student.from_pretrained(folder, teacher=teacher)
        else:
            assert Student.from_pretrained(folder, teacher=teacher).statistics is None


def test_a_teacher_that_lies_elsewhere_is_named_by_its_folder(folder, student, tmp_path):
    place = student.teacher.checkpoint.folder
    changed(folder, CONFIG_FILE, lambda content: content["teacher"].update(path=str(tmp_path / "gone")))
    with pytest.raises(SigjepaError, match=r"gone.*teacher="):
        Student.from_pretrained(folder)
    assert Student.from_pretrained(folder, teacher=str(place)).fingerprint == student.fingerprint


def test_what_is_no_student_is_refused(tmp_path, folder, student):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SigjepaError, match="empty .*student="):
        Student.from_pretrained(tmp_path / "empty")
    (folder / CHECKSUMS_FILE).write_text("{}")
    with pytest.raises(SigjepaError, match=CHECKSUMS_FILE):
        Student.from_pretrained(folder)
    with pytest.raises(SigjepaError, match="no such folder"):
        Student.from_pretrained("no such folder")


def test_tensors_of_another_model_are_refused(tmp_path, student, folder):
    tensors = {name: tensor for name, tensor in student.model.state_dict().items() if "weight" in name}
    content = json.loads((folder / CONFIG_FILE).read_text())
    keys = ("model", "teacher_dim", "teacher", "teacher_identity")
    write_student(tmp_path / "other", {key: content[key] for key in keys}, tensors, {})
    with pytest.raises(SigjepaError, match="other .*config.json"):
        Student.from_pretrained(tmp_path / "other")


def test_tied_weights_are_written(tmp_path):
    weight = torch.randn(3, 2)
    write_student(
        tmp_path / "tied", {}, {"embed": weight, "decode": weight, "first": weight[:1], "across": weight.T}, {}
    )
    _, tensors, _ = read_student(tmp_path / "tied")
    assert torch.equal(tensors["embed"], weight)
    assert torch.equal(tensors["decode"], weight)
    assert torch.equal(tensors["first"], weight[:1])
    assert torch.equal(tensors["across"], weight.T)


def test_statistics_of_train_come_with_a_student_that_reads_terms(folder, student):
    assert (folder / STATISTICS_FILE).is_file() == Student.reads_terms(student.model)
    if Student.reads_terms(student.model):
        with pytest.raises(SigjepaError, match="statistics"):
            Student(student.config, student.model, student.teacher)
        assert all(isinstance(array, np.ndarray) for array in student.statistics.arrays().values())
