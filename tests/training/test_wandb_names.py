import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.training.wandb_names import TAG_LENGTH, shortened, summary_of, wandb_tags


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("val/rank1", "max"),
        ("val/rank10", "max"),
        ("val/mrr", "max"),
        ("val/cosine", "max"),
        ("train/loss", "min"),
        ("train/step_loss", "min"),
        ("train/infonce", "min"),
        ("train/infonce_in_batch", "min"),
        ("train/infonce_mined", "min"),
        ("train/my_term", "min"),
        ("train/infonce_mined_mass", None),
        ("train/infonce_temperature", None),
        ("train/first_loss", None),
        ("train/gradient_norm", None),
        ("train/other_term", None),
        ("val/effective_rank", None),
        ("val/pairwise_cosine", None),
        ("test/rank10", None),
        ("epoch", None),
    ],
)
def test_a_metric_is_summed_up_by_its_goal(metric, expected):
    assert summary_of(metric, ["infonce", "my_term"]) == expected


def test_without_loss_terms_the_total_loss_still_has_its_goal():
    assert summary_of("train/loss", []) == "min"
    assert summary_of("train/infonce", []) is None


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300), st.sampled_from([64, 128]))
def test_shortened_texts_fit_and_stay_different(one, other, limit):
    assert len(shortened(one, limit)) <= limit
    assert shortened(one, limit) == one or len(one) > limit
    assert (shortened(one, limit) == shortened(other, limit)) == (one == other)


def test_long_texts_that_begin_alike_stay_different():
    long = ["x" * 200 + end for end in "ab"]
    assert len({shortened(text, 128) for text in long}) == 2


def test_tags_are_written_as_overrides_and_fit():
    tags = wandb_tags({"experiment": "exp1_4", "loss": ["infonce", "token_smooth_l1"], "teacher": "t" * 100})
    assert tags[:3] == ["experiment=exp1_4", "loss=infonce", "loss=token_smooth_l1"]
    assert tags[3].startswith("teacher=ttt")
    assert len(tags[3]) == TAG_LENGTH
