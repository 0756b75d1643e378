"""Checkpoints whose tensors, tokens or positions are not those of the model: an error by name, never other numbers."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from small_tokenizer import DIM, save_tokenizer
from torch import Tensor

from sigjepa.errors import SigjepaError
from sigjepa.teacher.encoder import FrozenTeacher
from sigjepa.teacher.fit import check_same_states
from sigjepa.teacher.pretrained import Checkpoint

Make = Callable[..., FrozenTeacher]
TEXTS = ["x = 1", "def add(left, right): return left + right", "def read(path): return open(path).read()"]
LAYER = "encoder.layer.1.attention.self.query.weight"
SMALL = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 64}
SEQ2SEQ = {"encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 4, "decoder_attention_heads": 4}
WIDE = {"initializer_range": 0.5, "init_std": 0.5}  # so that positions and attention matter


def save(folder: Path, model: str, config: str, **settings: Any) -> Path:
    """Save a random model of that class, with a tokenizer, and return its folder."""
    vocabulary = save_tokenizer(folder, "right")
    torch.manual_seed(0)
    arguments = {"vocab_size": vocabulary + 1, "hidden_size": DIM, "pad_token_id": 0} | settings
    getattr(transformers, model)(getattr(transformers, config)(**arguments)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def masked_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a BERT with the head it was trained by, and without a pooler."""
    return save(tmp_path_factory.mktemp("masked"), "BertForMaskedLM", "BertConfig", **SMALL)


def states(teacher: FrozenTeacher, texts: list[str] = TEXTS) -> Tensor:
    found = teacher.encode(texts, 32).states
    assert found is not None
    return found


def changed(source: Path, folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Path:
    """Copy a checkpoint with other tensors."""
    shutil.copytree(source, folder)
    save_file(change(load_file(source / "model.safetensors")), folder / "model.safetensors", {"format": "pt"})
    return folder


def edit_json(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda tensors: {f"module.{name}": tensor for name, tensor in tensors.items()}, "missing.*module.bert"),
        (lambda tensors: {name: tensor for name, tensor in tensors.items() if ".layer.1." not in name}, "layer.1"),
        (lambda tensors: {k: v for k, v in tensors.items() if "position_embeddings" not in k}, "position_embeddings"),
        (lambda tensors: tensors | {"bert.encoder.layer.2.output.dense.bias": torch.zeros(DIM)}, "unexpected.*layer.2"),
        (lambda tensors: tensors | {f"bert.{LAYER[:-6]}lora_A.weight": torch.zeros(4, DIM)}, "unexpected.*lora_A"),
        (lambda tensors: tensors | {f"bert.{LAYER}": torch.zeros(DIM, 16)}, rf"{LAYER} .*\[32, 16\].*\[32, 32\]"),
    ],
)
def test_weights_that_do_not_fit_are_named(
    masked_bert: Path, tmp_path: Path, make_teacher: Make, change: Any, named: str
) -> None:
    folder = changed(masked_bert, tmp_path / "model", change)
    with pytest.raises(SigjepaError, match=rf"{folder}.*{named}.*teacher\.path"):
        make_teacher(folder).encode(TEXTS, 32)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"vocab_size": 50}, "word_embeddings"),
        ({"hidden_size": 64}, "LayerNorm"),
        ({"num_hidden_layers": 3}, "layer.2"),
        ({"num_hidden_layers": 1}, "layer.1"),
        ({"model_type": "distilbert"}, "DistilBertModel"),
        ({"max_position_embeddings": -1}, "max_position_embeddings|-1|negative"),
    ],
)
def test_a_config_of_another_model_is_refused(
    masked_bert: Path, tmp_path: Path, make_teacher: Make, changes: dict[str, Any], named: str
) -> None:
    folder = shutil.copytree(masked_bert, tmp_path / "model")
    edit_json(folder / "config.json", **changes)
    with pytest.raises(SigjepaError, match=rf"{folder}.*({named})"):
        make_teacher(folder).encode(TEXTS, 32)


def test_a_pooler_and_a_head_are_not_missed(masked_bert: Path, bert: Path, tmp_path: Path, make_teacher: Make) -> None:
    assert torch.equal(states(make_teacher(masked_bert)), states(make_teacher(masked_bert)))
    no_pooler = changed(bert, tmp_path / "model", lambda tensors: {k: v for k, v in tensors.items() if "pool" not in k})
    assert torch.equal(states(make_teacher(no_pooler)), states(make_teacher(bert)))


