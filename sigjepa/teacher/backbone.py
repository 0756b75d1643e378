"""A pretrained model and its tokenizer, loaded, frozen and on a device."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from sigjepa.errors import SigjepaError
from sigjepa.store.progress import stage
from sigjepa.teacher.batching import PaddedBatch, PaddingSide, TokenSequences
from sigjepa.teacher.pretrained import Checkpoint


class Network:
    """The model that `FrozenTeacher` loads on first use.

    Args:
        checkpoint: where the files are.
        dtype: precision of the model.
        padding_side: left or right; None leaves it to the tokenizer.
        device: auto (CUDA when there is one), cpu, cuda, cuda:1, ...

    Raises SigjepaError when there is no such device, or when the files cannot be loaded.
    """

    def __init__(
        self, checkpoint: Checkpoint, dtype: torch.dtype, padding_side: PaddingSide | None, device: str
    ) -> None:
        self.device = available_device(device)
        folder = checkpoint.folder
        checkpoint.verify_weights()
        with loading(folder):
            from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415  seconds to import

            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model = AutoModel.from_pretrained(folder, dtype=dtype, trust_remote_code=False)
        if not tokenizer.is_fast:
            raise SigjepaError(f"{folder} has a slow tokenizer; save it as tokenizer.json (a fast one) beside it.")
        if model.config.is_encoder_decoder:
            model = model.get_encoder()
        self.model = model.requires_grad_(False).eval().to(self.device)
        self.tokenizer = tokenizer.backend_tokenizer
        self.tokenizer.no_padding()
        self.padding_side: PaddingSide = padding_side or ("left" if tokenizer.padding_side == "left" else "right")
        self.pad_token: int = tokenizer.pad_token_id or 0  # any token will do: it is masked
        # The RoBERTa family derives positions from the pad token and counts from beyond it; it must not be told.
        padding_index = getattr(getattr(model, "embeddings", None), "padding_idx", None)
        accepted = inspect.signature(model.forward).parameters
        self.takes_positions = "position_ids" in accepted and padding_index is None
        self.takes_cache = "use_cache" in accepted
        positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self.max_positions = positions - padding_index - 1 if positions and padding_index is not None else positions

    def tokenize(self, texts: Sequence[str], max_tokens: int, *, keep_special: bool) -> TokenSequences:
        """Cut `texts` into tokens, each at most `max_tokens` long with its special tokens."""
        special_tokens = self.tokenizer.num_special_tokens_to_add(is_pair=False)
        if max_tokens <= special_tokens:
            raise SigjepaError(
                f"A limit of {max_tokens} tokens leaves no room beside the {special_tokens} special tokens; "
                "raise teacher.max_signature_tokens and teacher.max_body_tokens."
            )
        self.tokenizer.enable_truncation(max_tokens)
        encodings = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=True)
        lengths = np.fromiter(map(len, encodings), np.int64, len(encodings))
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        tokens = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int64, offsets[-1])
        if keep_special:
            kept = np.ones(len(tokens), dtype=bool)
        else:
            special = chain.from_iterable(encoding.special_tokens_mask for encoding in encodings)
            kept = np.fromiter(special, np.int64, len(tokens)) == 0
        # Only a text that reached the limit can have lost something.
        truncated = sum(bool(encodings[text].overflowing) for text in np.flatnonzero(lengths == max_tokens))
        return TokenSequences(tokens, kept, offsets, truncated)

    @torch.inference_mode()
    def kept_states(self, batch: PaddedBatch, layer: int) -> Tensor:
        """Return the hidden states of the batch's kept tokens `[ΣS, D]`, in the model's precision."""
        arguments: dict[str, Any] = {
            "input_ids": self.tensor(batch.tokens),
            "attention_mask": self.tensor(batch.mask),
            "return_dict": True,
        }
        if self.takes_positions:
            arguments["position_ids"] = self.tensor(batch.positions)
        if self.takes_cache:
            arguments["use_cache"] = False
        if layer == -1:
            states = self.model(**arguments).last_hidden_state
        else:
            states = self.model(**arguments, output_hidden_states=True).hidden_states[layer]
        return states.flatten(0, 1).index_select(0, self.tensor(batch.kept))

    def tensor(self, array: np.ndarray) -> Tensor:
        """Return `array` as a tensor on the model's device."""
        return torch.from_numpy(array).to(self.device, non_blocking=True)


def load_config(folder: Path) -> Any:
    """Return the transformers configuration in `folder`; no weights are read. Raises SigjepaError when it is not
    one.
    """
    with loading(folder):
        from transformers import AutoConfig  # noqa: PLC0415  seconds to import

        return AutoConfig.from_pretrained(folder, trust_remote_code=False)


def state_size(config: Any) -> int:
    """Return the size D of a state of the model that `config` (a transformers configuration) describes."""
    return int(config.get_text_config().hidden_size)


def available_device(name: str, owner: str = "teacher") -> torch.device:
    """Return the device of that name; raises SigjepaError, which calls the key `<owner>.device`, when it can't be
    used.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SigjepaError(f"{owner}.device={name} is not a device; use auto, cpu, cuda or cuda:<index>.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SigjepaError(
            f"{owner}.device={name}, but this machine has {torch.cuda.device_count()} CUDA devices that torch can use; "
            f"set {owner}.device=auto."
        )
    return device


@contextmanager
def loading(folder: Path, owner: str = "teacher") -> Iterator[None]:
    """Turn what transformers raises on unusable files into one message, and keep its bars and reports quiet."""
    from transformers.utils import logging  # noqa: PLC0415

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with stage(f"Loading {folder.name}"):
            yield
    except UnpicklingError:  # what it says is how to have the pickle run
        raise SigjepaError(
            f"{folder} has weights that hold more than tensors, which are not opened; save them as model.safetensors, "
            f"or give {owner}.path another model."
        ) from None
    except (OSError, ValueError, SafetensorError) as error:
        raise SigjepaError(
            f"{folder} cannot be loaded by transformers ({error}). {owner}.path must hold a whole model whose type "
            "transformers knows; one that needs code of its own is not run."
        ) from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
