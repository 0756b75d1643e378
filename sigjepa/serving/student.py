"""A trained student, put to use: predictions of signatures, and the same views of bodies."""

import copy
import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sigjepa.data.batch import Terms, pad_states
from sigjepa.data.terms import BODY_TABLES, SIGNATURE_TABLES, TermTensors
from sigjepa.data.views import TermRows, View, Views, concatenate_views, pooled_views, take_views
from sigjepa.errors import SigjepaError
from sigjepa.lexicon.features import build_features
from sigjepa.lexicon.function_terms import extract_terms
from sigjepa.lexicon.stage import FORMAT as LEXICON_FORMAT
from sigjepa.lexicon.statistics import TrainStatistics
from sigjepa.models.student import INPUTS, BodyEncoder
from sigjepa.runtime.attention import attention_of_any_shape
from sigjepa.runtime.instantiate import instantiate
from sigjepa.serving.hub import upload
from sigjepa.serving.sentence_layout import write_layout
from sigjepa.serving.student_config import StudentConfig, check_same_teacher, load_tensors
from sigjepa.serving.student_files import CONFIG_FILE, find_student, read_card, read_student, write_student
from sigjepa.store.manifest import content_key
from sigjepa.teacher.backbone import available_device
from sigjepa.teacher.encoder import FrozenTeacher, check_texts

BLOCK, BATCH = 1024, 256
"""Texts embedded at a time, and signatures predicted at a time."""
READABLE = (*INPUTS, "signature_pooled", "signature_terms")


