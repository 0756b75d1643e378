import base64
import hashlib
import json
import re

import pytest
from markdown_it import MarkdownIt

from sigjepa.errors import SigjepaError
from sigjepa.reporting.page import FILTER_FROM, MAX_ITEMS, align_numbers, figure, render_page
from sigjepa.reporting.plots import plot_curves

PNG = bytes.fromhex("89504e470d0a1a0a")


@pytest.fixture
def page(make_run, tmp_path):
    """A page with a heading, a table and two figures, one as SVG and one as PNG."""
    plot_curves([make_run("a")], tmp_path / "figures" / "curves", "val/rank10")
    plot_curves([make_run("b")], tmp_path / "figures" / "again", "val/rank10")
    (tmp_path / "figures" / "photo.png").write_bytes(PNG)
    images = "\n\n".join(f"![about {name}](figures/{name}.png)" for name in ("curves", "again", "photo"))
    markdown = f"# Runs\n\n## What the figures support\n\n| run | rank |\n|---|---|\n| a | 1.5 |\n\n{images}\n"
    return render_page(markdown, tmp_path, title="a <title>")


def test_a_page_needs_nothing_but_itself(page):
    assert not re.search(r'(src|href)="(?!#|data:)', page)
    assert not re.search(r"@import|url\((?!#)", page)
    assert "default-src 'none'" in page


def test_figures_are_in_the_page_with_their_data_and_pictures_are_pictures(page):
    found = re.findall(r'<script type="application/json">(.*?)</script>', page)
    assert [json.loads(data)[0]["lines"][0]["label"] for data in found] == ["exp1_4 (1 seed)"] * 2
    assert len(re.findall(r"<noscript><img[^>]*></noscript>", page)) == 2
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert "<figcaption>about photo</figcaption>" in page
    assert "data:image/png;base64,iVBORw0KGgo=" in page


def test_the_policy_admits_the_pages_own_script_and_style_sheet_alone(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page).group(1)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    for name, element in (("script-src", "script"), ("style-src-elem", "style")):
        (content,) = re.findall(rf"<{element}>(.*?)</{element}>", page, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[name] == f"'sha256-{digest}'"
    assert (rules["default-src"], rules["img-src"]) == ("'none'", "data:")


def test_headings_of_one_name_get_ids_of_their_own(tmp_path):
    page = render_page("# t\n\n## Runs\n\n## Theme\n\n## Runs\n\n## Ω\n\n## Runs\n", tmp_path)
    assert re.findall(r'<h2 id="([^"]+)"', page) == ["runs", "theme-2", "runs-2", "section", "runs-3"]
    assert re.findall(r'<li><a href="#([^"]+)"', page) == ["runs", "theme-2", "runs-2", "section", "runs-3"]


def test_an_image_within_a_text_leaves_its_caption(tmp_path):
    page = render_page(
        "# t\n\nsee ![the *curve*](https://example.org/a.png) here\n\n| ![x](b.png) |\n|---|\n", tmp_path
    )
    assert "<p>see the *curve* here</p>" in page
    assert "<img" not in page
    assert "example.org" not in page


def test_contents_lead_to_the_headings(page):
    assert '<a href="#what-the-figures-support">What the figures support</a>' in page
    assert '<h2 id="what-the-figures-support">' in page


def test_the_title_is_escaped_and_refresh_is_asked_for_only_when_watching(page, tmp_path):
    assert "<title>a &lt;title&gt;</title>" in page
    assert 'http-equiv="refresh"' not in page
    assert '<meta http-equiv="refresh" content="30">' in render_page("# t", tmp_path, refresh_seconds=30)


def test_html_in_the_markdown_is_shown_and_not_run(tmp_path):
    attacks = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))"]
    markdown = "# t\n\n" + "\n\n".join(attacks) + f"\n\n| {attacks[0]} |\n|---|\n| {attacks[1]} |\n"
    page = render_page(markdown, tmp_path)
    assert page.count("<script>") == 1  # the page's own
    assert "<img src=x" not in page
    assert 'href="javascript' not in page
    assert "&lt;script&gt;alert(1)" in page


def test_captions_are_escaped(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    assert 'alt="a&quot; onload=&quot;x"' in figure('a" onload="x', tmp_path / "a.png")
    (tmp_path / "a.json").write_text('["</script><b>"]')
    drawn = figure("<b>", tmp_path / "a.png")
    assert 'aria-label="&lt;b&gt;"' in drawn
    assert drawn.count("</script>") == 1


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(SigjepaError, match=r"figures/curves\.png"):
        render_page("![x](figures/curves.png)", tmp_path)


@pytest.mark.parametrize(
    ("cells", "numeric"),
    [
        (["1.5", "-2", "+3.10"], True),
        (["70.89 ± 2.9", "", "—"], True),
        (["+1.0 to +2.0", "60.1 (best of 2 seeds) (stop)", "18.8 %"], True),
        (["< 0.001", "never", "1,234"], True),
        (["1.5", "worse"], False),
        (["exp1_4"], False),
        (["—", ""], False),
        (["2 apples"], False),
        (["1" + " ()" * 40 + "x"], False),
    ],
)
def test_columns_of_numbers_are_set_right(cells, numeric):
    rows = "\n".join(f"| {cell} |" for cell in cells)
    tokens = MarkdownIt("commonmark").enable("table").parse(f"| head |\n|---|\n{rows}\n")
    align_numbers(tokens)
    classes = {token.attrGet("class") for token in tokens if token.type in ("th_open", "td_open")}
    assert classes == ({"number"} if numeric else {None})


def test_tables_scroll_by_themselves(page):
    assert re.search(r'<div class="table"[^>]*>\s*<table class="sortable', page)


def test_cells_of_numbers_sort_by_the_first_one(tmp_path):
    cells = {"70.89 ± 2.9": 70.89, "+1.0 to +2.0": 1.0, "-1,234.5": -1234.5, "18.8 %": 18.8, "0.001": 0.001, "5": 5.0}
    page = render_page("| a |\n|---|\n" + "".join(f"| {cell} |\n" for cell in [*cells, "< 0.001", "—"]), tmp_path)
    *keys, below, nothing = re.findall(r'data-sort="([^"]*)"', page)
    assert list(map(float, keys)) == list(cells.values())
    assert 0 < float(below) < 0.001
    assert nothing == ""


def test_tables_filter_and_lists_fold_from_a_number_on(tmp_path):
    for rows, fields in ((FILTER_FROM - 1, []), (FILTER_FROM, [str(FILTER_FROM)])):
        page = render_page("# t\n\n| a |\n|---|\n" + "| b |\n" * rows, tmp_path)
        assert re.findall(r'placeholder="Filter (\d+) rows"', page) == fields
    for count, more in ((MAX_ITEMS + 1, 0), (MAX_ITEMS + 2, 2)):
        page = render_page("# t\n\n" + "- c\n" * count + "\n1. d\n2. e\n", tmp_path)
        assert re.findall(r"(\d+) more</summary>", page) == ([str(more)] if more else [])
        assert page.count("<li>c</li>") == count
        assert page.count("<details") == page.count("</details>")


def test_sections_are_closed_where_asked_for(tmp_path):
    page = render_page("# t\n\n## A\n\nx\n\n## B\n\ny\n", tmp_path, folded=["B"])
    opened, closed = re.findall(r'<details class="section"( open)?><summary>\s*<h2', page)
    assert (opened, closed) == (" open", "")
    assert page.count("</details>") == 2
