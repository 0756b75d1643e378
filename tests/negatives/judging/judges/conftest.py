"""A chat-completions server with a judge that asks it, and tiny random causal models with tokenizers of their own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from chat_server import MODEL, chat_server
from chat_tokenizer import TEMPLATE, save_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

from sigjepa.negatives.judging.judges.openai_judge import OpenAIJudge


@pytest.fixture
def server():
    with chat_server() as running:
        yield running


@pytest.fixture
def judge(server):
    def make(**changes):
        arguments = {"base_url": server.url, "model": MODEL, "timeout": 2.0, "max_retries": 2, "concurrency": 4}
        return OpenAIJudge(**(arguments | changes))

    return make


@pytest.fixture(scope="session")
def save_qwen(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Save a random rotary decoder, with a chat template unless told otherwise."""

    def save(template: str = TEMPLATE, **tokenizer: Any) -> Path:
        folder = tmp_path_factory.mktemp("qwen")
        vocabulary = save_tokenizer(folder, template, **tokenizer)
        torch.manual_seed(0)
        config = Qwen2Config(
            vocab_size=vocabulary,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            initializer_range=0.6,  # large, so that positions, attention and the code matter
            eos_token_id=3,
            pad_token_id=0,
        )
        Qwen2ForCausalLM(config).save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="session")
def qwen(save_qwen: Callable[..., Path]) -> Path:
    return save_qwen()


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a random decoder with learned positions and without a chat template."""
    folder = tmp_path_factory.mktemp("gpt2")
    vocabulary = save_tokenizer(folder, None)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=vocabulary, n_positions=2048, n_embd=32, n_layer=2, n_head=4, initializer_range=0.4, eos_token_id=3
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder
