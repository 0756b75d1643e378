import multiprocessing
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sigjepa.errors import SigjepaError
from sigjepa.store.executors.local import Local
from sigjepa.store.store import Store
from sigjepa.teacher.encoder import FrozenTeacher
from sigjepa.teacher.shards import TeacherShards
from sigjepa.teacher.stage import ShardStage

Make = Callable[..., FrozenTeacher]


def embed(corpus: Any, teacher: FrozenTeacher, folder: Path, **options: Any) -> TeacherShards:
    return Store(folder).get(ShardStage(corpus, teacher, **options))


@pytest.fixture
def teacher(qwen: Path, make_teacher: Make) -> FrozenTeacher:
    return make_teacher(qwen)


@pytest.fixture
def shards(corpus: Any, teacher: FrozenTeacher, tmp_path: Path) -> TeacherShards:
    """Five functions in three shards, body states included."""
    return embed(corpus, teacher, tmp_path, body_states=True, functions_per_shard=2)


@pytest.fixture
def no_encoding(shards: TeacherShards, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, with shards at hand, encoding is a failure."""
    monkeypatch.setattr(FrozenTeacher, "encode", lambda *_, **__: pytest.fail("encoded again"))


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
    changed = embed(
        replace(corpus, signatures=others, hash="corpus-2"), teacher, tmp_path, body_states=True, functions_per_shard=2
    )
    assert not torch.equal(changed.signature_pooled, shards.signature_pooled)
    assert torch.equal(changed.body_pooled, shards.body_pooled)
    for function in range(5):
        assert torch.equal(changed.body_states(function), shards.body_states(function))


def test_manifest_tells_where_the_states_come_from(corpus: Any, qwen: Path, make_teacher: Make, tmp_path: Path) -> None:
    teacher = make_teacher(qwen, max_signature_tokens=6, max_body_tokens=8)
    shards = embed(corpus, teacher, tmp_path, functions_per_shard=2)
    manifest = shards.manifest
    assert shards.folder.parent == tmp_path / "teacher"
    assert shards.folder.name.startswith("tiny-")
    assert manifest.inputs["teacher"] == teacher.fingerprint()
    assert manifest.inputs["corpus"] == "corpus-1"
    assert manifest.upstream == {"corpus": corpus.reference}
    assert manifest.facts["functions"] == 5
    assert manifest.facts["truncated_signatures"] == teacher.encode(corpus.signatures, 6).truncated
    assert manifest.facts["truncated_bodies"] == teacher.encode(corpus.bodies, 8).truncated > 0
    assert manifest.facts["signature_states"] == shards.signature_lengths.sum()
    assert manifest.origin["versions"]["torch"] == torch.__version__


@pytest.mark.usefixtures("no_encoding")
def test_second_call_neither_encodes_nor_loads(
    corpus: Any, qwen: Path, make_teacher: Make, shards: TeacherShards, tmp_path: Path
) -> None:
    again = embed(corpus, make_teacher(qwen, dim=32), tmp_path, body_states=True, functions_per_shard=2)
    assert again.folder == shards.folder


def test_shards_without_body_states_do_not_serve_a_request_with(
    corpus: Any, teacher: FrozenTeacher, tmp_path: Path
) -> None:
    pooled_only = embed(corpus, teacher, tmp_path)
    assert not pooled_only.has_body_states
    with pytest.raises(SigjepaError, match="body_states=true"):
        pooled_only.body_states(0)
    richer = embed(corpus, teacher, tmp_path, body_states=True)
    assert richer.body_states(0).shape[1] == 32
    assert richer.pooled_digest == pooled_only.pooled_digest  # so no baseline is measured twice
    assert pooled_only.body_lengths.sum() > 0


@pytest.mark.parametrize("changes", [{"layer": 1}, {"max_body_tokens": 8}])
def test_another_teacher_has_another_folder(
    corpus: Any, qwen: Path, make_teacher: Make, tmp_path: Path, changes: dict[str, Any]
) -> None:
    first = embed(corpus, make_teacher(qwen), tmp_path)
    assert embed(corpus, make_teacher(qwen, **changes), tmp_path).folder != first.folder


def test_interrupted_job_goes_on_at_the_first_missing_shard(
    corpus: Any, teacher: FrozenTeacher, shards: TeacherShards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    encode = FrozenTeacher.encode

    def interrupted(self: FrozenTeacher, texts: list[str], *arguments: Any, **named: Any) -> Any:
        if texts == corpus.bodies[2:4]:
            raise KeyboardInterrupt
        return encode(self, texts, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(FrozenTeacher, "encode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            embed(corpus, teacher, elsewhere, body_states=True, functions_per_shard=2)
    calls = count_encoded(monkeypatch)
    resumed = embed(corpus, teacher, elsewhere, body_states=True, functions_per_shard=2)
    assert calls == [corpus.signatures[2:4], corpus.bodies[2:4], corpus.signatures[4:], corpus.bodies[4:]]
    assert resumed.reference == shards.reference


def test_deleted_shard_alone_is_embedded_again(
    corpus: Any, teacher: FrozenTeacher, shards: TeacherShards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shards.folder / "shard-00001.safetensors").unlink()
    with pytest.raises(SigjepaError, match=r"shard-00001\.safetensors.*repair=true"):
        TeacherShards.load(shards.folder)
    calls = count_encoded(monkeypatch)
    again = embed(corpus, teacher, tmp_path, body_states=True, functions_per_shard=2)
    assert calls == [corpus.signatures[2:4], corpus.bodies[2:4]]
    assert again.reference == shards.reference


@pytest.mark.slow  # two processes import torch; tests/store/test_local_executor.py has the executor
def test_processes_embed_the_same_bytes(
    corpus: Any, teacher: FrozenTeacher, shards: TeacherShards, tmp_path: Path
) -> None:
    store = Store(tmp_path / "processes", Local(2))
    assert store.get(ShardStage(corpus, teacher, True, 2)).reference == shards.reference


def test_wrong_dim_is_refused_with_shards_at_hand(
    corpus: Any, qwen: Path, make_teacher: Make, shards: TeacherShards, tmp_path: Path
) -> None:
    with pytest.raises(SigjepaError, match="teacher.dim=48.*teacher.dim=32"):
        embed(corpus, make_teacher(qwen, dim=48), tmp_path, body_states=True, functions_per_shard=2)


def test_empty_corpus_is_refused(corpus: Any, teacher: FrozenTeacher, tmp_path: Path) -> None:
    with pytest.raises(SigjepaError, match="corpus"):
        embed(replace(corpus, signatures=[], bodies=[]), teacher, tmp_path)


def test_shard_size_must_be_positive(corpus: Any, teacher: FrozenTeacher, tmp_path: Path) -> None:
    with pytest.raises(SigjepaError, match="functions_per_shard=0"):
        embed(corpus, teacher, tmp_path, functions_per_shard=0)


@pytest.mark.parametrize("function", [-1, 5])
def test_unknown_function(shards: TeacherShards, function: int) -> None:
    with pytest.raises(IndexError, match="from 0 to 4"):
        shards.signature_states(function)


@pytest.mark.parametrize("storage_dtype", ["float16", "bfloat16"])
def test_states_keep_the_storage_precision(
    corpus: Any, qwen: Path, make_teacher: Make, tmp_path: Path, storage_dtype: str
) -> None:
    shards = embed(corpus, make_teacher(qwen, storage_dtype=storage_dtype), tmp_path)
    assert shards.signature_states(0).dtype is getattr(torch, storage_dtype)
    assert shards.signature_pooled.dtype is torch.float32


def test_reading_is_lazy_and_does_not_copy(shards: TeacherShards) -> None:
    opened = TeacherShards.load(shards.folder)
    first, again = opened.signature_states(1), opened.signature_states(1)
    assert len(opened._maps) == 1
    assert first.data_ptr() == again.data_ptr()
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert str(opened.folder / "shard-00000.safetensors") in maps.read_text()


def _sums(shards: TeacherShards) -> list[float]:
    return [float(shards.signature_states(function).sum()) for function in range(len(shards))]


@pytest.mark.parametrize("method", ["fork", pytest.param("forkserver", marks=pytest.mark.slow)])  # which imports torch
def test_workers_read_through_maps_of_their_own(shards: TeacherShards, method: str) -> None:
    expected = _sums(shards)  # the parent's maps are open by now
    assert len(pickle.dumps(shards)) < 10_000  # maps do not travel
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.map(_sums, [shards, shards]) == [expected, expected]
