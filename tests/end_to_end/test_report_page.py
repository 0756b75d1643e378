"""The report's page as a reader uses it, in a real browser: Chromium, without a network or a server.

Set SIGJEPA_PAGE_SCREENSHOTS to a folder to keep pictures of it.
"""

import argparse
import configparser
import inspect
import os
import re
import shlex
import textwrap
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

from sigjepa.corpus.functions import Function, extract_functions
from sigjepa.corpus.identifiers import split_identifier
from sigjepa.evaluation.ranks import pool_ranks
from sigjepa.reporting.explorer import FunctionText, explore
from sigjepa.reporting.page import render_page
from sigjepa.reporting.panels import Line, Panel, write_panels
from sigjepa.reporting.plots import PALETTE, plot_differences
from sigjepa.reporting.retrieval import Retrieval

QUERIES, WIDTH = 12, 64
RUNS = {"exp1_4": 2.5, "exp2_1": 3.0, "exp2_2": 2.0, "hardneg_curriculum": 1.2}  # and how far off each predicts
HOSTILE = '</script><script>window.pwned=1</script><img src=x onerror="window.pwned=1"><!--\u2028'
RANKS = {"exp1_4": "12.3 ± 0.5", "exp2_1": "-1.5", "exp2_2": "< 0.001", "none": "—"} | {
    f"r{n}": f"{n}.0" for n in range(2, 7)
}
TABLE = "\n".join(f"| {name} | {'worse' if name == 'exp2_1' else 'better'} | {rank} |" for name, rank in RANKS.items())
MARKDOWN = f"""# A report

## Results

| experiment | verdict | a figure with a long name |
| --- | --- | --- |
{TABLE}

{HOSTILE}

![differences of the runs](figures/differences.png)

![curves of the runs](figures/curves.png)

## Said

{"".join(f"- sentence {number}{chr(10)}" for number in range(8))}
## Origin

![gauges of the runs](figures/health.png)
"""
VALUES = {"exp1_4 (2 seeds)": [10.0, 20.0, 30.0, 40.0, 35.0], "exp2_1 (2 seeds)": [5.0, None, 15.0, 18.0, 12.0]}


def embed(bodies):
    """`[N, D]` sums of one random vector a word: equal bodies get equal rows, like ones near rows."""
    vectors, generator = {}, np.random.default_rng(0)
    rows = []
    for body in bodies:
        row = np.zeros(WIDTH)
        for word, count in Counter(split_identifier(body)).items():
            if word not in vectors:
                vectors[word] = generator.normal(size=WIDTH)
            row += np.log1p(count) * vectors[word]
        rows.append(row / np.linalg.norm(row))
    return torch.from_numpy(np.array(rows, dtype=np.float32))


def real_functions():
    functions = []
    for module in (argparse, configparser, shlex, textwrap):
        source = Path(inspect.getsourcefile(module)).read_bytes()
        found, _ = extract_functions(source, repository="cpython", path=f"{module.__name__}.py")
        functions += found
    hostile = Function(
        HOSTILE, "hostile.py", "zz_hostile", 1, f'def zz_hostile(code="""{HOSTILE}"""):', HOSTILE, f"# {HOSTILE}\nx = 1"
    )
    return [*functions, hostile]


@pytest.fixture(scope="module")
def explorer():
    functions = real_functions()
    bodies = embed([one.body for one in functions])
    generator = np.random.default_rng(1)
    shown = {}
    for name, noise in RUNS.items():
        predictions = bodies + noise * torch.from_numpy(generator.normal(size=bodies.shape) / WIDTH**0.5).float()
        predictions[-1] = -bodies[-1] if name != "exp2_1" else bodies[-1]  # the hostile one is among the hardest
        shown[name] = Retrieval(np.arange(len(bodies)), predictions.numpy(), pool_ranks(predictions, bodies))
    texts = {
        row: FunctionText(one.signature, one.body, one.qualname, one.repository, one.path)
        for row, one in enumerate(functions)
    }
    return explore(shown, bodies, texts, queries=QUERIES, compared=("exp1_4", "hardneg_curriculum"))


