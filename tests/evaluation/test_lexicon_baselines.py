"""Features of words and names against naive loops over texts, and what the baselines of them find."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from sigjepa.corpus.identifiers import split_identifier
from sigjepa.errors import SigjepaError
from sigjepa.evaluation.baselines import BASELINES
from sigjepa.evaluation.metrics import default_metrics
from sigjepa.evaluation.name_features import PRIOR, missing_name_features, name_count_features
from sigjepa.evaluation.pair_features import CosineFeature, weighted_scorer
from sigjepa.evaluation.pools import Pool
from sigjepa.evaluation.word_features import word_features
from sigjepa.lexicon.body import read_body
from sigjepa.lexicon.function_terms import FREE_NAME_COLUMNS, extract_terms
from sigjepa.lexicon.names import bare_names
from sigjepa.lexicon.signature import read_signature

LEXICON_BASELINES = ["role_bm25", "role_fusion", "free_name_rule", "free_name_counts"]
NAMES = ["path", "key", "value", "items", "node", "name", "index", "size"]


def pool_of(signatures, bodies, packages, vectors=None):
    vectors = torch.randn(2, len(bodies), 8) if vectors is None else vectors
    terms = extract_terms(signatures, bodies)[0]
    return Pool(np.arange(len(bodies)), signatures, bodies, *vectors, packages, terms)


def functions(count, seed):
    """Functions of three packages, whose names are drawn from a few: they share, miss and do not use some."""
    random = np.random.default_rng(seed)
    signatures, bodies = [], []
    for _ in range(count):
        first, second, third, other = random.choice(NAMES, 4, replace=False)
        default = random.choice(["", "=None", ": int = 3"])
        signatures.append(
            f"@{other}.wraps\ndef get_{first}_{third}(self, {first}, {second}{default}) -> {third.title()}:"
        )
        lines = [f"{third} = {first} or {random.choice(NAMES)}", f"return {other}({third}, self.{second})"]
        lines += [f"super().get_{first}_{third}(len({second}))"] * random.integers(0, 2)
        bodies.append("\n".join(lines[random.integers(0, 2) :] if random.integers(0, 4) == 0 else lines))
    return signatures, bodies


@pytest.fixture(scope="module")
def pools():
    torch.manual_seed(0)
    packages = {"train": ["p", "q", "r", "r"] * 10, "val": ["s"] * 12, "test": ["t", "u"] * 6}
    return {split: pool_of(*functions(len(names), seed), names) for seed, (split, names) in enumerate(packages.items())}


def others(train, package):
    """The train functions without those of a package, as pairs of texts."""
    rows = zip(train.signatures, train.bodies, train.packages, strict=True)
    return [(signature, body) for signature, body, own in rows if own != package]


def assert_feature(feature, expected):
    """Compare a feature with a function of the positions of query and body, in both ways to ask."""
    size = 12
    rows, columns = np.array([0, 3, 7, 3]), np.array([5, 1, 0, 11, 2])
    naive = {query: [expected(query, body) for body in range(size)] for query in set(rows.tolist())}
    whole = np.array([naive[query] for query in rows.tolist()])
    np.testing.assert_allclose(feature.sample(rows, columns), whole[:, columns], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(feature.scores(rows)[:, :size], whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("split", ["train", "test"])
def test_word_features_are_bm25_by_role_without_the_own_package(pools, split):
    features, pool = word_features(pools)[split], pools[split]
    for form, cut, k1, b in [("words", split_identifier, 1.0, 0.9), ("names", bare_names, 1.5, 0.75)]:
        average = np.mean([len(cut(body)) for body in pools["train"].bodies])

        @cache
        def documents_of(package, cut=cut):
            return [set(cut(text)) for _, text in others(pools["train"], package)]

        def bm25(role, query, body, cut=cut, k1=k1, b=b, average=average, documents_of=documents_of):
            documents = documents_of(pool.packages[query])
            words, total = cut(pool.bodies[body]), 0.0
            for text in (text for at, text in read_signature(pool.signatures[query]).texts if at == role):
                for word in cut(text):
                    having, frequency = sum(word in each for each in documents), words.count(word)
                    idf = math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
                    total += idf * frequency / (frequency + k1 * (1 - b + b * len(words) / average))
            return total

        for role in ("name", "parameter", "default", "decorator", "return", "annotation", "other"):
            assert_feature(features[f"{form}_{role}"], lambda query, body, role=role: bm25(role, query, body))


@cache
def names_of(signature, body):
    parameters = {name for name, _ in read_signature(signature).parameters}
    return parameters, set(read_body(body).free_names), set(bare_names(body))


def known_names(signature):
    return {name for _, text in read_signature(signature).texts for name in bare_names(text)}


def test_the_rule_counts_missing_names_and_unused_parameters(pools):
    features, pool = missing_name_features(pools)["test"], pools["test"]

    def free(body):
        return set(read_body(pool.bodies[body]).free_names)

    def unused(query, body):
        parameters = names_of(pool.signatures[query], "")[0]
        return len(parameters - set(bare_names(pool.bodies[body]))) - len(parameters)

    assert_feature(features["missing"], lambda query, body: len(free(body) - known_names(pool.signatures[query])))
    assert_feature(features["unused"], unused)


class NaiveCounts:
    """The twenty features by sets of names."""

    def __init__(self, train, pool):
        self.train, self.pool = train, pool
        everyone = [names_of(*texts) for texts in zip(train.signatures, train.bodies, strict=True)]
        pairs = [(self.kind(name), name in parameters) for parameters, free, _ in everyone for name in free]
        self.rates = {
            kind: (sum(is_parameter for at, is_parameter in pairs if at == kind) + 1)
            / (sum(at == kind for at, _ in pairs) + 2)
            for kind in range(4)
        }
        uses = [name not in body for parameters, _, body in everyone for name in parameters]
        self.unused_rate = (sum(uses) + 1) / (len(uses) + 2)

    @staticmethod
    def kind(name):
        row = read_body(name).free_names[name]
        flags = [row[FREE_NAME_COLUMNS.index(kind)] for kind in ("builtin", "underscore", "capitalized")]
        return flags.index(1) if 1 in flags else 3

    @cache  # noqa: B019 - for one test
    def counts(self, package, name):
        rows = [names_of(*texts) for texts in others(self.train, package)]
        free = sum(name in row[1] for row in rows)
        both = sum(name in row[0] & row[1] for row in rows)
        declared, named = sum(name in row[0] for row in rows), sum(name in row[2] for row in rows)
        unused = sum(name in row[0] - row[2] for row in rows)
        rate = (both + PRIOR * self.rates[self.kind(name)]) / (free + PRIOR)
        unused_rate = (unused + PRIOR * self.unused_rate) / (declared + PRIOR)
        return rate, (declared + 0.5) / (len(rows) + 1), (named + 0.5) / (len(rows) + 1), unused_rate

    def feature(self, name, query, body):
        signature, text = self.pool.signatures[query], self.pool.bodies[body]
        parameters, free, body_names = names_of(signature, text)
        missing = free - known_names(signature)
        mine, theirs = self.pool.packages[query], self.pool.packages[body]
        read = read_body(text)
        function = set(bare_names(read_signature(signature).texts[0][1]))
        special = {
            "shared": len(parameters & free),
            "shared_log_declared": sum(math.log(self.counts(mine, each)[1]) for each in parameters & free),
            "shared_log_rate": sum(math.log(self.counts(theirs, each)[0]) for each in parameters & free),
            "missing": len(missing),
            "missing_log_rate": sum(math.log1p(-self.counts(theirs, each)[0]) for each in missing),
            "unused": -len(parameters & body_names),
            "unused_log_rate": -sum(math.log(self.counts(mine, each)[3]) for each in parameters & body_names),
            "used_log_named": sum(math.log(self.counts(mine, each)[2]) for each in parameters & body_names),
            "super_same": len(set(read.super_calls) & function),
            "super_other": len(set(read.super_calls) - function),
        }
        if name in special:
            return special[name]
        what = name.removeprefix("missing_")
        if what in ("builtin", "underscore", "capitalized"):
            return sum(self.kind(each) == ("builtin", "underscore", "capitalized").index(what) for each in missing)
        return sum(read.free_names[each][FREE_NAME_COLUMNS.index(what)] > 0 for each in missing)


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_twenty_counts_are_those_of_a_naive_loop(pools, split):
    features, naive = name_count_features(pools)[split], NaiveCounts(pools["train"], pools[split])
    assert len(features) == 20
    for name, feature in features.items():
        assert_feature(feature, lambda query, body, name=name: naive.feature(name, query, body))


def test_cosines_are_those_of_the_vectors(pools):
    predictions, bodies = pools["test"].signature_pooled, pools["test"].body_pooled
    expected = torch.nn.functional.cosine_similarity(predictions[:, None], bodies[None], dim=-1)
    assert_feature(CosineFeature(predictions, bodies), lambda query, body: float(expected[query, body]))


def test_a_score_is_the_weighted_sum(pools):
    features = word_features(pools)["test"]
    weights = {name: float(number) for number, name in enumerate(features)}
    rows = np.array([2, 0])
    expected = sum(weights[name] * feature.scores(rows) for name, feature in features.items())
    np.testing.assert_allclose(weighted_scorer(features, weights)(torch.tensor([2, 0])).numpy(), expected, rtol=1e-5)


def rank1(name, pools):
    return BASELINES[name].measure(pools).figures_of(default_metrics())["test/rank1"]


def test_the_weights_find_the_role_that_tells():
    """Words of parameters stand in the body; the name of the function is that of another body."""

    def pool(size, start, package):
        words = [f"w{''.join(chr(97 + int(digit)) for digit in str(start + i))}" for i in range(size)]
        signatures = [f"def {words[(i + 1) % size]}_{words[(i + 2) % size]}({words[i]}):" for i in range(size)]
        return pool_of(signatures, [f"return {word}.run()" for word in words], [package] * size)

    pools = {split: pool(60, 100 * start, split) for start, split in enumerate(("train", "val", "test"))}
    assert rank1("role_bm25", pools) == 1
    assert rank1("bm25", pools) < 0.6


def test_free_names_tell_bodies_apart_that_words_mislead():
    """Of two bodies with the same words, the wrong one has more of the signature's; what they leave free differs."""

    def pool(size, start, package):
        signatures, bodies = [], []
        for i in range(size):
            a, b, c = (f"{letter}{'x' * (1 + start + i)}" for letter in "abc")
            signatures += [f"def run({a}, {b}):", f"def run({c}, {b}):"]
            bodies += [f"{c} = {a}\nreturn {c} + {b}", f"{a} = {c}\nreturn {a} + {b}"]
        return pool_of(signatures, bodies, [package] * 2 * size)

    pools = {split: pool(20, 100 * start, split) for start, split in enumerate(("train", "val", "test"))}
    assert rank1("bm25", pools) == 0
    assert rank1("free_name_rule", pools) == rank1("free_name_counts", pools) == 1


