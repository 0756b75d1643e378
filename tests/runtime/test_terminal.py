import io
import logging
import sys
import warnings
from logging.handlers import BufferingHandler

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigjepa.runtime.foreign_lines import LOG_LINES, without_foreign_lines
from sigjepa.runtime.terminal import fit_tables, labeled_lines

CELLS = st.text(st.characters(codec="ascii", exclude_characters="|\\\n\r", exclude_categories=["Cc"]), max_size=60)


def table(rows):
    """A Markdown table of these rows, as `markdown_table` writes it."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"| {' | '.join(cell.ljust(size) for cell, size in zip(row, widths, strict=True))} |" for row in rows]
    return "\n".join([lines[0], f"|{'|'.join('-' * (size + 2) for size in widths)}|", *lines[1:]])


@given(st.lists(st.lists(CELLS, min_size=4, max_size=4), min_size=2, max_size=5))
def test_no_table_is_wider_than_asked_and_no_letter_is_lost(rows):
    rows = [[" ".join(cell.split()) for cell in row] for row in rows]
    fitted = fit_tables(table(rows), width=60)
    lines = fitted.split("\n")
    assert max(map(len, lines)) <= max(60, 4)
    letters = "".join("".join(row) for row in rows)
    body = "".join(line for number, line in enumerate(lines) if set(line) - set("|-"))
    assert sorted(body.replace("|", "").replace(" ", "")) == sorted(letters.replace(" ", "")) or "---" in letters


def test_a_table_that_fits_and_all_other_text_stay_as_they_are():
    text = "before\n\n" + table([["a", "b"], ["1", "2"]]) + "\n" + "x" * 200 + "\n"
    assert fit_tables(text) == text


def test_headers_are_wrapped_before_cells():
    wide = table([["run", *["test/rank10"] * 8], ["teacher zero-shot", *["10.00"] * 8]])
    fitted = fit_tables(wide).split("\n")
    assert fitted[0].split("|")[2].strip() == "test/"
    assert fitted[-1].startswith("| teacher zero-shot | 10.00 ")


def test_lines_of_a_labeled_process_begin_with_the_label(monkeypatch, capsys):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    handler = logging.StreamHandler(sys.stdout)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    with labeled_lines("seed=1"):
        print("one\n\ntwo", end="")
        print(" goes on")
        logging.getLogger("x").warning("logged")
    print("after")
    logging.getLogger("x").warning("logged after")
    expected = "[seed=1] one\n\n[seed=1] two goes on\n[seed=1] logged\nafter\nlogged after\n"
    assert stream.getvalue() == expected


def test_no_label_changes_nothing():
    before = sys.stdout
    with labeled_lines(""):
        assert sys.stdout is before


@pytest.fixture
def messages(request):
    """Return what a logger hands on, whatever handlers, levels and parents Lightning gave it when it was imported."""

    def record(name):
        logger, handler = logging.getLogger(name), BufferingHandler(capacity=100)
        state, level = {key: getattr(logger, key) for key in ("propagate", "disabled", "handlers")}, logger.level
        request.addfinalizer(lambda: (vars(logger).update(state), logger.setLevel(level)))
        logger.propagate, logger.disabled, logger.handlers = False, False, [handler]
        logger.setLevel(logging.INFO)
        return lambda: [each.getMessage() for each in handler.buffer]

    return record


@pytest.mark.parametrize("name", LOG_LINES)
def test_only_named_lines_are_left_out(name, messages):
    of_library, own = messages(name), messages("sigjepa")
    with without_foreign_lines():
        logging.getLogger(name).info("GPU available: False, used: False")
        logging.getLogger(name).info("`weights_only` was not set, defaulting to `False`.")
        logging.getLogger(name).warning("Something that matters")
        logging.getLogger("sigjepa").info("GPU available: two")
    assert own() == ["GPU available: two"]
    assert of_library()[-1] == "Something that matters"
    assert len(of_library()) < 3
    logging.getLogger(name).info("GPU available: False, used: False")
    assert of_library()[-1] == "GPU available: False, used: False"


def test_named_warnings_and_printed_lines_are_left_out(capsys):
    with warnings.catch_warnings(), without_foreign_lines():
        warnings.simplefilter("error", UserWarning)
        warnings.warn("`isinstance(treespec, LeafSpec)` is deprecated, use ...", FutureWarning, stacklevel=1)
        with pytest.raises(UserWarning, match="that matters"):
            warnings.warn("that matters", UserWarning, stacklevel=1)
        sys.stderr.write("\x1b[34mwandb\x1b[0m: Run data is saved locally in x\n")
        print("wandb: ERROR no network", file=sys.stderr)
    assert capsys.readouterr().err == "wandb: ERROR no network\n"