def draw_figures(folder):
    differences = {"exp2_1 - exp1_4": (0.03, -0.01, 0.07), "exp2_2 - exp1_4": (-0.02, None, None)}
    plot_differences(differences, folder / "differences", "points")
    lines = [
        Line(name, color, values, *([None if value is None else value + end for value in values] for end in (-1, 1)))
        for (name, values), color in zip(VALUES.items(), PALETTE, strict=False)
    ]
    panel = Panel("", "epoch", "val Rank@10 (%)", list(range(5)), lines)
    write_panels(folder / "curves", [panel], 7, 4)
    write_panels(folder / "health", [replace(panel, title=title) for title in ("loss", "norm")], 7, 4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the figures of a report."""
    folder = tmp_path_factory.mktemp("report")
    draw_figures(folder / "figures")
    return folder


@pytest.fixture(scope="module")
def address(explorer, folder):
    path = folder / "report.html"
    page = render_page(MARKDOWN, folder, explorer=explorer, title="A report", folded=["Origin"])
    path.write_text(page, encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def tabs(browser):
    """Give the tab of a kind of browser, opened once, with the complaints and requests of its page."""
    opened = {}

    def tab(**options):
        if (key := repr(sorted(options.items()))) not in opened:
            context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
            context.add_init_script("if (location.protocol === 'file:') localStorage.clear(), sessionStorage.clear()")
            page, complaints, requests = context.new_page(), [], []
            page.set_default_timeout(5000)
            page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", lambda request: requests.append(request.url.partition("#")[0]))
            opened[key] = page, complaints, requests
        return opened[key]

    return tab


@pytest.fixture
def visit(tabs, address):
    """Load the page anew, at a view of it when given; complaints and requests are checked when the test ends."""
    visited = []

    def go(view="", **options):
        page, complaints, requests = tabs(**options)
        if page not in (each for each, _, _ in visited):
            visited.append((page, complaints, requests))
        page.mouse.move(0, 0)
        page.goto("about:blank")  # from the page itself another view is no load
        page.goto(address + view)
        return page

    def forgive():
        for _, complaints, requests in visited:
            complaints.clear()
            requests.remove("https://example.org/x.png")

    go.forgive = forgive
    yield go
    all_complaints = [text for _, complaints, _ in visited for text in complaints]
    all_requests = {url for _, _, requests in visited for url in requests}
    for page, complaints, requests in visited:
        page.goto("about:blank")
        complaints.clear()
        requests.clear()
    assert all_complaints == []
    assert all_requests == {address}


def eventually(page, condition, seconds=6.0):
    """Wait for a condition; `wait_for_function` would evaluate a string in the page, which its policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


def shown(page):
    return page.locator(".query:visible")


def names(page):
    return page.locator(".query:visible .query-name").all_inner_texts()


def ids(page):
    return [int(one) for one in page.locator(".query:visible").evaluate_all("all => all.map(one => one.dataset.id)")]


def expected(answer):
    return (answer.optimistic + answer.pessimistic) / 2


def ranks_of(explorer, page, run):
    place = {query.id: query for query in explorer.queries}
    return [expected(place[one].answers[explorer.runs.index(run)]) for one in ids(page)]


def test_nothing_in_the_page_runs_but_its_own_script(visit, explorer):
    page = visit()
    page.locator(".query").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    expect(page.locator(".query .retrieved")).to_have_count(5 * len(explorer.queries))
    assert page.evaluate("window.pwned") is None
    assert page.locator("#explorer img").count() == 0
    hostile = page.locator(".query", has=page.get_by_text("zz_hostile", exact=True)).first
    assert HOSTILE in hostile.locator(".asked .code").nth(0).evaluate("box => box.textContent")
    assert hostile.locator(".asked .code").nth(1).evaluate("box => box.textContent") == f"# {HOSTILE}\nx = 1"
    assert page.locator(".query[open]").count() == len(explorer.queries)


def test_search_shrinks_the_list_and_marks_the_words(visit, explorer):
    page = visit()
    total = len(explorer.queries)
    expect(page.locator("#explorer-count")).to_have_text(f"{total} of {total} queries")
    page.get_by_label("Search", exact=True).fill("PARSER self.")
    texts = {
        query.id: "\n".join((one.signature, one.body, one.qualname, one.repository, one.path)).lower()
        for query in explorer.queries
        for one in [explorer.functions[query.id]]
    }
    wanted = {key for key, text in texts.items() if "parser" in text and "self." in text}
    assert 0 < len(wanted) < total
    assert set(ids(page)) == wanted
    expect(page.locator("#explorer-count")).to_have_text(f"{len(wanted)} of {total} queries")
    shown(page).first.locator("summary").click()
    expect(page.locator(".query[open] .retrieved")).to_have_count(5)
    marks = {one.lower() for one in page.locator(".query[open] mark").all_inner_texts()}
    assert marks == {"parser", "self", "."}  # a mark is one piece a token
    background = page.locator(".query[open] mark").first.evaluate("one => getComputedStyle(one).backgroundColor")
    assert background == "rgb(255, 226, 138)"
    page.get_by_label("Search", exact=True).fill("no function holds this")
    assert ids(page) == []
    page.get_by_role("button", name="Clear filters").click()
    assert len(ids(page)) == total
    assert page.locator("#explorer mark").count() == 0


def test_filters_and_sorting(visit, explorer):
    page = visit()
    for kind, label in (("hardest", "Hardest"), ("easiest", "Easiest"), ("changed", "Largest change")):
        page.get_by_label(label).check()
        assert set(ids(page)) == {query.id for query in explorer.queries if kind in query.kinds}
        assert len(ids(page)) == QUERIES
    page.get_by_label("All", exact=True).check()
    for run in ("exp2_1", "hardneg_curriculum"):
        page.get_by_label("Retrieved by").select_option(run)
        everything = []
        for choice, above, up_to in (("first", 0, 1), ("ten", 1, 10), ("beyond", 10, explorer.pool)):
            page.get_by_label("Its rank").select_option(choice)
            found = ranks_of(explorer, page, run)
            assert all(above < rank <= up_to for rank in found)
            everything += found
        assert len(everything) == len(explorer.queries)
        page.get_by_label("Its rank").select_option("any")
        page.locator("[name=sort]").select_option("worst")
        assert ranks_of(explorer, page, run) == sorted(everything, reverse=True)
        page.locator("[name=sort]").select_option("best")
        assert ranks_of(explorer, page, run) == sorted(everything)
    page.locator("[name=sort]").select_option("name")
    letters = [name.lower() for name in names(page)]
    assert letters == sorted(letters)
    page.locator("[name=sort]").select_option("change")
    changes = {query.id: abs(query.change) for query in explorer.queries}
    assert [changes[one] for one in ids(page)] == sorted(changes.values(), reverse=True)


def test_an_open_query_shows_what_the_run_retrieves(visit, explorer):
    page = visit()
    page.get_by_label("Retrieved by").select_option("hardneg_curriculum")
    page.locator("[name=sort]").select_option("best")
    assert page.locator(".retrieved").count() == 0  # built when opened
    query = {one.id: one for one in explorer.queries}[ids(page)[0]]
    page.locator(".query summary").first.focus()
    page.keyboard.press("Enter")
    opened = page.locator(".query[open]")
    expect(opened.locator(".retrieved")).to_have_count(5)
    cosines = [float(one.split()[1]) for one in opened.locator(".retrieved-score").all_inner_texts()]
    assert cosines == sorted(cosines, reverse=True)
    answer = query.answers[explorer.runs.index("hardneg_curriculum")]
    assert cosines == pytest.approx([one.score for one in answer.retrieved], abs=6e-4)
    assert opened.locator(".retrieved.is-true .retrieved-match").inner_text() == "true body"
    body = explorer.functions[query.id].body
    assert opened.locator(".asked .code").nth(1).inner_text().strip() == body.strip()
    words = set(split_identifier(explorer.functions[query.id].signature))
    shared = {one.lower() for one in opened.locator(".shared").all_inner_texts()}
    assert shared
    assert shared <= words
    page.get_by_label("Retrieved by").select_option("exp2_1")
    answer = query.answers[explorer.runs.index("exp2_1")]
    cosines = [float(one.split()[1]) for one in opened.locator(".retrieved-score").all_inner_texts()]
    assert cosines == pytest.approx([one.score for one in answer.retrieved], abs=6e-4)


def test_a_long_body_is_cut_until_asked_for(visit, explorer):
    page = visit()
    long = next(one.id for one in explorer.queries if explorer.functions[one.id].body.count("\n") >= 45)
    query = page.locator(f".query[data-id='{long}']")
    query.locator("summary").click()
    box = query.locator(".asked .code").nth(1)
    assert box.evaluate("box => box.textContent.split('\\n').length") == 40
    query.locator(".asked .show-all").click()
    assert box.evaluate("box => box.textContent") == explorer.functions[long].body
    assert query.locator(".asked .show-all").count() == 0


def test_the_address_holds_the_view(visit, explorer):
    page = visit()
    page.get_by_label("Search", exact=True).fill("def")
    page.get_by_label("Easiest").check()
    page.get_by_label("Retrieved by").select_option("exp2_2")
    page.locator("[name=sort]").select_option("name")
    shown(page).nth(1).locator("summary").click()
    expect(page.locator(".query[open] .retrieved")).to_have_count(5)
    eventually(page, "location.hash.includes('open=')")
    before = (ids(page), page.locator(".query[open]").get_attribute("data-id"))

    again = visit(page.evaluate("location.hash"))
    assert again.get_by_label("Search", exact=True).input_value() == "def"
    assert again.get_by_label("Easiest").is_checked()
    assert again.get_by_label("Retrieved by").input_value() == "exp2_2"
    assert (ids(again), again.locator(".query[open]").get_attribute("data-id")) == before
    assert again.locator(".query[open] .retrieved").count() == 5
    assert again.evaluate("scrollY") > 0  # a link to a view leads to the explorer

    unknown = visit("#explorer:run=nobody&kind=odd&sort=x&open=99999,zz&search=def")
    assert len(ids(unknown)) == len(explorer.queries)
    assert unknown.get_by_label("Retrieved by").input_value() == "exp1_4"


def test_a_refresh_keeps_the_readers_place(browser, explorer, folder):
    path = folder / "watched.html"
    path.write_text(render_page(MARKDOWN, folder, explorer=explorer, refresh_seconds=600), encoding="utf-8")
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(path.as_uri())
    page.locator("[name=sort]").select_option("name")
    shown(page).nth(3).locator("summary").click()
    eventually(page, "location.hash.includes('open=')")
    view = page.evaluate("location.hash")
    page.locator(".section > summary", has_text="Said").click()
    page.get_by_label("Filter 9 rows").fill("worse")
    page.evaluate("window.before = true; scrollTo({ top: 700, behavior: 'instant' })")
    page.evaluate("document.querySelector('[name=search]').focus({ preventScroll: true })")
    page.wait_for_timeout(200)
    top = page.evaluate("scrollY")
    assert top > 500
    page.reload()  # as the page does after that time
    assert page.evaluate("window.before") is None
    eventually(page, "document.activeElement.name === 'search'")  # whoever was typing goes on
    eventually(page, f"Math.abs(scrollY - {top}) < 3")
    assert page.locator(".query[open] .retrieved").count() == 5
    assert page.evaluate("location.hash") == view
    assert page.locator(".section", has_text="sentence 0").get_attribute("open") is None
    assert page.get_by_label("Filter 9 rows").input_value() == "worse"
    assert page.locator(".table tbody tr:visible").count() == 1
    context.close()


def background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_light_and_dark(visit):
    light, dark = visit(), visit(color_scheme="dark")
    day, night = background(light), background(dark)
    assert day != night
    for page, other in ((light, night), (dark, day)):
        color = page.locator("#explorer-app").evaluate("one => getComputedStyle(one).color")
        page.locator("#theme").click()
        assert background(page) == other
        assert page.locator("#explorer-app").evaluate("one => getComputedStyle(one).color") != color


PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
SIZES = pytest.mark.parametrize("options", [{}, PHONE], ids=["desktop", "phone"])


@SIZES
def test_tables_sort_and_filter(visit, options):
    page = visit(**options)
    page.get_by_role("columnheader", name="a figure with a long name").click()

    def first():
        return page.locator("tbody tr:visible td:first-child").all_inner_texts()

    down = ["exp1_4", "r6", "r5", "r4", "r3", "r2", "exp2_2", "exp2_1", "none"]
    eventually(
        page,
        "document.querySelector('tbody td').textContent === 'exp1_4' && document.querySelector('[aria-sort]') !== null",
    )
    assert first() == down  # by the number, not by the letters; what has none comes last
    page.keyboard.press("Enter")
    eventually(page, "document.querySelector('tbody td').textContent !== 'exp1_4'")
    assert first() == [*down[-2::-1], "none"]
    page.get_by_label("Filter 9 rows").fill("EXP better")
    assert first() == ["exp2_2", "exp1_4"]
    page.get_by_label("Filter 9 rows").fill("")
    assert len(first()) == 9


def test_a_phone_shows_the_verdict_and_keeps_the_first_column(visit):
    page = visit(**PHONE)
    box = page.locator(".table").first

    def place(cell):
        return box.locator(cell).evaluate(
            "one => [one.getBoundingClientRect().left, one.getBoundingClientRect().right]"
        )

    assert place("tbody tr:first-child td:nth-child(2)")[1] <= 360
    before = place("tbody tr:first-child td:first-child")
    box.evaluate("one => { one.style.width = '15rem'; one.scrollLeft = 80; }")
    assert box.evaluate("one => one.scrollLeft") > 0
    assert place("tbody tr:first-child td:first-child") == before


def test_sections_and_long_lists_fold(visit):
    page = visit()
    assert page.get_by_text("sentence 4").is_visible()
    assert not page.get_by_text("sentence 5").is_visible()
    page.get_by_text("3 more").click()
    assert page.get_by_text("sentence 7").is_visible()
    page.locator(".section > summary", has_text="Said").click()
    assert not page.get_by_text("sentence 0").is_visible()
    health = page.get_by_label("gauges of the runs")
    assert not health.is_visible()
    page.get_by_role("link", name="Origin").click()  # the contents unfold what they lead to
    expect(health.locator("canvas")).to_have_count(2)
    page.locator(".section > summary", has_text="Origin").focus()
    page.keyboard.press("Enter")
    expect(health).not_to_be_visible()
    assert visit("#origin").get_by_label("gauges of the runs").is_visible()


def legend(plot):
    return [" ".join(row.split()) for row in plot.locator(".u-series:visible").all_inner_texts()]


@SIZES
def test_plots_answer(visit, options):
    page = visit("#origin", **options)
    curves = page.get_by_label("curves of the runs")
    curves.scroll_into_view_if_needed()
    area = curves.locator(".u-over").bounding_box()
    place = (area["x"] + 0.75 * area["width"], area["y"] + area["height"] / 2)  # epoch 3 of 0 to 4
    page.touchscreen.tap(*place) if options else page.mouse.move(*place)
    expect(curves.locator(".u-series").first).to_contain_text("3")
    assert legend(curves) == ["epoch 3", "exp1_4 (2 seeds) 40", "exp2_1 (2 seeds) 18"]
    curves.locator(".u-over").focus()
    page.keyboard.press("ArrowRight")
    expect(curves.locator(".u-series").first).to_contain_text("4")
    page.keyboard.press("ArrowLeft")
    curves.locator("xpath=..").get_by_label("smooth").fill("0.5")
    expect(curves.locator(".u-series").nth(1)).to_contain_text("32.67")  # of 10, 20, 30, 40: weights 1, 2, 4, 8
    assert legend(curves)[1] == f"exp1_4 (2 seeds) {(10 + 40 + 120 + 320) / 15:.2f}"
    # a run is chosen once, for all figures
    other = page.get_by_label("gauges of the runs")

    def switches():
        return page.locator("[role=switch][data-run^=exp2_1]").evaluate_all("all => all.map(one => one.ariaChecked)")

    assert switches() == ["true"] * 3
    curves.get_by_role("switch", name="exp2_1").focus()
    page.keyboard.press("Enter")
    assert switches() == ["false"] * 3
    assert other.locator(".u-off[data-run^=exp2_1]").count() == 2
    curves.get_by_role("switch", name="exp2_1").click()
    assert switches() == ["true"] * 3
    differences = page.get_by_label("differences of the runs")
    differences.locator(".u-over").focus()
    page.keyboard.press("ArrowDown")
    assert legend(differences) == ["difference of exp2_1 - exp1_4", "difference 3", "from -1", "to 7"]
    page.keyboard.press("ArrowDown")
    assert legend(differences) == ["difference of exp2_2 - exp1_4", "difference -2", "from —", "to —"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_take_the_colors_of_the_page(visit, scheme):
    page = visit(**{} if scheme == "light" else {"color_scheme": scheme})
    pixels = """canvas => {
      const { width, height } = canvas, seen = new Set();
      const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
      copy.drawImage(canvas, 0, 0);
      const { data } = copy.getImageData(0, 0, width, height);
      for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255) seen.add(data.slice(at, at + 3).join());
      return [...seen];
    }"""
    canvas = page.get_by_label("curves of the runs").locator("canvas")
    day, night = "220,223,228", "50,57,68"  # the grid, --border of page.css
    mine, other = (day, night) if scheme == "light" else (night, day)
    assert mine in canvas.evaluate(pixels)
    page.locator("#theme").click()
    page.wait_for_timeout(100)
    assert other in canvas.evaluate(pixels)
    assert mine not in canvas.evaluate(pixels)


def test_the_policy_stops_scripts_styles_and_requests_that_are_not_the_pages_own(visit):
    page = visit()
    before = background(page)
    blocked = page.evaluate(
        """() => new Promise((done) => {
          const blocked = [];
          addEventListener("securitypolicyviolation", (event) => {
            blocked.push(event.effectiveDirective);
            if (blocked.length === 3) done(blocked.sort());
          });
          const inserted = { script: "window.pwned = 1", style: "body { background: red !important }" };
          for (const [tag, text] of Object.entries(inserted)) {
            const made = document.createElement(tag);
            made.textContent = text;
            document.body.append(made);
          }
          new Image().src = "https://example.org/x.png";
          setTimeout(() => done(blocked.sort()), 4000);
        })"""
    )
    assert blocked == ["img-src", "script-src-elem", "style-src-elem"]
    assert page.evaluate("window.pwned") is None
    assert background(page) == before
    visit.forgive()  # that the browser complains, and lists the request that it stopped, is what was asked for


def test_on_a_phone_only_code_scrolls_sideways(visit):
    page = visit(**PHONE)
    for index in range(3):
        shown(page).nth(index).locator("summary").click()
    expect(page.locator(".query[open] .retrieved")).to_have_count(15)
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert page.evaluate("innerWidth") == 360
    assert page.locator(".code").evaluate_all("all => all.some(one => one.scrollWidth > one.clientWidth)")


def test_without_scripts_a_note_says_so(visit):
    page = visit(java_script_enabled=False)
    expect(page.get_by_text("The error explorer needs JavaScript.")).to_be_visible()
    expect(page.locator("#explorer-app")).to_be_hidden()
    expect(page.get_by_role("heading", name="Results")).to_be_visible()
    assert page.locator("img:visible").count() == 2  # pictures in place of plots; one is in a folded section
    expect(page.locator(".filter")).to_be_hidden()


def test_keys_reach_everything(visit):
    page = visit()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "search"
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.name || document.activeElement.tagName"))
    assert reached == ["kind", "run", "rank", "sort", "SUMMARY", "SUMMARY"]
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


@pytest.mark.skipif("SIGJEPA_PAGE_SCREENSHOTS" not in os.environ, reason="SIGJEPA_PAGE_SCREENSHOTS names no folder")
def test_pictures(visit):
    folder = Path(os.environ["SIGJEPA_PAGE_SCREENSHOTS"])
    for name, options in (
        ("light", {"color_scheme": "light"}),
        ("dark", {"color_scheme": "dark"}),
        ("phone", {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2}),
    ):
        page = visit("#explorer:search=parser&kind=easiest&run=hardneg_curriculum", **options)
        shown(page).first.locator("summary").click()
        page.screenshot(path=folder / f"{name}.png")
        assert re.search("open=", page.evaluate("location.hash"))
        page = visit("#explorer:", **options)
        page.screenshot(path=folder / f"{name}-list.png")
