from hypothesis import given
from hypothesis import strategies as st

from sigjepa.training.wandb_names import TAG_LENGTH, shortened, wandb_tags


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
