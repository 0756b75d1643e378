from sigjepa.progress import progress


def test_yields_every_item(capsys):
    assert list(progress(range(5), "counting", unit="number")) == [0, 1, 2, 3, 4]


def test_a_manual_bar_counts_updates():
    bar = progress(None, "counting", total=10)
    bar.update(4)
    assert bar.n == 4
    bar.close()
