"""BERT of torch's own layers: transformers' states up to rounding, without the seconds that its models take to import.

Only what is plainly a BERT in the form of today is read so; of anything else `bert_network` returns None.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from sigjepa.teacher.backbone import Network, available_device
from sigjepa.teacher.batching import PaddedBatch
from sigjepa.teacher.pretrained import WEIGHT_NAMES, Checkpoint

SETTINGS = {
    **{"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"},
    **{"is_decoder": False, "add_cross_attention": False},
}
"""What `config.json` must say, where it says it."""
LAYER = {
    "self_attn.out_proj": "attention.output.dense",
    **{"norm1": "attention.output.LayerNorm", "norm2": "output.LayerNorm"},
    **{"linear1": "intermediate.dense", "linear2": "output.dense"},
}
"""Torch's names of the parts of a layer, and BERT's; the projections of attention are one matrix here."""
WORD_PIECE = {
    **{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##"},
    "max_input_chars_per_word": 100,
}
SPECIAL = {name: f"[{name.upper()}]" for name in ("unk", "sep", "pad", "cls", "mask")}


class BertEncoder(nn.Module):
    """BERT without a pooler. config: of its `config.json`. tensors: of its weights; raises KeyError for others."""

    word: Tensor
    position: Tensor
    token_type: Tensor

    def __init__(self, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        dim, epsilon = config["hidden_size"], config["layer_norm_eps"]
        for name in ("word", "position", "token_type"):
            self.register_buffer(name, tensors[f"embeddings.{name}_embeddings.weight"], persistent=False)
        with torch.device("meta"):  # nothing is drawn that is replaced at once
            self.norm = nn.LayerNorm(dim, epsilon)
            sizes = config["num_attention_heads"], config["intermediate_size"]
            layer = nn.TransformerEncoderLayer(dim, *sizes, 0.0, "gelu", epsilon, batch_first=True)
            self.layers = nn.TransformerEncoder(layer, config["num_hidden_layers"], enable_nested_tensor=False)
        state = {}
        for kind in ("weight", "bias"):
            state[f"norm.{kind}"] = tensors[f"embeddings.LayerNorm.{kind}"]
            for number in range(config["num_hidden_layers"]):
                ours, theirs = f"layers.layers.{number}.", f"encoder.layer.{number}."
                projections = [tensors[f"{theirs}attention.self.{name}.{kind}"] for name in ("query", "key", "value")]
                state[f"{ours}self_attn.in_proj_{kind}"] = torch.cat(projections)
                state |= {f"{ours}{name}.{kind}": tensors[f"{theirs}{part}.{kind}"] for name, part in LAYER.items()}
        self.load_state_dict(state, assign=True)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the last hidden states `[B, S, D]` of texts `[B, S]` that are padded on the right."""
        positions = self.position[: tokens.shape[1]]
        embedded = self.norm(F.embedding(tokens, self.word) + self.token_type[0] + positions)
        padding = None if bool(mask.all()) else mask == 0
        states: Tensor = self.layers(embedded, src_key_padding_mask=padding)
        return states


class BertNetwork(Network):
    """A `Network` of `BertEncoder`."""

    def __init__(self, folder: Path, encoder: BertEncoder, tokenizer: Tokenizer, device: torch.device) -> None:
        self.folder, self.device = folder, device
        self.model = encoder.requires_grad_(False).eval().to(device)
        self.tokenizer = tokenizer
        self.padding_side = "right"
        self.pad_token = int(tokenizer.token_to_id(SPECIAL["pad"]) or 0)
        self._rows, self.max_positions = len(encoder.word), len(encoder.position)

    def try_out(self, layer: int, longest: int) -> int:
        """Return the size D of a state: what else the base class tries out is known of a BERT."""
        return int(self.model.word.shape[1])

    @torch.inference_mode()
    def kept_states(self, batch: PaddedBatch, layer: int) -> Tensor:
        """Return the hidden states of the batch's kept tokens `[ΣS, D]`; layer: -1."""
        states = self.model(self.tensor(batch.tokens), self.tensor(batch.mask))
        return states.flatten(0, 1).index_select(0, self.tensor(batch.kept))


def bert_network(checkpoint: Checkpoint, dtype: torch.dtype, layer: int, device: str) -> BertNetwork | None:
    """Return the network of a checkpoint that is a BERT; None of another, and where not its last layer is asked for.

    Raises SigjepaError for a device that can't be used, and for weights that are not the expected ones.
    """
    folder = checkpoint.folder
    files = [folder / name for name in ("config.json", "tokenizer_config.json", "tokenizer.json")]
    weights = folder / WEIGHT_NAMES[0]
    if layer != -1 or dtype != torch.float32 or not all(path.is_file() for path in (*files, weights)):
        return None
    try:
        config, settings, tokens = (json.loads(path.read_text(encoding="utf-8")) for path in files)
        if not (_is_bert(config) and _is_of_bert(settings, tokens)):
            return None
        checkpoint.verify_weights()
        encoder = BertEncoder(config, load_file(weights))
    except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError):
        return None  # transformers says what is wrong
    if encoder.word.shape != (config["vocab_size"], config["hidden_size"]) or len(encoder.word) <= max(
        tokens["model"]["vocab"].values()
    ):
        return None
    tokenizer = Tokenizer.from_file(str(files[-1]))
    tokenizer.no_padding()
    return BertNetwork(folder, encoder, tokenizer, available_device(device))


def _is_bert(config: Mapping[str, Any]) -> bool:
    return config["model_type"] == "bert" and all(config.get(key, value) == value for key, value in SETTINGS.items())


def _is_of_bert(settings: Mapping[str, Any], tokens: Mapping[str, Any]) -> bool:
    """Return whether transformers, which builds a BERT's tokenizer anew of its settings, builds what the file has."""
    normalizer = {
        **{"type": "BertNormalizer", "clean_text": True, "strip_accents": settings.get("strip_accents")},
        "handle_chinese_chars": settings.get("tokenize_chinese_chars", True),
        "lowercase": settings.get("do_lower_case", True),
    }
    model = {name: value for name, value in tokens["model"].items() if name != "vocab"}
    shown = [{"SpecialToken": {"id": SPECIAL["cls"], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    shown.append({"SpecialToken": {"id": SPECIAL["sep"], "type_id": 0}})
    return (
        settings.get("tokenizer_class") in ("BertTokenizer", "BertTokenizerFast")
        and all(settings.get(f"{name}_token", token) == token for name, token in SPECIAL.items())
        and sorted(each["content"] for each in tokens["added_tokens"]) == sorted(SPECIAL.values())
        and tokens["normalizer"] == normalizer
        and tokens["pre_tokenizer"] == {"type": "BertPreTokenizer"}
        and tokens["post_processor"]["single"] == shown
        and model == WORD_PIECE
    )
