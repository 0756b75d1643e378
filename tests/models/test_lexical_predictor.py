"""The parts of the lexical student on real functions, against their formulas one pair at a time."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from lightning.fabric.utilities import move_data_to_device
from torch.nn import functional as F

from sigjepa.corpus.identifiers import split_identifier
from sigjepa.data.batch import Halves
from sigjepa.data.terms import TermTensors
from sigjepa.data.views import TermRows, in_rows, score
from sigjepa.errors import SigjepaError
from sigjepa.evaluation.conditional_logit import fit_weights
from sigjepa.evaluation.lexical import bm25_scorer
from sigjepa.evaluation.lexicon_baselines import vector_features
from sigjepa.evaluation.pair_features import merged, weighted_scorer
from sigjepa.evaluation.pools import Pool
from sigjepa.evaluation.word_features import word_features
from sigjepa.lexicon.features import FREE_NAME_FEATURES, PARAMETER_FEATURES, build_features
from sigjepa.lexicon.function_terms import extract_terms
from sigjepa.lexicon.mentions import MENTIONS, NAME_VARIANTS
from sigjepa.lexicon.signature import ROLES
from sigjepa.lexicon.statistics import TrainStatistics
from sigjepa.lexicon.structure import BODY_STRUCTURES, SIGNATURE_STRUCTURES
from sigjepa.lexicon.terms import term_hash
from sigjepa.models.lexical.parameters import FreeNames
from sigjepa.models.lexical.structure import OwnName, Structure, VectorStructure, dense
from sigjepa.models.lexical.vectors import WhitenedVectors
from sigjepa.models.lexical.words import SharedWords
from sigjepa.models.lexical_predictor import LexicalPredictor
from sigjepa.teacher.normalize import fit_whitening

DIM = 8
PARTS = {
    "words": SharedWords,
    "vectors": partial(WhitenedVectors, DIM, scale=3.0),
    "structure": Structure,
    "own_name": OwnName,
    "free_names": partial(FreeNames, epochs=1),
}


@pytest.fixture(scope="module")
def corpus(tiny_data):
    columns = [tiny_data.corpus.column(name)[:120] for name in ("signature", "body", "repository")]
    return [list(column) for column in columns]


@pytest.fixture(scope="module")
def halves(corpus):
    return halves_of(*corpus)


@pytest.fixture(scope="module")
def fitted(halves):
    model = student()
    model.fit(halves)
    return model


def halves_of(signatures, bodies, repositories):
    terms, _ = extract_terms(signatures, bodies)
    everything = TermTensors(build_features(terms, repositories, TrainStatistics.of(terms, repositories)))
    ids = torch.arange(len(bodies))
    generator = torch.Generator().manual_seed(0)
    pooled = [torch.randn(len(bodies), DIM, generator=generator) for _ in range(2)]
    return Halves(pooled[0], everything.of_signatures(ids), pooled[1], everything.of_bodies(ids))


def student(names=tuple(PARTS), **parts):
    torch.manual_seed(0)
    built = {name: PARTS[name]() for name in names} | parts
    return LexicalPredictor(built, teacher_dim=DIM).eval()


def scores(model, halves):
    prediction = model(halves.signature_pooled, halves.signature_terms)
    return score(prediction.views, model.body_views(halves.body_pooled, halves.body_terms))


def entries(table, row):
    at = (table.rows == row).nonzero().flatten().tolist()
    return {int(table.terms[i]): table.values[i] for i in at}


@torch.no_grad()
def test_words_are_bm25_until_they_are_trained():
    """Peer: bm25s, where a corpus is its own train split and no word stands in two packages' statistics."""
    signatures = ["def open_file(path):", "def close_file(self):", "def read(stream, size):", "def size(stream):"]
    bodies = ["path.open()\nreturn file", "self.file.close()", "stream.read(size)\nsize", "return stream.size"]
    packages = ["a", "b", "c", "d"]
    halves = halves_of(signatures, bodies, packages)
    part = SharedWords()
    part.fit(halves)
    words = halves.signature_terms["signature_words"]
    words = words.with_values(words.values.clone())
    frequencies = {
        int(term): sum(int(term) in entries(halves.body_terms["body_words"], row) for row in range(4))
        for term in words.terms
    }
    # of the pool itself, as the peer counts them
    idf = [math.log1p((4 - n + 0.5) / (n + 0.5)) for n in (frequencies[int(term)] for term in words.terms)]
    words.values[:, 0] = torch.tensor(idf)
    views = part.signature_views(halves.signature_pooled, {"signature_words": words})
    actual = score(views, part.body_views(halves.body_pooled, halves.body_terms))
    expected = torch.tensor([[bm25(query, body, bodies) for body in bodies] for query in signatures])
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    assert (actual.argmax(dim=1) == bm25_scorer(signatures, bodies)(torch.arange(4)).argmax(dim=1)).all()


