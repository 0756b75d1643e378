"""Small students with random weights, of every kind that experiments train."""

import functools

import torch

from sigjepa.lexicon.function_terms import extract_terms
from sigjepa.lexicon.statistics import TrainStatistics
from sigjepa.runtime.compose import compose
from sigjepa.runtime.instantiate import instantiate, plain
from sigjepa.serving.student import Student
from sigjepa.serving.student_config import StudentConfig
from sigjepa.teacher.load import load_teacher

SIGNATURES = ["def read(path):", "@property\ndef name(self) -> str:", "def add(left, right=1):"]
BODIES = ["return path.read_text()", "return self._name", "return left + right", "return self._name"]
MODELS = {
    "sig_predictor": ("model=sig_predictor_small", "model.hidden_dim=32", "model.layers=1"),
    "token_predictor": ("model=token_predictor_small", "model.hidden_dim=32", "model.layers=1"),
    "flagship": ("experiment=flagship",),
}


@functools.cache
def minilm():
    """The teacher, loaded once."""
    return load_teacher("minilm", ["teacher.device=cpu"])


def build_student(kind: str, *overrides: str) -> Student:
    """Return a student of a kind, its weights moved from where they begin."""
    resolved = plain(compose([*MODELS[kind], *overrides]))
    torch.manual_seed(0)
    model = instantiate(resolved["model"], teacher_dim=384)
    for parameter in model.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)
    terms, _ = extract_terms(SIGNATURES, BODIES[:3])
    statistics = TrainStatistics.of(terms, ["a", "b", "c"]) if Student.reads_terms(model) else None
    config = StudentConfig(resolved["model"], 384, resolved["teacher"], minilm().fingerprint())
    return Student(config, model, minilm(), statistics, card="# A student\n")