class Student:
    """Predicts views of bodies from signatures, and gives bodies the same views; `data.views.score` compares them.

    config: what it is. model: it is copied, in full precision. teacher: what it reads texts with. statistics: of the
    train split, for a model that reads terms. device: of the model. card: its model card.

    Raises SigjepaError for a model that reads what only training has.
    """

    def __init__(
        self,
        config: StudentConfig,
        model: nn.Module,
        teacher: FrozenTeacher,
        statistics: TrainStatistics | None = None,
        device: str = "cpu",
        card: str = "",
    ) -> None:
        self.reads: Sequence[str] = getattr(model, "reads", INPUTS)
        if unknown := [name for name in self.reads if name not in READABLE]:
            raise SigjepaError(
                f"The student {type(model).__name__} reads {', '.join(unknown)}, which a signature does not have; let "
                f"it read of {', '.join(READABLE)} alone."
            )
        if self.reads_terms(model) and statistics is None:
            raise SigjepaError(f"The student {type(model).__name__} reads terms, and no statistics of train are given.")
        self.config = config
        self.model = copy.deepcopy(model).float().eval().requires_grad_(False).to(available_device(device, "student"))
        self.teacher = teacher
        self.statistics = statistics
        self.card = card

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return next(chain(self.model.parameters(), self.model.buffers())).device

    @staticmethod
    def reads_terms(model: nn.Module) -> bool:
        """Return whether a model reads terms of the lexicon."""
        return "signature_terms" in getattr(model, "reads", ()) or isinstance(model, BodyEncoder)

    @classmethod
    def from_pretrained(
        cls,
        folder_or_hub_id: str | Path,
        *,
        teacher: FrozenTeacher | str | None = None,
        device: str = "cpu",
        check_teacher: bool = True,
        allowed_targets: Sequence[str] = (),
    ) -> "Student":
        """Return the student of a folder, of a run directory, or of the Hugging Face Hub; nothing is unpickled.

        teacher: where its files lie here, or a teacher instead of the one that the student names. device: auto (CUDA
        when there is one), cpu, cuda, cuda:1. check_teacher: whether one that it was not trained with is refused.
        allowed_targets: prefixes of packages of your own that its model may come from. Raises SigjepaError for a folder
        that is no student or another one than was written, and for a teacher that is not its own.
        """
        folder = find_student(folder_or_hub_id)
        content, tensors, arrays = read_student(folder)
        config = StudentConfig.of(content, folder / CONFIG_FILE)
        model = instantiate(dict(config.model), allowed_targets, teacher_dim=config.teacher_dim)
        load_tensors(model, tensors, folder)
        if not isinstance(teacher, FrozenTeacher):
            moved = {} if teacher is None else {"path": str(teacher)}
            teacher = instantiate({**config.teacher, **moved, "device": device}, allowed_targets)
        assert isinstance(teacher, FrozenTeacher), "a config names it"
        if check_teacher:
            check_same_teacher(teacher, config, folder)
        statistics = TrainStatistics.from_arrays(arrays) if arrays else None
        return cls(config, model, teacher, statistics, device, read_card(folder))

    @property
    def fingerprint(self) -> str:
        """Identifies what it predicts: its tensors, statistics, class and arguments, the teacher that encodes, and how
        terms are read where it reads any.

        Raises SigjepaError for a teacher whose files are not there.
        """
        digest = hashlib.sha256()
        teacher = self.teacher.fingerprint()  # not the config's, which `check_teacher=False` may pass over
        config: dict[str, Any] = {
            "model": self.config.model,
            "teacher": {key: teacher.get(key) for key in self.config.teacher_identity},
        }
        if self.statistics is not None:  # Python's version is not in it: it changes what texts it can't parse give
            config["lexicon_format"] = LEXICON_FORMAT
        digest.update(content_key(config).encode())
        arrays = {name: tensor.numpy() for name, tensor in self._tensors().items()} | self._arrays()
        for name, array in sorted(arrays.items()):
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return f"sha256:{digest.hexdigest()}"

    @torch.no_grad()
    def predict(
        self,
        signatures: Sequence[str],
        advance: Callable[[int], object] | None = None,
        *,
        tokens_per_batch: int | None = None,
    ) -> Views:
        """Return the views of the bodies that signatures promise, each of its signature alone, on the CPU.

        A signature is written as in source code, with decorators and the colon. advance: called with the number of
        signatures done, for a progress bar. tokens_per_batch: of the teacher, see `FrozenTeacher.encode`. Raises
        SigjepaError for one that is empty, and as `check_texts` does.
        """
        check_texts(signatures, "signature")
        if (empty := next((place for place, text in enumerate(signatures) if not text.strip()), None)) is not None:
            raise SigjepaError(f"Signature {empty} is empty: write one as in source code, such as 'def read(path):'.")
        return self._in_blocks(signatures, partial(self._predict, tokens_per_batch=tokens_per_batch), advance)

    @torch.no_grad()
    def encode_bodies(self, bodies: Sequence[str], advance: Callable[[int], object] | None = None) -> Views:
        """Return the same views of bodies: statements after the docstring, dedented. Equal bodies have equal views.

        Raises SigjepaError as `check_texts` does.
        """
        check_texts(bodies, "body")
        first: dict[str, int] = {}
        owners = [first.setdefault(body, len(first)) for body in bodies]
        views = self._in_blocks(list(first), self._encode_bodies, advance)
        return take_views(views, torch.tensor(owners, dtype=torch.int64)) if len(first) < len(bodies) else views

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the student's folder, which `from_pretrained` and sentence-transformers read."""
        self.write(Path(folder))
        write_layout(Path(folder))

    def write(self, folder: Path) -> None:
        """Write what `from_pretrained` reads."""
        write_student(folder, asdict(self.config), self._tensors(), self._arrays(), self.card)

    def push_to_hub(self, repo_id: str, *, private: bool | None = None, token: str | None = None) -> str:
        """Upload the student's folder to a repository of the Hugging Face Hub, made where there is none; its address.

        Of a teacher that lies in a folder here, the name of the folder is kept alone. Raises SigjepaError for what the
        Hub refuses, and when it can't be reached.
        """
        teacher = dict(self.config.teacher)
        if Path(str(teacher["path"])).expanduser().is_dir():
            teacher["path"] = Path(str(teacher["path"])).name
        config = replace(self.config, teacher=teacher)
        with tempfile.TemporaryDirectory() as folder:
            Student(config, self.model, self.teacher, self.statistics, card=self.card).save_pretrained(folder)
            return upload(Path(folder), repo_id, private, token)

    @torch.no_grad()
    def example_views(self) -> tuple[Views, Views]:
        """Return views of a signature and of a body that nobody wrote, without asking the teacher: what they are."""
        dim = self.config.teacher_dim
        given: dict[str, Any] = {
            "body_positions": 0,
            "signature_pooled": torch.zeros(1, dim),
            "signature_states": torch.zeros(1, 1, dim),
            "signature_mask": torch.ones(1, 1, dtype=torch.bool),
        }
        if "signature_terms" in self.reads:
            given["signature_terms"] = self._terms(["def f(x):"], "signature")
        return self._views(given), self._views_of_bodies(torch.zeros(1, dim), ["return x"])

    def _in_blocks(
        self,
        texts: Sequence[str],
        views_of: Callable[[Sequence[str]], Views],
        advance: Callable[[int], object] | None,
    ) -> Views:
        if not len(texts):
            return take_views(views_of(["def f(): pass"]), torch.empty(0, dtype=torch.int64))
        parts = []
        for start in range(0, len(texts), BLOCK):
            block = texts[start : start + BLOCK]
            parts.append(views_of(block))
            if advance is not None:
                advance(len(block))
        return concatenate_views(parts) if len(parts) > 1 else parts[0]

    def _predict(self, signatures: Sequence[str], tokens_per_batch: int | None) -> Views:
        encoded = self.teacher.encode(
            signatures,
            self.teacher.max_signature_tokens,
            keep_states="signature_states" in self.reads,
            tokens_per_batch=tokens_per_batch,
        )
        given: dict[str, Any] = {"body_positions": 0, "signature_pooled": encoded.pooled}
        if "signature_terms" in self.reads:
            given["signature_terms"] = self._terms(signatures, "signature")
        if encoded.states is None:
            return self._views(given)
        lengths = encoded.offsets.diff()
        order = torch.argsort(lengths, stable=True)  # little of a batch is padding
        states = torch.split(encoded.states, lengths.tolist())
        parts = []
        for rows in order.split(BATCH):
            some = {name: _take(value, rows) for name, value in given.items()}
            padded, mask = pad_states([states[row] for row in rows])
            parts.append(self._views(some | {"signature_states": padded, "signature_mask": mask}))
        return take_views(concatenate_views(parts), torch.argsort(order))

    def _views(self, given: Mapping[str, Any]) -> Views:
        with attention_of_any_shape():
            views = self.model(*(to_device(given[name], self.device) for name in self.reads)).scored_views()
        return to_device(views, torch.device("cpu"))

    def _encode_bodies(self, bodies: Sequence[str]) -> Views:
        pooled = self.teacher.encode(bodies, self.teacher.max_body_tokens, keep_states=False).pooled
        return self._views_of_bodies(pooled, bodies)

    def _views_of_bodies(self, pooled: Tensor, bodies: Sequence[str]) -> Views:
        if not isinstance(self.model, BodyEncoder):
            return pooled_views(pooled)
        views = self.model.body_views(*to_device((pooled, self._terms(bodies, "body")), self.device))
        return to_device(views, torch.device("cpu"))

    def _terms(self, texts: Sequence[str], half: str) -> Terms:
        """Return the terms of one half, with the statistics of train."""
        assert self.statistics is not None, "a model that reads terms has statistics"
        nothing = [""] * len(texts)
        terms, _ = extract_terms(*((texts, nothing) if half == "signature" else (nothing, texts)))
        tables = TermTensors(build_features(terms, None, self.statistics)).tables
        return {name: tables[name] for name in (SIGNATURE_TABLES if half == "signature" else BODY_TABLES)}

    def _tensors(self) -> dict[str, Tensor]:
        return {name: tensor.cpu() for name, tensor in self.model.state_dict().items()}

    def _arrays(self) -> dict[str, np.ndarray]:
        return {} if self.statistics is None else self.statistics.arrays()


def _take(value: Any, rows: Tensor) -> Any:
    """Return some rows of a tensor, or of terms."""
    if isinstance(value, Mapping):
        return {name: table.take(rows) for name, table in value.items()}
    return value[rows] if isinstance(value, Tensor) else value


def to_device(value: Any, device: torch.device) -> Any:
    """Return tensors, views or terms on a device, and any other value as it is."""
    if isinstance(value, Tensor):
        return value if value.device == device else value.to(device)
    if isinstance(value, Mapping):
        return {name: to_device(each, device) for name, each in value.items()}
    if isinstance(value, tuple):
        return tuple(to_device(each, device) for each in value)
    if isinstance(value, View | TermRows):
        return type(value)(**{each.name: to_device(getattr(value, each.name), device) for each in fields(value)})
    return value
