"""A report shows what hostile code, names and records say, and runs none of it: in Chromium, where there is one."""

import base64
import json
import re

import numpy as np
import pytest
import torch

from sigjepa.corpus.functions import extract_functions
from sigjepa.evaluation.ranks import pool_ranks
from sigjepa.reporting.explorer import FunctionText, explore
from sigjepa.reporting.page import render_page
from sigjepa.reporting.report_folder import evidence_or_reason, report_markdown, write_report
from sigjepa.reporting.retrieval import Retrieval
from sigjepa.reporting.runs import find_runs

# names of this length leave no room for the axes
pytestmark = pytest.mark.filterwarnings("ignore:constrained_layout not applied")

ATTACK = (
    "<script>document.title='pwned';window.pwned=1</script><img src=x onerror=\"window.pwned=1\">"
    "</script><script>window.pwned=1</script><svg onload=window.pwned=1>{{7*7}}${oc.env:HOME}$\\frac{$"
)
QUERIES = 6
SECRET = "a secret that lies beside the report"


def attacked(place):
    """Text that tells one place from another."""
    return f"{ATTACK} {place}"


@pytest.fixture(scope="module")
def explorer():
    """Functions as extraction gives them, every text of theirs hostile."""
    text = f'"""{ATTACK}"""'
    source = "".join(
        f"def f{row}(code={text}, *, n={row}):\n    {text}\n    x = {text}\n    return x, {row}\n"
        for row in range(QUERIES)
    )
    functions, _ = extract_functions(source.encode(), repository=attacked("repository"), path=attacked("path") + ".py")
    assert len(functions) == QUERIES
    bodies = torch.from_numpy(np.random.default_rng(0).normal(size=(QUERIES, 8)).astype(np.float32))
    texts = {
        row: FunctionText(one.signature, one.body, f"{one.qualname} {ATTACK}", one.repository, one.path)
        for row, one in enumerate(functions)
    }
    retrievals = {
        name: Retrieval(np.arange(QUERIES), shown.numpy(), pool_ranks(shown, bodies))
        for name, shown in ((attacked("exp1_4"), bodies), (attacked("exp2_1"), -bodies))
    }
    return explore(retrievals, bodies, texts, queries=QUERIES, compared=tuple(retrievals))


@pytest.fixture(scope="module")
def written(make_shared_run, explorer):
    """A whole report of runs whose every record is hostile, beside a file that is nobody's business."""
    root = make_shared_run("a", experiment=attacked("exp1_4"), config={"note": attacked("config")}).folder.parent
    make_shared_run("b", experiment=attacked("exp2_1"), mined=True, config={"note": "other"})
    (root / "secret.png").write_text(SECRET)
    (root / "secret.svg").write_text(f"<svg>{SECRET}<script>window.pwned=1</script></svg>")
    image = f"\n\n![{attacked('image')}](../secret.png)\n\n![x]({root / 'secret.png'})\n\n"
    for name in ("a", "b"):
        provenance = json.loads((root / name / "provenance.json").read_text())
        provenance["artifacts"]["corpus"] = image
        provenance["git"]["sha"] = ATTACK
        provenance["hard_negatives"] = {"Judge": attacked("judge"), attacked("statistic"): "12"}
        (root / name / "provenance.json").write_text(json.dumps(provenance))
    (root / "failed").mkdir()
    failed = {"experiment": "exp2_2", "seed": 0, "status": "failed", "error": attacked("error") + image}
    (root / "failed" / "summary.json").write_text(json.dumps(failed))
    runs = find_runs([root])
    output = root / "report"
    markdown = report_markdown(
        runs,
        output / "figures",
        command=f"python -m sigjepa.report {image}",
        baseline=None,
        split="test",
        metric=None,
        epochs=[0, 1],
        published=False,
        power=None,
        evidence=evidence_or_reason([run for run in runs if run.status == "finished"], None),
    )
    return write_report(output, markdown, attacked("title"), explorer)


def test_a_hostile_report_runs_nothing_and_shows_all(written, browser):
    page = browser.new_page()
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url.partition("#")[0]))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(written.as_uri())
    for query in page.locator(".query").all():
        query.locator("summary").click()
    page.wait_for_timeout(200)  # what an image's failure would run comes late
    assert page.evaluate("window.pwned") is None
    assert page.title() == attacked("title")
    assert errors == []  # nothing was even stopped by the policy: nothing hostile became an element
    assert set(requests) == {written.as_uri()}
    kinds = page.locator("script").evaluate_all("all => all.map(one => one.type)")
    assert sorted(kinds) == [""] + ["application/json"] * 5  # the page's own, the explorer's data and four figures'
    assert page.locator("img").count() == 0
    text = page.evaluate("document.body.textContent")
    for place in ("exp1_4", "exp2_1", "error", "judge", "statistic", "config", "repository", "path"):
        assert attacked(place)[-40:] in text  # templates stand as they were written
    shown = page.locator(".query .asked .code").first.evaluate("box => box.textContent")
    assert ATTACK in shown
    page.close()


def test_the_markdown_itself_holds_no_html_and_no_link_of_a_record(written):
    markdown = (written.parent / "report.md").read_text(encoding="utf-8")
    assert not re.search(r"<[a-z/!?]", markdown, flags=re.IGNORECASE)
    assert all(target.startswith("figures/") for target in re.findall(r"\]\(([^)]*)", markdown))
    assert "window.pwned" in markdown


def test_no_file_that_a_record_names_gets_into_the_page(written):
    page = written.read_text(encoding="utf-8")
    assert SECRET not in page
    assert base64.b64encode(SECRET.encode()).decode()[:20] not in page


@pytest.mark.parametrize(
    "source",
    [
        "../secret.png",
        "/etc/hostname",
        "figures/../secret.png",
        "secret.png",
        "figures/sub/../../secret.png",
    ],
)
def test_an_image_from_elsewhere_leaves_its_caption(tmp_path, source):
    (tmp_path / "figures").mkdir()
    (tmp_path / "secret.png").write_text(SECRET)
    page = render_page(f"# t\n\n![the caption]({source})\n", tmp_path / "figures" / "..")
    assert "the caption" in page
    assert "<img" not in page
    assert "<figure" not in page