@pytest.mark.parametrize("name", LEXICON_BASELINES)
def test_nothing_is_fitted_on_held_out_pools(pools, name):
    before = BASELINES[name].measure(pools)
    signatures, bodies = functions(12, 9)
    changed = {**pools, "test": pool_of(signatures, bodies[::-1], ["t"] * 12)}
    after = BASELINES[name].measure(changed)
    assert before.figures == after.figures
    assert before.figures
    np.testing.assert_array_equal(before.ranks["val"][1].optimistic, after.ranks["val"][1].optimistic)
    assert (before.ranks["test"][1].optimistic != after.ranks["test"][1].optimistic).any()


@pytest.mark.parametrize("name", LEXICON_BASELINES)
def test_code_of_another_language_is_ranked_by_its_words(name):
    def pool(size, start, package):
        words = [chr(97 + i) * (2 + start) for i in range(size)]
        signatures = [f"function {word}Run(x)" for word in words]
        return pool_of(signatures, [f"{{ return {word}(); }}" for word in words], [package] * size)

    pools = {split: pool(20, start, split) for start, split in enumerate(("train", "val", "test"))}
    assert rank1(name, pools) == 1


@pytest.mark.parametrize("name", LEXICON_BASELINES)
def test_bodies_without_words_or_free_names_are_ranked(pools, name):
    empty = pool_of(["def f():"] * 12, ["..."] * 11 + [""], ["t"] * 12)
    places = BASELINES[name].measure({**pools, "test": empty}).ranks["test"][1]
    assert (places.optimistic >= 1).all()
    assert (places.pessimistic <= 12).all()


def test_train_bodies_without_any_word_are_refused(pools):
    silent = pool_of(["def f():"] * 4, ["..."] * 4, ["p"] * 4)
    with pytest.raises(SigjepaError, match=r"corpus\.source"):
        BASELINES["role_bm25"].measure({**pools, "train": silent})


def test_pools_without_a_lexicon_are_refused(pools):
    bare = {split: replace(pool, terms=None) for split, pool in pools.items()}
    with pytest.raises(ValueError, match="lexicon"):
        BASELINES["role_bm25"].measure(bare)
