"""The page and its API: what they answer, what they refuse, and that nothing shown is run."""

import html
import json
import re
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fake_student import FakeStudent, write_files
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from sigjepa.corpus.sources.folder import Folder
from sigjepa.errors import SigjepaError
from sigjepa.serve import hosts_of, listening_socket
from sigjepa.serving.code_search import CodeSearch
from sigjepa.serving.functions import FunctionsStage, Places
from sigjepa.serving.index_stage import IndexStage
from sigjepa.serving.page.app import Pages, create_app
from sigjepa.serving.page.batches import Batches
from sigjepa.serving.page.client import ServedSearch
from sigjepa.serving.page.limits import TokenBucket
from sigjepa.serving.query import Query, function_at, read_query
from sigjepa.serving.result_text import code_of
from sigjepa.store.store import Store

EVIL = "<script>alert(1)</script>"
CARD = (
    f"---\nlicense: x\n---\n# A student\n\n## Results\n\n| metric | value |\n|---|---|\n| Rank@1 | 70 % |\n\n{EVIL}\n"
)


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    write_files(folder / "sources" / EVIL.replace("/", "") / "code")
    evil = f"def show(x, note='{EVIL}'):\n    return x + \"{EVIL}\"\n"
    (folder / "sources" / "evil.py").write_text(evil)
    student, store, source = FakeStudent(), Store(folder / "out"), Folder([str(folder / "sources")])
    functions = store.get(FunctionsStage(source))
    return CodeSearch(student, store.get(IndexStage(functions, student)), functions, Places.of(source))


def client_of(search, **options):
    return TestClient(create_app(search, card=CARD, hosts=["127.0.0.1"], **options), base_url="http://127.0.0.1")


@pytest.fixture(scope="module")
def client(search):
    return client_of(search)


def test_the_api_gives_what_the_search_finds(client, search):
    answer = client.get("/api/search", params={"q": "read csv", "top_k": 3}).json()
    assert (answer["query"], len(answer["results"])) == ("def read_csv():", 3)
    assert answer["note"]
    assert {term["text"] for term in answer["expected"]["words"]} == {"def", "read", "csv"}
    assert not any(term["predicted"] for term in answer["expected"]["words"])
    first = answer["results"][0]
    assert first["score"] == pytest.approx(sum(share["value"] for share in first["why"]), abs=1e-4)
    assert client.get(f"/api/functions/{first['row']}").json()["body"] == first["body"]
    neighbors = client.get(f"/api/functions/{first['row']}/neighbors", params={"top_k": 2}).json()
    assert len(neighbors) == 2
    assert first["row"] not in [each["row"] for each in neighbors]


def test_the_document_describes_every_answer(client):
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    for path, answer in (
        ("/api/search", client.get("/api/search", params={"q": "read"}).json()["results"][0]),
        ("/api/functions/{row}", client.get("/api/functions/0").json()),
    ):
        assert path in document["paths"]
        assert answer.keys() == schemas["Result"]["properties"].keys()
    for reference in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)):
        assert reference in schemas


@pytest.mark.parametrize("path", ["/", "/?q=show", "/?q=def+show(x):", "/function/0", "/student", f"/?q={EVIL}"])
def test_pages_escape_what_they_show_and_allow_no_foreign_script(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    assert EVIL not in answer.text
    assert "<script>" not in answer.text
    assert "style=" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_student_is_told_by_its_card_alone(client):
    page = client.get("/student").text
    assert "<td>Rank@1</td>" in page
    assert "license" not in page
    assert "&lt;script&gt;" in page


def test_results_are_explained_and_lead_on(client):
    page = client.get("/", params={"q": "def read_csv(x):"}).text
    assert re.search(r'href="/function/\d+"', page)
    for part in ("words", "read", "sum of", "expects", "<td>Rank@1</td>"):
        assert part in page


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/search", 400),
        ("/api/search?q=%3F", 400),
        ("/api/search?q=read&top_k=0", 400),
        ("/api/search?q=read&top_k=1e9", 400),
        ("/api/search?q=read&top_k=101", 400),
        ("/api/search?q=read&top_k=0001999999", 400),
        (f"/api/search?q=read&top_k={'0' * 5000}1", 400),
        ("/api/functions/100000", 404),
        ("/api/functions/x", 404),
        ("/api/functions/-1", 404),
        ("/api/functions/²", 404),
        (f"/function/{'9' * 5000}", 404),
        (f"/api/functions/{'9' * 5000}/neighbors", 404),
        ("/?q=%3F%21", 400),
        ("/nothing", 404),
        (f"/?q={'x' * 9000}", 414),
    ],
)
def test_a_request_that_can_not_be_answered_says_why(client, path, status):
    answer = client.get(path)
    assert answer.status_code == status
    assert "Traceback" not in answer.text
    if path.startswith("/api/search"):
        assert answer.json()["error"]