def bm25(query, body, bodies, k1=1.0, b=0.9):
    documents = [split_identifier(each) for each in bodies]
    average = sum(map(len, documents)) / len(documents)
    document, total = split_identifier(body), 0.0
    for word in split_identifier(query):
        having = sum(word in each for each in documents)
        idf = math.log1p((len(documents) - having + 0.5) / (having + 0.5))
        frequency = document.count(word)
        total += idf * frequency / (frequency + k1 * (1 - b + b * len(document) / average))
    return total


@torch.no_grad()
def test_vectors_are_whitened_zero_shot_until_they_are_trained(halves):
    part = WhitenedVectors(DIM, scale=3.0, shrinkage=0.0).eval()
    part.fit(halves)
    centered = [half - half.mean(dim=0) for half in (halves.signature_pooled, halves.body_pooled)]
    covariance = torch.cat(centered).double().T @ torch.cat(centered).double() / (2 * len(centered[0]))
    inverse = torch.linalg.inv(covariance)  # cosines after any whitening are those of this product
    norms = [(half.double() @ inverse * half.double()).sum(dim=1).sqrt() for half in centered]
    expected = 3 * (centered[0].double() @ inverse @ centered[1].double().T) / norms[0][:, None] / norms[1]
    views = part.signature_views(halves.signature_pooled, {})
    actual = score(views, part.body_views(halves.body_pooled, {}))
    torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_at_step_0_words_and_vectors_are_the_baseline_of_the_same_features(corpus):
    """Peer: the features of `role_fusion` without its bare names, which are no part; first all roles count alike, then
    as the baseline's fit on train says."""
    split = {"train": slice(0, 90), "test": slice(90, 120)}
    texts = {name: [column[rows] for column in corpus] for name, rows in split.items()}
    generator = torch.Generator().manual_seed(1)
    pools, halves = {}, {}
    for name, (signatures, bodies, packages) in texts.items():
        terms, _ = extract_terms(signatures, bodies)
        ids, vectors = torch.arange(len(bodies)), torch.randn(2, len(bodies), DIM, generator=generator)
        pools[name] = Pool(ids.numpy(), signatures, bodies, *vectors, packages, terms)
        statistics = TrainStatistics.of(pools["train"].lexicon_terms, pools["train"].packages)
        tensors = TermTensors(build_features(terms, packages, statistics))
        halves[name] = Halves(vectors[0], tensors.of_signatures(ids), vectors[1], tensors.of_bodies(ids))
    every = merged(word_features(pools), vector_features(pools))
    names = [*(f"words_{role}" for role in ROLES), "zero_shot"]
    features = {name: {each: every[name][each] for each in names} for name in pools}
    model = student(("words", "vectors"), vectors=WhitenedVectors(DIM, scale=20.0)).eval()
    model.fit(halves["train"])
    fitted = fit_weights(features["train"], pools["train"].bodies)
    assert len({fitted[name] for name in names}) > 4
    for weights in (dict.fromkeys(names[:-1], 1.0) | {"zero_shot": 20.0}, fitted):
        model.parts["words"].roles.copy_(torch.tensor([weights[name] for name in names[:-1]]))
        model.parts["vectors"].log_scale.fill_(math.log(weights["zero_shot"]))
        for name, pool in pools.items():
            expected = weighted_scorer(features[name], weights)(torch.arange(len(pool.ids)))
            torch.testing.assert_close(scores(model, halves[name]), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_structure_is_expected_of_the_teachers_vector_as_well(halves):
    """The score is bilinear in the whitened vector and the structure of the body, beside the part that it extends."""
    part, plain = VectorStructure(DIM, shrinkage=0.2), Structure()
    for each in (part, plain):
        each.fit(halves)
        each.matrix.weight.copy_(torch.linspace(-1, 1, each.matrix.weight.numel()).view_as(each.matrix.weight))
    both = [
        (
            each.signature_views(halves.signature_pooled, halves.signature_terms),
            each.body_views(None, halves.body_terms),
        )
        for each in (part, plain)
    ]
    torch.testing.assert_close(score(*both[0]), score(*both[1]))  # until it is trained
    part.vector_matrix.weight.copy_(torch.randn(part.vector_matrix.weight.shape))
    whiten = fit_whitening(halves.signature_pooled, shrinkage=0.2)
    z = 3 * F.normalize(whiten(halves.signature_pooled), dim=1)
    views = part.signature_views(halves.signature_pooled, halves.signature_terms)
    expected = score(*both[1]) + z @ part.vector_matrix.weight @ both[0][1]["structure"].vectors.T
    torch.testing.assert_close(score(views, both[0][1]), expected, rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_free_names_are_scored_by_their_formula(halves):
    part = FreeNames(epochs=0, weights=(0.3, 0.8, 0.65, 1.2, 0.05), super_weights=(2.0, 1.5), scale=0.7)
    part.fit(halves)
    views = part.signature_views(halves.signature_pooled, halves.signature_terms)
    actual = score(views, part.body_views(halves.body_pooled, halves.body_terms))
    share = FREE_NAME_FEATURES.index("parameter_log_share")
    odds, odds_unused = FREE_NAME_FEATURES.index("log_odds"), PARAMETER_FEATURES.index("log_odds")
    named = PARAMETER_FEATURES.index("body_log_share")
    for query, body in [(0, 0), (3, 3), (5, 9), (20, 4), (40, 40), (77, 110), (119, 119)]:
        free, names = (entries(halves.body_terms[table], body) for table in ("free_names", "body_names"))
        calls = entries(halves.body_terms["super_calls"], body)
        parameters = entries(halves.signature_terms["parameters"], query)
        own = {t for t, v in entries(halves.signature_terms["function_names"], query).items() if v[0]}
        total = 0.0
        for term, values in free.items():
            p, q = 1 / (1 + math.exp(-values[odds])), math.exp(values[share])
            if term in parameters:
                total += 0.3 * math.log(p) - 0.8 * math.log(q)
            else:
                total += 0.65 * math.log((1 - p) / (1 - q))
        of_signature = 0.0
        for term, values in parameters.items():
            u, r = 1 / (1 + math.exp(-values[odds_unused])), math.exp(values[named])
            unused, used = 1.2 * math.log(u / (1 - min(r, 0.999))), 0.05 * math.log((1 - u) / r)
            total += used if term in names else unused
            of_signature += unused  # the same for all bodies of the signature: the score leaves it out
        total += sum(2.0 if term in own else -1.5 for term in calls)
        assert float(actual[query, body]) == pytest.approx(0.7 * (total - of_signature), abs=1e-3)


@torch.no_grad()
def test_structures_are_multiplied_by_a_matrix(halves):
    part = Structure()
    part.fit(halves)
    assert not score(part.signature_views(None, halves.signature_terms), part.body_views(None, halves.body_terms)).any()
    rows = SIGNATURE_STRUCTURES.index("parameters"), SIGNATURE_STRUCTURES.index("self")
    column, presence = BODY_STRUCTURES.index("call"), len(BODY_STRUCTURES) + BODY_STRUCTURES.index("return")
    part.matrix.weight[rows[0], column], part.matrix.weight[rows[1], presence] = 2.0, -3.0
    signatures, bodies = halves.signature_terms["signature_structure"], halves.body_terms["body_structure"]
    number, own, calls, returns = (
        torch.tensor([float(entries(table, row).get(key, torch.zeros(1))[0]) for row in range(120)])
        for table, key in (
            (signatures, signed_hash("parameters")),
            (signatures, signed_hash("self")),
            (bodies, signed_hash("call")),
            (bodies, signed_hash("return")),
        )
    )
    assert set(own.tolist()) == {0.0, 1.0}

    def standardized(values):
        return ((values - values.mean()) / values.std(correction=0)).clamp(-4, 4)

    expected = 2 * number[:, None] * standardized(calls) - 3 * own[:, None] * standardized((returns > 0).float())
    views = part.signature_views(None, halves.signature_terms)
    actual = score(views, part.body_views(None, halves.body_terms))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def signed_hash(term):
    return int(np.uint64(term_hash(term)).astype(np.int64))


@torch.no_grad()
def test_a_body_that_calls_the_function_is_told_from_its_own():
    signatures = ["def save(self):", "def _size(self):", "def load_all(self):"]
    bodies = ["return self.load_all()", "return self.save(self.file.size)", "return self._size"]
    halves = halves_of(signatures, bodies, ["a", "b", "c"])
    part = OwnName()
    weights, slopes = part.weights.weight.view(-1, len(MENTIONS)).chunk(2)
    weights[NAME_VARIANTS.index("exact"), MENTIONS.index("own_call")] = -5.0
    weights[NAME_VARIANTS.index("public"), MENTIONS.index("attribute")] = 2.0
    actual = score(part.signature_views(None, halves.signature_terms), part.body_views(None, halves.body_terms))
    assert actual.tolist() == [[0, -5, 0], [0, 2, 0], [-5, 0, 0]]
    slopes[NAME_VARIANTS.index("exact"), MENTIONS.index("returned")] = -10.0
    steeper = score(part.signature_views(None, halves.signature_terms), part.body_views(None, halves.body_terms))
    counted = [(0, 1, ["save"]), (1, 2, ["size"]), (2, 0, ["load", "all"])]
    for query, body, words in counted:
        own = entries(halves.signature_terms["signature_words"], query)
        idf = sum(float(own[signed_hash(word)][0]) for word in words)
        assert float(steeper[query, body] - actual[query, body]) == pytest.approx(-idf)


def test_terms_are_spread_over_columns():
    table = TermRows(3, torch.tensor([0, 2, 2]), torch.tensor([7, -4, 9]), torch.tensor([[1.0], [2.0], [3.0]]))
    assert dense(table, torch.tensor([9, -4])).tolist() == [[0, 0], [0, 0], [3, 2]]


def test_fitting_learns_which_free_names_are_parameters(halves):
    torch.manual_seed(0)
    part = FreeNames(epochs=0)
    part.fit(halves)
    free, parameters = halves.body_terms["free_names"], halves.signature_terms["parameters"]
    holds = in_rows(free, parameters).float()
    before = F.binary_cross_entropy_with_logits(part.is_parameter(free.values)[0], holds)
    part.is_parameter.fit(free.values, holds, epochs=20)
    after = F.binary_cross_entropy_with_logits(part.is_parameter(free.values)[0], holds)
    assert after < 0.8 * before


@torch.no_grad()
def test_the_score_is_the_sum_of_the_parts_that_are_on(fitted, halves):
    one_by_one = torch.zeros(120, 120)
    for name, part in fitted.parts.items():
        alone = LexicalPredictor({name: part, "other": None}, teacher_dim=DIM).eval()
        one_by_one += scores(alone, halves)
    torch.testing.assert_close(scores(fitted, halves), one_by_one, rtol=1e-4, atol=1e-4)


def test_a_student_without_parts_is_refused():
    with pytest.raises(SigjepaError, match="model.parts"):
        LexicalPredictor({"words": None}, teacher_dim=DIM)


@pytest.mark.parametrize(
    ("part", "settings", "named"),
    [
        (FreeNames, {"weights": (0.3, 0.8, -0.65, 1.2, 0.05)}, r"free_names\.weights=.*-0\.65"),
        (FreeNames, {"weights": (0.3, 0.8, 0.65)}, r"free_names\.weights has 3 numbers: give 5"),
        (FreeNames, {"super_weights": (1.0,)}, r"free_names\.super_weights has 1 numbers: give 2"),
        (FreeNames, {"scale": 0.0}, r"free_names\.scale=0\.0"),
        (SharedWords, {"scale": -1.0}, r"words\.scale=-1\.0"),
        (partial(WhitenedVectors, DIM), {"scale": math.nan}, r"vectors\.scale=nan"),
    ],
)
def test_numbers_that_no_weight_can_start_at_are_refused(part, settings, named):
    with pytest.raises(SigjepaError, match=rf"model\.parts\.{named}"):
        part(**settings)


def test_whole_numbers_start_weights_too():
    assert FreeNames(super_weights=(2, 2)).super_weights.dtype == torch.float32


def test_two_parts_with_a_view_of_one_name_are_refused(fitted, halves):
    """Or the score would leave one of them out."""
    twice = LexicalPredictor({"words": fitted.parts["words"], "more": fitted.parts["words"]}, teacher_dim=DIM)
    with pytest.raises(SigjepaError, match=r"model\.parts\.more .*'words'"):
        twice(halves.signature_pooled, halves.signature_terms)
    with pytest.raises(SigjepaError, match=r"model\.parts\.more .*'words'"):
        twice.body_views(halves.body_pooled, halves.body_terms)


@torch.no_grad()
def test_a_prediction_is_a_function_of_its_signature_alone(corpus, halves, fitted):
    """Other bodies and other batch mates change neither its views nor the views of a body."""
    model = fitted
    signatures, bodies, repositories = corpus
    others = [0, 7, 3]
    terms, _ = extract_terms(signatures, bodies)
    everything = TermTensors(build_features(terms, repositories, TrainStatistics.of(terms, repositories)))
    some = torch.tensor(others)
    few = model(halves.signature_pooled[some], everything.of_signatures(some)).views
    all_views = model(halves.signature_pooled, halves.signature_terms).views
    for name, view in few.items():
        torch.testing.assert_close(numbers_of(view), numbers_of(all_views[name].take(some)), rtol=1e-5, atol=1e-5)
    bodies_of_few = model.body_views(halves.body_pooled[some], everything.of_bodies(some))
    all_bodies = model.body_views(halves.body_pooled, halves.body_terms)
    for name, view in bodies_of_few.items():
        torch.testing.assert_close(numbers_of(view), numbers_of(all_bodies[name].take(some)), rtol=1e-5, atol=1e-5)


def numbers_of(view):
    return view.vectors if isinstance(view.vectors, torch.Tensor) else view.vectors.values


@torch.no_grad()
def test_autocast_changes_nothing(fitted, halves):
    expected = scores(fitted, halves)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = fitted(halves.signature_pooled, halves.signature_terms)
        bodies = fitted.body_views(halves.body_pooled, halves.body_terms)
    torch.testing.assert_close(score(prediction.views, bodies), expected, rtol=0, atol=0)


def test_every_parameter_has_a_gradient(halves):
    model = student().train()
    model.fit(halves)
    for parameter in model.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)  # layers that begin at 0 would hide those before them
    F.cross_entropy(scores(model, halves), torch.arange(120)).backward()
    without = [
        name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert not without


def test_it_is_fitted_once_and_a_checkpoint_brings_what_was_fitted(halves, fitted):
    model = fitted
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model.fit(halves)
    restored = student()
    restored.load_state_dict(state)
    restored.fit(halves)
    for name, value in restored.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0)
        torch.testing.assert_close(model.state_dict()[name], state[name], rtol=0, atol=0)


def test_a_vectors_part_takes_the_dimension_of_the_teacher():
    model = LexicalPredictor({"vectors": partial(WhitenedVectors, hidden_dim=4)}, teacher_dim=32)
    assert model.parts["vectors"].whitening.shape == (32, 32)


def test_code_of_another_language_is_scored_by_its_words():
    signatures = ["fn add_one(x: i32) -> i32", "fn name(&self) -> &str", "fn f()"]
    bodies = ["{ add(x, 1) }", "{ &self.name }", "{}"]
    halves = halves_of(signatures, bodies, ["a", "b", "c"])
    model = student().train()
    model.fit(halves)
    values = scores(model, halves)
    assert torch.isfinite(values).all()
    F.cross_entropy(values, torch.arange(3)).backward()
    words = LexicalPredictor({"words": model.parts["words"]}, teacher_dim=DIM)
    assert scores(words, halves)[:2].argmax(dim=1).tolist() == [0, 1]


def test_what_is_fitted_to_moves_to_the_device_of_the_student(halves):
    moved = move_data_to_device(halves, torch.device("meta"))
    tables = [*moved.signature_terms.values(), *moved.body_terms.values()]
    tensors = [moved.signature_pooled, moved.body_pooled, *(each for table in tables for each in vars(table).values())]
    assert {tensor.device.type for tensor in tensors if isinstance(tensor, torch.Tensor)} == {"meta"}
    assert halves.body_pooled.device.type == "cpu"
