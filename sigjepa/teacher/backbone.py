"""A pretrained model and its tokenizer, loaded, frozen and on a device."""

import inspect
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sigjepa.errors import SigjepaError
from sigjepa.runtime.attention import attention_of_any_shape
from sigjepa.runtime.slow_precision import warn_of_slow_bfloat16
from sigjepa.store.progress import stage
from sigjepa.teacher.batching import PaddedBatch, PaddingSide, TokenSequences, pad
from sigjepa.teacher.fit import check_same_states, check_tensors, check_tokens, encoder_of
from sigjepa.teacher.pretrained import Checkpoint

PROBES = ("x = 1", "def add(left, right):\n    return left + right")
MAX_REASON = 600  # characters of what transformers says


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
        self.folder = checkpoint.folder
        if dtype == torch.bfloat16:
            warn_of_slow_bfloat16("teacher.dtype=bfloat16", "teacher.dtype=float32", self.device)
        tokenizer, model = load_pretrained(checkpoint, "AutoModel", dtype)
        self.model = encoder_of(model).requires_grad_(False).eval().to(self.device)
        self.tokenizer = tokenizer.backend_tokenizer
        self.tokenizer.no_padding()
        self._tokenizer_lock = threading.Lock()  # the limit is a setting of the tokenizer, the same for all threads
        self._rows = embedding_rows(model)
        pad_token = tokenizer.pad_token_id or 0  # any token will do: it is masked
        self.pad_token: int = pad_token if pad_token < self._rows else 0
        self._unknown: int | None = tokenizer.unk_token_id
        # The RoBERTa family derives positions from the pad token and counts from beyond it; it must not be told.
        padding_index = getattr(getattr(self.model, "embeddings", None), "padding_idx", None)
        accepted = inspect.signature(self.model.forward).parameters
        self.takes_positions = "position_ids" in accepted and padding_index is None
        self.takes_cache = "use_cache" in accepted
        # What can't be told positions counts columns, or what is not the pad token: right only without pads before it.
        wanted = padding_side or ("left" if tokenizer.padding_side == "left" else "right")
        self.padding_side: PaddingSide = wanted if self.takes_positions else "right"
        positions = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        self.max_positions: int | None = positions if positions and positions > 0 else None  # XLNet says -1: no limit
        if self.max_positions and padding_index is not None:
            self.max_positions -= padding_index + 1

    def try_out(self, layer: int, longest: int) -> int:
        """Return the size D of a state, after short texts were encoded alone, as transformers does it, and in a batch.

        longest: length limit of a text in tokens. Raises SigjepaError for a layer that the model does not have, for
        states that depend on the batch, a tokenizer that finds nothing in Python, and any error of the model.
        """
        sequences = self.tokenize(PROBES, min(longest, self.max_positions or longest), keep_special=False)
        texts = np.flatnonzero(sequences.lengths)
        if (sequences.tokens[sequences.kept] == self._unknown).all():  # or there are none
            raise SigjepaError(
                f"The tokenizer in {self.folder} knows no part of {PROBES[0]!r}; save its whole vocabulary."
            )
        with loading_errors(self.folder), torch.inference_mode():
            alone = []
            for text in texts:
                place = slice(sequences.offsets[text], sequences.offsets[text + 1])
                tokens, kept = self.tensor(sequences.tokens[place]), self.tensor(sequences.kept[place])
                output = self.model(input_ids=tokens[None], output_hidden_states=True, return_dict=True)
                layers = len(output.hidden_states) - 1
                if not -layers - 1 <= layer <= layers:
                    raise SigjepaError(
                        f"teacher.layer={layer}, but the model has {layers} layers: -1 is the last, 0 the embeddings."
                    )
                states = output.last_hidden_state if layer == -1 else output.hidden_states[layer]
                alone.append(states[0, kept])
            batch = pad(sequences, texts, self.padding_side, self.pad_token)
            check_same_states(torch.cat(alone), self.kept_states(batch, layer), self.folder, "teacher")
            if self.max_positions is None:  # then a limit may show only here
                long = np.resize(sequences.tokens, longest)
                longest_text = TokenSequences(long, np.ones(longest, dtype=bool), np.array([0, longest]), 0)
                self.kept_states(pad(longest_text, np.array([0]), self.padding_side, self.pad_token), layer)
        return alone[0].shape[-1]

    def tokenize(self, texts: Sequence[str], max_tokens: int, *, keep_special: bool) -> TokenSequences:
        """Cut `texts` into tokens, each at most `max_tokens` long with its special tokens."""
        special_tokens = self.tokenizer.num_special_tokens_to_add(is_pair=False)
        if max_tokens <= special_tokens:
            raise SigjepaError(
                f"A limit of {max_tokens} tokens leaves no room beside the {special_tokens} special tokens; "
                "raise teacher.max_signature_tokens and teacher.max_body_tokens."
            )
        # it may lack what it needs for a piece that it does not know
        with self._tokenizer_lock, loading_errors(self.folder):
            self.tokenizer.enable_truncation(max_tokens)
            encodings = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=True)
        lengths = np.fromiter(map(len, encodings), np.int64, len(encodings))
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        tokens = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int64, offsets[-1])
        if tokens.max(initial=0) >= self._rows:
            token = self.tokenizer.id_to_token(int(tokens.max()))
            raise SigjepaError(
                f"A text has the token {token!r}, for which the model in {self.folder} has no embedding."
            )
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
        with attention_of_any_shape():
            if layer == -1:
                states = self.model(**arguments).last_hidden_state
            else:
                states = self.model(**arguments, output_hidden_states=True).hidden_states[layer]
        return states.flatten(0, 1).index_select(0, self.tensor(batch.kept))

    def tensor(self, array: np.ndarray) -> Tensor:
        """Return `array` as a tensor on the model's device."""
        return torch.from_numpy(array).to(self.device, non_blocking=True)


