"""Whether the tensors and tokens of a pretrained model fit its architecture, and padding leaves its states alone."""

import inspect
import json
import re
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sigjepa.errors import SigjepaError
from sigjepa.teacher.pretrained import tokenizer_files

POOLER = re.compile(r"(^|\.)pooler\.")
HEAD = re.compile(
    r"(\w*(head|heads|cls|classifier|classification|predictions|pred_layer|pooler|score|outputs|logits\w*|lm_loss|"
    r"embed_out|relationship)|vocab_\w+|decoder)(\.|$)"
)
"""Names of what stands on an encoder to be trained, or to write text; an encoder's own parts are never taken for it."""
SHOWN = 4  # names in an error
TOLERANCES = {torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 8e-2}
"""How far states may differ with their batch, as a share of the largest; half precisions round by batch."""


def encoder_of(model: Any) -> Any:
    """Return the encoder of an encoder-decoder, whatever its config says that it is, and any other model itself."""
    return model.get_encoder() if "decoder_input_ids" in inspect.signature(model.forward).parameters else model


def check_tensors(model: Any, loading_info: Mapping[str, Any], folder: Path, owner: str) -> None:
    """Raise SigjepaError naming the tensors that `encoder_of(model)` needs and did not get, or got and does not take.

    transformers fills in random values for what is missing, and leaves the rest out. A pooler and a head are not used.
    loading_info: what `from_pretrained` returns beside the model.
    """
    encoder = encoder_of(model)
    used = {id(tensor) for tensor in chain(encoder.parameters(), encoder.buffers())}
    named = chain(model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False))
    names = {name for name, tensor in named if id(tensor) in used and not POOLER.search(name)}
    parts = {name.partition(".")[0] for name in names}
    missing = names.intersection(loading_info["missing_keys"])
    unexpected = {
        name
        for name in loading_info["unexpected_keys"]
        if not POOLER.search(name) and (name.partition(".")[0] in parts or not HEAD.match(name))
    }
    sizes = {
        f"{name} ({list(stored)} in the weights, {list(wanted)} by config.json)"
        for name, stored, wanted in loading_info["mismatched_keys"]
        if name in names
    }
    problems = [
        f"{len(tensors)} tensors {what}: {_some(tensors)}"
        for what, tensors in {"missing": missing, "unexpected": unexpected, "of another size": sizes}.items()
        if tensors
    ]
    if problems:
        raise SigjepaError(
            f"The weights in {folder} do not fit its config.json ({type(model).__name__}): {'; '.join(problems)}. "
            f"Save the model itself, without what was wrapped around it, or give {owner}.path another."
        )


def check_tokens(rows: int, tokenizer: Any, folder: Path) -> None:
    """Raise SigjepaError for a tokenizer that has a token beyond the `rows` of the model's embeddings by its files.

    What transformers adds by itself, such as a pad token of the family, passes: hardly a text has it.
    """
    beyond = [token for token, number in tokenizer.get_vocab(with_added_tokens=True).items() if number >= rows]
    if not beyond:
        return
    texts = [file.read_text(encoding="utf-8") for file in tokenizer_files(folder)]
    spelt = {token: {token, json.dumps(token)[1:-1]} for token in beyond}
    listed = [token for token in beyond if any(word in text for word in spelt[token] for text in texts)]
    if listed:
        raise SigjepaError(
            f"The tokenizer in {folder} has {len(listed)} tokens beyond the {rows} that the model has embeddings for: "
            f"{_some(listed)}. Save the tokenizer that the model was trained with, or resize the embeddings."
        )


def check_same_states(alone: Tensor, padded: Tensor, folder: Path, owner: str) -> None:
    """Raise SigjepaError for states of the same tokens `[S, D]` that differ, alone and in a padded batch.

    States that are not finite pass: they are refused by another name.
    """
    if not alone.isfinite().all():
        return
    difference = float((padded.float() - alone.float()).abs().max())
    if not difference <= TOLERANCES[alone.dtype] * max(1.0, float(alone.abs().max())):
        raise SigjepaError(
            f"The states that the model in {folder} gives a text depend on what shares its batch: padded, they differ "
            f"by {difference:.2g}. Set {owner}.padding_side=right, or give {owner}.path another model."
        )


def _some(names: Iterable[str]) -> str:
    """Return the first names in order, each as one printable line, and how many are left out."""
    ordered = sorted(map(repr, names))
    return ", ".join(name[1:-1] for name in ordered[:SHOWN]) + (", …" if len(ordered) > SHOWN else "")