def test_lines_within_a_string_are_not_indented(search):
    result = replace(search.function(0), signature="def f():", body="x = '''\na\n'''\nreturn x")
    code = "def f():\n    x = '''\na\n'''\n    return x"
    page = str(Pages(search, "").code(result))
    assert html.unescape(re.sub("<[^>]*>", "", page)) == f"{code}\n"
    assert code_of(result, None) == (code, 0)


def test_a_pasted_query_keeps_its_indentation_in_the_page(client):
    page = client.get("/", params={"q": "    def a(x):\n        return x"}).text
    assert ">    def a(x):\n        return x</textarea>" in page
    assert client.get("/", params={"q": "  \n"}).status_code == 200


def test_bodies_and_foreign_hosts_are_refused(client):
    assert client.post("/api/search", content=b"x" * 10).status_code == 413
    assert client.post("/api/search").status_code == 405
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_more_requests_than_allowed_are_refused(search):
    client = client_of(search, rate=5)
    statuses = [client.get("/openapi.json").status_code for _ in range(20)]
    assert statuses[:5] == [200] * 5
    assert 429 in statuses
    now = [0.0]
    bucket = TokenBucket(2, clock=lambda: now[0])
    assert [bucket.take() for _ in range(3)] == [True, True, False]
    now[0] = 0.5
    assert [bucket.take() for _ in range(2)] == [True, False]


def test_queries_that_wait_are_searched_together_and_too_many_are_told_when_to_come_again(search):
    begun, go_on, together = threading.Event(), threading.Event(), []

    class Slow:
        def answers(self, queries, top_k):
            begun.set()
            assert go_on.wait(30)
            together.append(len(queries))
            return search.answers(queries, top_k)

    batches = Batches(Slow(), max_waiting=3)
    texts = ["def read_csv(x):", "def parse(axis):", "def queue():", "def export(table):"]
    first = batches.put(read_query(texts[0]), 1)
    assert begun.wait(30)
    others = [batches.put(read_query(text), number) for number, text in enumerate(texts[1:], 2)]
    with pytest.raises(HTTPException) as refused:
        batches.put(read_query("def late():"), 1)
    assert (refused.value.status_code, refused.value.headers) == (503, {"retry-after": "1"})
    go_on.set()
    for number, (text, (future, place)) in enumerate(zip(texts, [first, *others], strict=True), 1):
        (alone,) = search.answers([read_query(text)], [number])
        answer = future.result()[place].as_dict()
        rows = [result["row"] for result in answer["results"]]
        assert (answer["query"], rows) == (text, [result.row for result in alone.results])
        assert len(rows) == number
    assert together == [1, 3]


def test_each_thread_searches_a_batch(search):
    both = threading.Barrier(2)

    class Meeting:
        def answers(self, queries, top_k):
            both.wait(30)  # for the batch of the other thread
            return search.answers(queries, top_k)

    batches, texts = Batches(Meeting(), threads=2), ["def read_csv(x):", "def parse(axis):"]
    first = batches.put(read_query(texts[0]), 3)
    while both.n_waiting == 0:
        time.sleep(0.001)
    second = batches.put(read_query(texts[1]), 3)
    for (future, place), text in zip((first, second), texts, strict=True):
        assert future.result()[place].as_dict() == search.answers([read_query(text)], [3])[0].as_dict()


