"""A student's folder opens in sentence-transformers, which ranks as the student does."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from serving_students import BODIES, SIGNATURES, build_student

from sigjepa.data.views import score
from sigjepa.errors import SigjepaError
from sigjepa.evaluation.ranks import score_ranks
from sigjepa.serving.student import Student

if find_spec("sentence_transformers") is None:
    pytest.skip("needs sentence-transformers", allow_module_level=True)


def opened(folder):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), trust_remote_code=True, device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sentences") / "student"
    build_student("sig_predictor").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return opened(folder)


def test_queries_and_documents_are_the_halves_of_a_student(folder, model):
    from sentence_transformers.util import semantic_search

    student = Student.from_pretrained(folder)
    queries, documents = model.encode_query(SIGNATURES), model.encode_document(BODIES)
    expected = score(student.predict(SIGNATURES), student.encode_bodies(BODIES))
    np.testing.assert_allclose(model.similarity(queries, documents), expected, atol=1e-5)
    hits = semantic_search(queries, documents, top_k=1)
    assert [hit["corpus_id"] for (hit,) in hits] == expected.argmax(dim=1).tolist()
    assert model.get_embedding_dimension() == queries.shape[1] == 384
    assert type(model[0]).__name__ == "Router"


def test_its_evaluator_finds_equal_ranks(folder, model):
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    student = Student.from_pretrained(folder)
    bodies = BODIES[:3]
    names = [str(number) for number in range(3)]
    evaluator = InformationRetrievalEvaluator(
        queries=dict(zip(names, SIGNATURES, strict=True)),
        corpus=dict(zip(names, bodies, strict=True)),
        relevant_docs={name: {name} for name in names},
        accuracy_at_k=[1, 2],
    )
    measured = evaluator(model)
    ranks = score_ranks(score(student.predict(SIGNATURES), student.encode_bodies(bodies)))
    for k in (1, 2):
        assert measured[f"dot_accuracy@{k}"] == pytest.approx(ranks.recall_at(k).mean())


def test_what_it_saves_is_a_student(model, folder, tmp_path):
    model.save_pretrained(str(tmp_path / "saved"))
    assert Student.from_pretrained(tmp_path / "saved").fingerprint == Student.from_pretrained(folder).fingerprint
    again = opened(tmp_path / "saved")
    np.testing.assert_array_equal(again.encode_query(SIGNATURES), model.encode_query(SIGNATURES))


def test_views_of_vectors_and_constants_are_one_product(tmp_path):
    off = [f"model.parts.{name}=null" for name in ("words", "own_name", "free_names")]
    student = build_student("flagship", *off)
    student.save_pretrained(tmp_path)
    model = opened(tmp_path)
    expected = score(student.predict(SIGNATURES), student.encode_bodies(BODIES))
    product = torch.from_numpy(model.encode_query(SIGNATURES) @ model.encode_document(BODIES).T)
    torch.testing.assert_close(product, expected, rtol=1e-4, atol=1e-4)


def test_a_student_of_words_says_that_it_has_no_single_vector(tmp_path):
    build_student("flagship").save_pretrained(tmp_path)
    with pytest.raises(SigjepaError, match=r"words.*sigjepa\.Student"):
        opened(tmp_path)