def load_pretrained(checkpoint: Checkpoint, auto_class: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Return tokenizer and model of a checkpoint, as the auto class of transformers of that name gives them.

    Raises SigjepaError for files that can't be loaded, weights that are not the expected ones or do not fit the
    architecture, a slow tokenizer, and one with tokens that the model does not know.
    """
    folder, owner = checkpoint.folder, checkpoint.owner
    checkpoint.verify_weights()
    with loading(folder, owner):
        import transformers  # noqa: PLC0415  seconds to import

        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        if not tokenizer.is_fast:
            raise SigjepaError(f"{folder} has a slow tokenizer; save it as tokenizer.json (a fast one) beside it.")
        model, info = getattr(transformers, auto_class).from_pretrained(
            folder,
            dtype=dtype,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are named here
        )
        check_tensors(model, info, folder, owner)
        check_tokens(embedding_rows(model), tokenizer.backend_tokenizer, folder)
    return tokenizer, model


def embedding_rows(model: Any) -> int:
    """Return how many tokens a model knows."""
    return int(model.get_input_embeddings().weight.shape[0])


def state_size(folder: Path) -> int:
    """Return the size D of a state by the configuration in `folder`; no weights are read.

    Raises SigjepaError when it is no configuration of transformers.
    """
    with loading(folder):
        from transformers import AutoConfig  # noqa: PLC0415  seconds to import

        return int(AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config().hidden_size)


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
        with stage(f"Loading {folder.name}"), loading_errors(folder, owner):
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def loading_errors(folder: Path, owner: str = "teacher") -> Iterator[None]:
    """Turn what transformers raises into one message that names the folder."""
    try:
        yield
    except (SigjepaError, torch.OutOfMemoryError):
        raise
    except UnpicklingError:  # what it says is how to have the pickle run
        raise SigjepaError(
            f"{folder} has weights that hold more than tensors, which are not opened; save them as model.safetensors, "
            f"or give {owner}.path another model."
        ) from None
    except Exception as error:  # a stranger's files can have any line of transformers raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_REASON]
        raise SigjepaError(
            f"{folder} cannot be used by transformers ({reason}). {owner}.path must hold a whole model whose type "
            "transformers knows; one that needs code of its own is not run."
        ) from error
