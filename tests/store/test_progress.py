import pytest

from sigjepa.store.progress import Stage, observed, progress, stage


class Listener:
    """Remembers the stages that it was told of."""

    def __init__(self):
        self.open, self.over = [], []

    def began(self, stage):
        self.open.append(stage)

    def ended(self, stage):
        self.open.remove(stage)
        self.over.append(stage)


def test_yields_every_item(capsys):
    assert list(progress(range(5), "counting", unit="number")) == [0, 1, 2, 3, 4]


def test_a_manual_bar_counts_updates():
    bar = progress(None, "counting", total=10)
    bar.update(4)
    assert bar.n == 4
    bar.close()


def test_a_bar_over_items_is_a_stage_until_it_is_exhausted(capsys):
    listener = Listener()
    with observed(listener):
        for _ in progress(range(5), "counting", unit="number"):
            (one,) = listener.open
            assert (one.name, one.total, one.unit) == ("counting", 5, "number")
    assert not listener.open
    assert listener.over[0].done == 5
    assert capsys.readouterr().err == ""  # nobody sees a bar here; the log has lines


def test_a_bar_that_is_given_up_is_no_stage_any_more():
    listener = Listener()
    with observed(listener), pytest.raises(ValueError, match="no"), progress(None, "counting", total=3) as bar:
        bar.update(2)
        assert listener.open[0].done == 2
        raise ValueError("no")
    assert not listener.open


def test_a_bar_that_goes_on_where_an_earlier_one_stopped_counts_only_what_it_did():
    listener = Listener()
    with observed(listener), progress(None, "counting", total=10) as bar:
        bar.initial = bar.n = 6
        bar.update(2)
        (one,) = listener.open
        assert one.rate(one.began + 4) == 0.5
        assert one.eta(one.began + 4) == 4


def test_stages_stand_within_each_other():
    listener = Listener()
    with observed(listener), stage("outer") as outer, stage("inner") as inner:
        assert listener.open == [outer, inner]
    assert listener.over == [inner, outer]


def test_a_bar_is_drawn_for_who_does_not_observe(capsys):
    with progress(None, "counting", total=3) as bar:
        bar.start_t -= 5  # longer than a bar waits before it is drawn
        bar.update(3)
    assert "counting: 100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (
            Stage("embed", 400, "function", done=100, began=0),
            "embed: 100/400 function, 25 %, 2 function/s, 00:50 so far, 02:30 left",
        ),
        (Stage("read", None, "file", done=10, began=0), "read: 10 file, 0.2 file/s, 00:50 so far"),
        (Stage("search", began=0), "search: 00:50 so far"),
        (Stage("none", 0, began=0), "none: 0/0 it, 00:50 so far"),
        (Stage("train", 8, "step", began=0, facts={"epoch": 3}), "train: 0/8 step, 0 %, 00:50 so far, epoch 3"),
    ],
)
def test_a_stage_says_how_far_it_is(one, line):
    assert one.line(now=50.0) == line