@pytest.fixture(scope="module", params=["T5EncoderModel", "T5ForConditionalGeneration"])
def t5(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    sizes = {"d_model": DIM, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
    return request.param, save(tmp_path_factory.mktemp("t5"), request.param, "T5Config", **sizes)


def test_t5_gives_the_states_of_its_encoder(t5: tuple[str, Path], make_teacher: Make) -> None:
    """Saved as an encoder alone, its config says that it is no encoder-decoder."""
    model, folder = t5
    encoder = getattr(transformers, model).from_pretrained(folder).eval().get_encoder()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(TEXTS[1], return_tensors="pt").input_ids
    with torch.no_grad():
        expected = encoder(input_ids=tokens).last_hidden_state[0]
    actual = states(make_teacher(folder, pool_special_tokens=True, layer=-1), [TEXTS[1]])
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


PLACED = {
    "roberta": ("RobertaModel", "RobertaConfig", {**SMALL, **WIDE, "pad_token_id": 1}),
    "roberta_eos": ("RobertaModel", "RobertaConfig", {**SMALL, **WIDE, "pad_token_id": 1}),
    "roberta_none": ("RobertaModel", "RobertaConfig", {**SMALL, **WIDE, "pad_token_id": 1}),
    "bart": ("BartModel", "BartConfig", {**SEQ2SEQ, **WIDE, "d_model": DIM, "encoder_ffn_dim": 64}),
    "xlnet": ("XLNetModel", "XLNetConfig", {**WIDE, "d_model": DIM, "n_layer": 2, "n_head": 4, "d_inner": 64}),
    "gpt2": ("GPT2Model", "GPT2Config", {**WIDE, "n_embd": DIM, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    "bloom": ("BloomModel", "BloomConfig", {**WIDE, "n_layer": 2, "n_head": 4}),
}


@pytest.mark.parametrize("name", PLACED)
def test_states_are_transformers_own_on_either_side(name: str, tmp_path: Path, make_teacher: Make) -> None:
    """Alone and unpadded, whatever the pad token is, and however the architecture finds a token's position."""
    model, config, settings = PLACED[name]
    folder = save(tmp_path / name, model, config, **settings)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    if name in ("roberta_eos", "roberta_none"):
        edit_json(folder / "tokenizer_config.json", pad_token="<end>" if name == "roberta_eos" else None)
    network = transformers.AutoModel.from_pretrained(folder).eval()
    network = network.get_encoder() if name == "bart" else network
    expected = []
    for text in TEXTS:
        with torch.no_grad():
            output = network(input_ids=tokenizer(text, return_tensors="pt").input_ids)
        expected.append(output.last_hidden_state[0, 1:-1])
    for side in ("left", "right"):
        teacher = make_teacher(folder, padding_side=side, tokens_per_batch=4096)
        torch.testing.assert_close(states(teacher), torch.cat(expected), atol=1e-5, rtol=1e-5)


def test_an_architecture_without_a_mask_is_refused(tmp_path: Path, make_teacher: Make) -> None:
    folder = save(tmp_path / "fnet", "FNetModel", "FNetConfig", num_hidden_layers=1, intermediate_size=64)
    with pytest.raises(SigjepaError, match=rf"{folder}.*padding_side"):
        make_teacher(folder).encode(TEXTS, 32)


def test_states_that_differ_with_the_batch_are_refused() -> None:
    alone = torch.randn(5, DIM)
    check_same_states(alone, alone + 1e-6, Path("model"), "teacher")
    with pytest.raises(SigjepaError, match=r"model.*teacher\.padding_side"):
        check_same_states(alone, alone + 1e-3, Path("model"), "teacher")


def test_a_model_whose_mask_does_nothing_is_refused(bert: Path, make_teacher: Make, monkeypatch: Any) -> None:
    forward = transformers.BertModel.forward

    def unmasked(self: Any, attention_mask: Any = None, **arguments: Any) -> Any:
        return forward(self, **arguments)

    monkeypatch.setattr(transformers.BertModel, "forward", unmasked)
    with pytest.raises(SigjepaError, match="padding_side"):
        make_teacher(bert).encode(TEXTS, 32)


def test_a_limit_beyond_positions_that_no_setting_tells(bert: Path, make_teacher: Make) -> None:
    network = make_teacher(bert)._network
    network.max_positions = None
    assert network.try_out(-1, 64) == DIM
    with pytest.raises(SigjepaError, match=str(bert)):
        network.try_out(-1, 65)


def test_a_token_beyond_the_embeddings_is_named(bert: Path, tmp_path: Path, make_teacher: Make) -> None:
    folder = shutil.copytree(bert, tmp_path / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(SigjepaError, match=rf"{folder}.*<new>"):
        make_teacher(folder).encode(TEXTS, 32)


def test_a_tokenizer_that_knows_nothing_is_refused(bert: Path, tmp_path: Path, make_teacher: Make) -> None:
    folder = shutil.copytree(bert, tmp_path / "model")
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"] |= {"vocab": {f"<{number}>": number for number in range(5)} | {"<unk>": 5}, "merges": []}
    content["added_tokens"] = []
    content["post_processor"] = None
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(SigjepaError, match=f"{folder}"):
        make_teacher(folder).encode(TEXTS, 32)


def test_the_identity_covers_what_transformers_opens(bert: Path, tmp_path: Path, make_teacher: Make) -> None:
    """An index decides which shards are read; a file of another name is not read."""
    folder = shutil.copytree(bert, tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    parts = (
        {k: v for k, v in tensors.items() if "layer.1" in k},
        {k: v for k, v in tensors.items() if "layer.1" not in k},
    )
    for name, part in zip(("a", "b"), parts, strict=True):
        save_file(part, folder / f"{name}.safetensors", {"format": "pt"})
    index = folder / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"metadata": {}, "weight_map": {k: "ba"[k in parts[0]] + ".safetensors" for k in tensors}})
    )
    before = Checkpoint(str(folder)).identity()["weights"]
    assert torch.equal(states(make_teacher(folder)), states(make_teacher(bert)))
    save_file({}, folder / "other.safetensors", {"format": "pt"})
    assert Checkpoint(str(folder)).identity()["weights"] == before
    index.write_text(index.read_text() + " ")
    assert Checkpoint(str(folder)).identity()["weights"] != before
    (folder / "a.safetensors").unlink()
    with pytest.raises(SigjepaError, match=r"index\.json.*a\.safetensors"):
        _ = Checkpoint(str(folder)).folder


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("adapter_config.json", "{}", "adapter"),
        ("config.json", '{"model_type": "bert", "transformers_weights": "x.safetensors"}', "transformers_weights"),
        ("config.json", "[]", r"config\.json"),
    ],
)
def test_weights_from_elsewhere_are_refused(bert: Path, tmp_path: Path, name: str, content: str, named: str) -> None:
    folder = shutil.copytree(bert, tmp_path / "model")
    (folder / name).write_text(content)
    with pytest.raises(SigjepaError, match=named):
        _ = Checkpoint(str(folder)).folder


def test_a_sentencepiece_model_alone(bert: Path, tmp_path: Path, make_teacher: Make) -> None:
    folder = shutil.copytree(bert, tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    (folder / "spm.model").write_bytes(b"no model")
    edit_json(folder / "config.json", model_type="deberta-v2")
    before = Checkpoint(str(folder)).identity()["tokenizer"]
    with pytest.raises(SigjepaError, match=str(folder)):
        make_teacher(folder).encode(TEXTS, 32)
    (folder / "spm.model").write_bytes(b"another")
    assert Checkpoint(str(folder)).identity()["tokenizer"] != before


def damages(folder: Path) -> Iterator[tuple[str, str, bytes | None]]:
    """Yield what is done to which file, and what it holds then; None is no file."""
    names = sorted(path.name for path in folder.iterdir())
    content = {name: (folder / name).read_bytes() for name in names}
    for name, whole in content.items():
        yield "drop", name, None
        for share in (0.0, 0.3, 0.9):
            yield f"cut at {share}", name, whole[: int(len(whole) * share)]
        for other in names:
            if other != name:
                yield f"swap for {other}", name, content[other]
    for name in ("config.json", "tokenizer_config.json", "tokenizer.json"):
        settings = json.loads(content[name])
        for key in settings:
            for value in (-1, "x"):
                yield f"{key}={value}", name, json.dumps(settings | {key: value}).encode()


def test_no_folder_ends_in_a_traceback_or_in_unseen_other_states(
    bert: Path, tmp_path: Path, make_teacher: Make
) -> None:
    """Files dropped, cut, swapped, their settings replaced: one error, or states under a key of their own."""
    folder = shutil.copytree(bert, tmp_path / "model")
    expected, identity = states(make_teacher(bert)), make_teacher(bert).fingerprint()
    refused = used = 0
    for what, name, content in damages(bert):
        file = folder / name
        file.unlink() if content is None else file.write_bytes(content)
        teacher = make_teacher(folder)
        try:
            found = states(teacher)
        except SigjepaError:
            refused += 1
        else:
            used += 1
            same = found.shape == expected.shape and torch.equal(found, expected)
            assert same or teacher.fingerprint() != identity, (what, name)
            assert torch.equal(found, states(make_teacher(folder))), (what, name)
        file.write_bytes((bert / name).read_bytes())
    assert refused > 20
    assert used > 5
