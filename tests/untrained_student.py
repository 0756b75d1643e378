"""A flagship that was fitted to nothing, a small repository, and the index of both."""

import torch

from sigjepa.corpus.sources.folder import Folder
from sigjepa.lexicon.function_terms import extract_terms
from sigjepa.lexicon.statistics import TrainStatistics
from sigjepa.runtime.compose import compose
from sigjepa.runtime.instantiate import instantiate, plain
from sigjepa.serving.code_search import build_index
from sigjepa.serving.functions import FunctionsStage
from sigjepa.serving.student import Student, StudentConfig
from sigjepa.store.executors.local import Local
from sigjepa.teacher.load import load_teacher

TABLE = '''
def read_rows(path, sep=","):
    """Say nothing."""
    with open(path) as stream:
        return [line.rstrip().split(sep) for line in stream]


def write_rows(path, rows, sep=","):
    with open(path, "w") as stream:
        stream.writelines(sep.join(row) for row in rows)


class Shape:
    @property
    def area(self):
        return self.width * self.height
'''
QUEUE = "def push(queue, item):\n    queue.append(item)\n    return len(queue)\n"


def save_student(folder, seed=0):
    resolved = plain(compose(["experiment=flagship"]))
    torch.manual_seed(seed)
    model = instantiate(resolved["model"], teacher_dim=384)
    teacher = load_teacher("minilm", ["teacher.device=cpu"])
    signatures = ["def read(path):", "def area(self):", "def put(x):", "def get():"]
    terms, _ = extract_terms(signatures, ["return open(path)", "return 1", "self.x = x", "return self.x"])
    if seed:
        for parameter in model.parameters():
            parameter.data += 0.01
    statistics = TrainStatistics.of(terms, ["a", "b", "c", "d"])
    config = StudentConfig(resolved["model"], 384, resolved["teacher"], teacher.fingerprint())
    Student(config, model, teacher, statistics).save_pretrained(folder)


def write_repository(folder):
    """Write two files with four functions."""
    (folder / "tools").mkdir(parents=True)
    (folder / "tools" / "table.py").write_text(TABLE)
    (folder / "queue.py").write_text(QUEUE)


def write_index(folder):
    """Write `repo`, `student` and `my_index` below a folder."""
    write_repository(folder / "repo")
    save_student(folder / "student")
    source = FunctionsStage(Folder([str(folder / "repo")]))
    student = Student.from_pretrained(folder / "student")
    return build_index(folder / "my_index", source, student, folder / "student", Local())
