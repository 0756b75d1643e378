"""A tiny random Qwen2 and a tiny random BERT with tokenizers of their own, and a corpus of a few functions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_corpus import FakeCorpus
from small_tokenizer import DIM, save_tokenizer
from transformers import BertConfig, BertModel, Qwen2Config, Qwen2Model

from sigjepa.teacher.encoder import FrozenTeacher


@pytest.fixture(scope="session")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a random causal decoder."""
    folder = tmp_path_factory.mktemp("qwen")
    vocabulary = save_tokenizer(folder, "left")
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=vocabulary + 1,  # transformers gives the family's tokenizers <|endoftext|>
        hidden_size=DIM,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    Qwen2Model(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a random bidirectional encoder."""
    folder = tmp_path_factory.mktemp("bert")
    vocabulary = save_tokenizer(folder, "right")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=DIM,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=0.5,  # large, so that positions and attention matter
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def corpus() -> FakeCorpus:
    return FakeCorpus(
        signatures=["def add(left, right):", "def read(path):", "def pop():", "def total(items):", "def price(item):"],
        bodies=["return left + right", "return open(path).read()", "", "for item in items: total += item", "return 1"],
    )


@pytest.fixture(scope="session")
def make_teacher() -> Callable[..., FrozenTeacher]:
    def make(path: Path | str, **changes: Any) -> FrozenTeacher:
        arguments: dict[str, Any] = {
            "name": "tiny",
            "path": str(path),
            "pool_special_tokens": False,
            "max_signature_tokens": 16,
            "max_body_tokens": 32,
            "tokens_per_batch": 64,
            "storage_dtype": "float32",
        }
        return FrozenTeacher(**(arguments | changes))

    return make
