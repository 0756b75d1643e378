import torch

from sigjepa.data.batch import Batch
from sigjepa.data.targets import owners_of
from sigjepa.data.views import View
from sigjepa.models.prediction import Prediction
from sigjepa.training.evaluation_pass import concatenate_evaluations, evaluation


def test_a_student_with_words_tells_apart_bodies_that_the_teacher_cut_to_one_vector():
    """Predictions of functions 9, 7, 5 and 3 have the words of their own body alone; 5 and 3 have one body."""
    owners = owners_of(["", "", "", "x = 1", "", "x = 1", "", "cut short", "", "cut shorter"])
    ids, vectors = torch.tensor([9, 7, 5, 3]), torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    words = {"words": View(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]))}
    batch = Batch(ids, vectors[:, None], torch.ones(4, 1, dtype=torch.bool), vectors, body_views=words)
    whole = concatenate_evaluations([evaluation(Prediction(vectors, views=words), batch)])
    ranks = whole.ranks(owners)
    assert whole.ids.tolist() == [3, 5, 7, 9]
    assert ranks.optimistic.tolist() == [1, 1, 1, 1]
    assert ranks.pessimistic.tolist() == [2, 2, 1, 1]
    first = whole.first_bodies(owners)
    assert first.places[:, 0].tolist() == [0, 0, 2, 3]
    assert first.scores[:, -1].tolist() == [1, 1, 1, 1]