def test_a_refusal_keeps_its_headers(search, monkeypatch):
    monkeypatch.setattr("sigjepa.serving.page.app.Batches", lambda search, threads: Batches(search, max_waiting=0))
    for path in ("/?q=read", "/api/search?q=read"):
        answer = client_of(search).get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_a_port_in_use_is_named_with_the_way_out():
    with listening_socket("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(SigjepaError, match=rf"port={port}.*port=0"):
            listening_socket("127.0.0.1", port)
    with pytest.raises(SigjepaError, match="host=no-such-host.invalid"):
        listening_socket("no-such-host.invalid", 0)


def test_a_page_of_this_machine_has_no_other_name():
    assert hosts_of({"hosts": None, "host": "127.0.0.1"}) == ["127.0.0.1", "localhost", "127.0.0.1"]
    assert hosts_of({"hosts": None, "host": "0.0.0.0"}) == ["*"]
    assert hosts_of({"hosts": ["a"], "host": "0.0.0.0"}) == ["a"]


@pytest.fixture(scope="module")
def address(search):
    import uvicorn

    with listening_socket("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(create_app(search, card=CARD), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_keys_move_between_results_in_a_browser(browser, address):
    page = browser.new_page(viewport={"width": 375, "height": 800})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(f"{address}/?q=def+read_csv(x):")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("[...document.querySelectorAll('.result')].indexOf(document.activeElement)") == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") in ("dark", "light")
    page.keyboard.press("o")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    page.close()
    assert errors == []


def test_a_page_that_runs_is_asked_as_its_index_would_be(search, address):
    served = ServedSearch(address)
    assert len(served) == len(search)
    query = read_query("read csv")
    (here,), (there,) = search.answers([query], [3]), served.answers([query], [3])
    assert there.as_dict() == here.as_dict()
    own = search.function(here.results[0].row)
    query = Query("def read_csv():", file=Path("a.py"), qualname=own.qualname, body=own.body)
    rows = [result.row for result in served.search(query, 3)]
    assert rows == [result.row for result in search.search(read_query("def read_csv():"), 4)][1:]
    assert own.row not in [result.row for result in served.search(query, 100)]
    for too_many in (101, 1000):
        with pytest.raises(SigjepaError, match=f"top_k={too_many}"):
            served.search(query, too_many)
    for other in (f"{address}/nothing", "http://127.0.0.1:9"):
        with pytest.raises(SigjepaError, match=f"index={other}"):
            ServedSearch(other).search(query, 1)


def test_copies_of_the_own_function_leave_as_many_others(tmp_path, monkeypatch):
    write_files(tmp_path / "sources", files=1)
    for number in range(5):
        (tmp_path / "sources" / f"copy_{number}.py").write_text("def read_csv(x):\n    return read(csv, x)\n")
    student, store, source = FakeStudent(), Store(tmp_path / "out"), Folder([str(tmp_path / "sources")])
    functions = store.get(FunctionsStage(source))
    search = CodeSearch(student, store.get(IndexStage(functions, student)), functions, Places.of(source))
    client = client_of(search)
    monkeypatch.setattr(ServedSearch, "_get", lambda _, path, values: client.get(path, params=values).json())
    query = function_at(f"{tmp_path / 'sources' / 'copy_3.py'}:2")
    for top_k in (1, 3, 4, 50):
        here, there = search.search(query, top_k), ServedSearch("").search(query, top_k)
        assert [result.row for result in there] == [result.row for result in here]
        assert len(there) == min(top_k, 4)


def test_a_server_that_ends_frees_its_port():
    first = listening_socket("127.0.0.1", 0)
    port = first.getsockname()[1]
    first.close()
    time.sleep(0.01)
    with listening_socket("127.0.0.1", port) as again:
        assert isinstance(again, socket.socket)
