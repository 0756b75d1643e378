import json
import multiprocessing
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sigjepa.errors import DamagedError, SigjepaError
from sigjepa.store.artifacts import write_manifest
from sigjepa.teacher import shards as shards_module
from sigjepa.teacher.encoder import FrozenTeacher
from sigjepa.teacher.shards import TeacherShards, embed_corpus

Make = Callable[..., FrozenTeacher]


@pytest.fixture
def teacher(qwen: Path, make_teacher: Make) -> FrozenTeacher:
    return make_teacher(qwen)


@pytest.fixture
def shards(corpus: Any, teacher: FrozenTeacher, tmp_path: Path) -> TeacherShards:
    """Five functions in three shards, body states included."""
    return embed_corpus(corpus, teacher, tmp_path, body_states=True, functions_per_shard=2)


@pytest.fixture
def no_encoding(shards: TeacherShards, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, with shards at hand, encoding is a failure."""
    monkeypatch.setattr(FrozenTeacher, "encode", lambda *_, **__: pytest.fail("encoded again"))


def interrupt_at(monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    """Press Ctrl-C when `file` is about to be written."""
    write_shard = shards_module.write_shard

    def interrupted(path: Path, *arguments: Any) -> Any:
        if path.name == file:
            raise KeyboardInterrupt
        return write_shard(path, *arguments)

    monkeypatch.setattr(shards_module, "write_shard", interrupted)


def count_encoded(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The texts of every call of `encode` from now on."""
    calls: list[list[str]] = []
    encode = FrozenTeacher.encode

    def counting(self: FrozenTeacher, texts: list[str], *args: Any, **kwargs: Any) -> Any:
        calls.append(list(texts))
        return encode(self, texts, *args, **kwargs)

    monkeypatch.setattr(FrozenTeacher, "encode", counting)
    return calls


def test_shards_hold_what_the_teacher_says(corpus: Any, teacher: FrozenTeacher, shards: TeacherShards) -> None:
    signature = teacher.encode(corpus.signatures, teacher.max_signature_tokens)
    body = teacher.encode(corpus.bodies, teacher.max_body_tokens)
    close = {"atol": 1e-5, "rtol": 1e-5}
    assert len(shards) == 5
    assert shards.ids.tolist() == [0, 1, 2, 3, 4]
    assert shards.dim == 32
    torch.testing.assert_close(shards.signature_pooled, signature.pooled, **close)
    torch.testing.assert_close(shards.body_pooled, body.pooled, **close)
    assert shards.signature_lengths.tolist() == signature.offsets.diff().tolist()
    assert shards.body_lengths.tolist() == body.offsets.diff().tolist()
    assert signature.states is not None
    assert body.states is not None
    for function in reversed(range(5)):
        rows = slice(*signature.offsets[function : function + 2].tolist())
        torch.testing.assert_close(shards.signature_states(function), signature.states[rows], **close)
        rows = slice(*body.offsets[function : function + 2].tolist())
        torch.testing.assert_close(shards.body_states(function), body.states[rows], **close)
    assert shards.body_states(2).shape == (0, 32)  # the empty body


def test_a_body_never_sees_its_signature(
    corpus: Any, teacher: FrozenTeacher, shards: TeacherShards, tmp_path: Path
) -> None:
    others = [f"class Other{number}(item, path):" for number in range(5)]
    changed = embed_corpus(
        replace(corpus, signatures=others, hash="corpus-2"), teacher, tmp_path, body_states=True, functions_per_shard=2
    )
    assert not torch.equal(changed.signature_pooled, shards.signature_pooled)
    assert torch.equal(changed.body_pooled, shards.body_pooled)
    for function in range(5):
        assert torch.equal(changed.body_states(function), shards.body_states(function))


def test_manifest_tells_where_the_states_come_from(corpus: Any, qwen: Path, make_teacher: Make, tmp_path: Path) -> None:
    teacher = make_teacher(qwen, max_signature_tokens=6, max_body_tokens=8)
    shards = embed_corpus(corpus, teacher, tmp_path)
    manifest = json.loads((shards.folder / "manifest.json").read_text())
    assert shards.folder.parent == tmp_path / "teacher"
    assert shards.folder.name.startswith("tiny-")
    assert manifest["inputs"]["teacher"] == teacher.fingerprint()
    assert manifest["inputs"]["corpus"] == "corpus-1"
    assert manifest["functions"] == 5
    assert manifest["truncated"] == {
        "signatures": teacher.encode(corpus.signatures, 6).truncated,
        "bodies": teacher.encode(corpus.bodies, 8).truncated,
    }
    assert manifest["truncated"]["bodies"] > 0
    assert manifest["signature_states"] == shards.signature_lengths.sum()
    assert manifest["versions"]["torch"] == torch.__version__


@pytest.mark.usefixtures("no_encoding")
def test_second_call_neither_encodes_nor_loads(
    corpus: Any, qwen: Path, make_teacher: Make, shards: TeacherShards, tmp_path: Path
) -> None:
    again = embed_corpus(corpus, make_teacher(qwen, dim=32), tmp_path, body_states=True)
    assert again.folder == shards.folder


@pytest.mark.usefixtures("no_encoding")
def test_shards_with_body_states_serve_a_request_without(
    corpus: Any, teacher: FrozenTeacher, shards: TeacherShards, tmp_path: Path
) -> None:
    assert embed_corpus(corpus, teacher, tmp_path).folder == shards.folder


def test_shards_without_body_states_do_not_serve_a_request_with(
    corpus: Any, teacher: FrozenTeacher, tmp_path: Path
) -> None:
    pooled_only = embed_corpus(corpus, teacher, tmp_path)
    assert not pooled_only.has_body_states
    with pytest.raises(SigjepaError, match="holds no body states; prepare it with body_states=true"):
        pooled_only.body_states(0)
    assert embed_corpus(corpus, teacher, tmp_path, body_states=True).body_states(0).shape[1] == 32
    assert pooled_only.body_lengths.sum() > 0


@pytest.mark.parametrize("changes", [{"layer": 1}, {"max_body_tokens": 8}])
def test_another_teacher_has_another_folder(
    corpus: Any, qwen: Path, make_teacher: Make, tmp_path: Path, changes: dict[str, Any]
) -> None:
    first = embed_corpus(corpus, make_teacher(qwen), tmp_path)
    assert embed_corpus(corpus, make_teacher(qwen, **changes), tmp_path).folder != first.folder


def test_interrupted_job_goes_on_at_the_first_missing_shard(
    corpus: Any, teacher: FrozenTeacher, shards: TeacherShards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    with monkeypatch.context() as patch:
        interrupt_at(patch, "shard-00001.safetensors")
        with pytest.raises(KeyboardInterrupt):
            embed_corpus(corpus, teacher, elsewhere, body_states=True, functions_per_shard=2)
    folder = next((elsewhere / "teacher").glob("tiny-*[!k]"))
    with pytest.raises(SigjepaError, match=r"manifest.json does not exist"):
        TeacherShards.open(folder)
    calls = count_encoded(monkeypatch)
    # A folder that was begun keeps its shards' size.
    resumed = embed_corpus(corpus, teacher, elsewhere, body_states=True, functions_per_shard=4)
    assert calls == [corpus.signatures[2:4], corpus.bodies[2:4], corpus.signatures[4:], corpus.bodies[4:]]
    assert torch.equal(resumed.body_pooled, shards.body_pooled)
    assert torch.equal(resumed.signature_states(4), shards.signature_states(4))
    assert but_its_time(resumed) == but_its_time(shards)


def test_deleted_shard_alone_is_made_again(
    corpus: Any, teacher: FrozenTeacher, shards: TeacherShards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shards.folder / "shard-00001.safetensors").unlink()
    with pytest.raises(SigjepaError, match=r"shard-00001.safetensors is missing. .*repair=true"):
        TeacherShards.open(shards.folder)
    calls = count_encoded(monkeypatch)
    again = embed_corpus(corpus, teacher, tmp_path, body_states=True)
    assert calls == [corpus.signatures[2:4], corpus.bodies[2:4]]
    assert but_its_time(again) == but_its_time(shards)
    assert torch.equal(again.body_states(3), embed_corpus(corpus, teacher, tmp_path, body_states=True).body_states(3))


def test_interrupted_repair_leaves_no_manifest_that_vouches_for_the_old_shards(
    corpus: Any, teacher: FrozenTeacher, shards: TeacherShards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (0, 1):
        (shards.folder / f"shard-0000{number}.safetensors").unlink()
    with monkeypatch.context() as patch:
        interrupt_at(patch, "shard-00001.safetensors")
        with pytest.raises(KeyboardInterrupt):
            embed_corpus(corpus, teacher, tmp_path, body_states=True)
    assert not (shards.folder / "manifest.json").exists()
    calls = count_encoded(monkeypatch)
    assert but_its_time(embed_corpus(corpus, teacher, tmp_path, body_states=True)) == but_its_time(shards)
    assert calls == [corpus.signatures[2:4], corpus.bodies[2:4]]


def test_an_altered_number_in_the_notes_of_an_interrupted_job_is_noticed(
    corpus: Any, teacher: FrozenTeacher, shards: TeacherShards, tmp_path: Path
) -> None:
    (shards.folder / "manifest.json").unlink()
    notes = shards.folder / "shards.json"
    before = notes.read_text()
    notes.write_text(before.replace('"functions": 2', '"functions": 3', 1))
    assert notes.read_text() != before
    with pytest.raises(DamagedError, match=r"shards.json was altered"):
        embed_corpus(corpus, teacher, tmp_path, body_states=True)
    notes.write_text(json.dumps(json.loads(before)["shards"]))  # as it was before seals
    assert but_its_time(embed_corpus(corpus, teacher, tmp_path, body_states=True)) == but_its_time(shards)


def but_its_time(shards: TeacherShards) -> dict[str, Any]:
    """The manifest without what tells when, and by which command, it was made."""
    return {key: value for key, value in shards.manifest.items() if key not in ("made", "seal")}


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [(flip_a_byte, "was altered"), (truncate, "bytes instead of")])
def test_damaged_shard_is_named_and_its_way_out_works(
    corpus: Any,
    teacher: FrozenTeacher,
    shards: TeacherShards,
    tmp_path: Path,
    damage: tuple[Callable[[Path], None], str],
) -> None:
    path = shards.folder / "shard-00002.safetensors"
    damage_file, message = damage
    damage_file(path)
    for attempt in (
        lambda: TeacherShards.open(shards.folder),
        lambda: embed_corpus(corpus, teacher, tmp_path, body_states=True),
    ):
        with pytest.raises(DamagedError, match=rf"shard-00002.safetensors .*{message}") as caught:
            attempt()
        assert str(path) in str(caught.value)
        assert "`python -m sigjepa.prepare repair=true`" in str(caught.value)
    caught.value.mend()
    assert not path.exists()
    assert but_its_time(embed_corpus(corpus, teacher, tmp_path, body_states=True)) == but_its_time(shards)


def test_manifest_from_another_teacher_says_what_differs(
    corpus: Any, qwen: Path, make_teacher: Make, shards: TeacherShards, tmp_path: Path
) -> None:
    inputs = shards.manifest["inputs"]
    assert TeacherShards.open(shards.folder, expect=inputs).folder == shards.folder
    with pytest.raises(SigjepaError, match=r"another teacher or corpus: corpus: have corpus-1, want corpus-2\."):
        TeacherShards.open(shards.folder, expect={**inputs, "corpus": "corpus-2"})
    # What a user does: copy a folder over the one that another teacher wants.
    other = make_teacher(qwen, layer=1, max_body_tokens=8)
    target = embed_corpus(corpus, other, tmp_path, body_states=True).folder
    shutil.copy(shards.folder / "manifest.json", target)
    for shard in shards.folder.glob("shard-*"):
        shutil.copy(shard, target)
    with pytest.raises(
        SigjepaError, match=r"teacher.layer: have -1, want 1; teacher.max_body_tokens: have 32, want 8\. "
    ):
        embed_corpus(corpus, other, tmp_path, body_states=True)


def test_manifest_of_another_format_is_refused(shards: TeacherShards) -> None:
    path = shards.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["inputs"]["format"] = 0
    write_manifest(path, manifest)
    with pytest.raises(SigjepaError, match="has format 0, but format 1 is needed"):
        TeacherShards.open(shards.folder)


def test_wrong_dim_is_refused_with_shards_at_hand(
    corpus: Any, qwen: Path, make_teacher: Make, shards: TeacherShards, tmp_path: Path
) -> None:
    with pytest.raises(SigjepaError, match=r"teacher.dim=48, but the states in .* have size 32; set teacher.dim=32"):
        embed_corpus(corpus, make_teacher(qwen, dim=48), tmp_path)


def test_empty_corpus_is_refused(corpus: Any, teacher: FrozenTeacher, tmp_path: Path) -> None:
    with pytest.raises(SigjepaError, match="The corpus is empty"):
        embed_corpus(replace(corpus, signatures=[], bodies=[]), teacher, tmp_path)


def test_shard_size_must_be_positive(corpus: Any, teacher: FrozenTeacher, tmp_path: Path) -> None:
    with pytest.raises(SigjepaError, match="functions_per_shard=0 must be at least 1"):
        embed_corpus(corpus, teacher, tmp_path, functions_per_shard=0)


@pytest.mark.parametrize("function", [-1, 5])
def test_unknown_function(shards: TeacherShards, function: int) -> None:
    with pytest.raises(IndexError, match="ids go from 0 to 4"):
        shards.signature_states(function)


@pytest.mark.parametrize("storage_dtype", ["float16", "bfloat16"])
def test_states_keep_the_storage_precision(
    corpus: Any, qwen: Path, make_teacher: Make, tmp_path: Path, storage_dtype: str
) -> None:
    shards = embed_corpus(corpus, make_teacher(qwen, storage_dtype=storage_dtype), tmp_path)
    assert shards.signature_states(0).dtype is getattr(torch, storage_dtype)
    assert shards.signature_pooled.dtype is torch.float32


def test_reading_is_lazy_and_does_not_copy(shards: TeacherShards) -> None:
    opened = TeacherShards.open(shards.folder)
    first, again = opened.signature_states(1), opened.signature_states(1)
    assert len(opened._maps) == 1
    assert first.data_ptr() == again.data_ptr()
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert str(opened.folder / "shard-00000.safetensors") in maps.read_text()


def _sums(shards: TeacherShards) -> list[float]:
    return [float(shards.signature_states(function).sum()) for function in range(len(shards))]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_through_maps_of_their_own(shards: TeacherShards, method: str) -> None:
    expected = _sums(shards)  # the parent's maps are open by now
    assert len(pickle.dumps(shards)) < 10_000  # maps do not travel
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_sums, [shards, shards]) == [expected, expected]
