"""A chat-completions server on localhost that answers as a judge would, or fails in the way it is told to."""

import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sigjepa.negatives.judging.judges.judge import JudgeRequest

MODEL = "tiny-judge"
ANSWER = "answer"
FAULTS = {
    "truncated": '{"reason": "both add", "sco',
    "wrong key": '{"reason": "both add", "score": 1}',
    "wrong type": '{"reason": "both add", "score_c": "1"}',
    "out of range": '{"reason": "both add", "score_c": 4}',
    "score in prose": "Sure! score: 3",
    "nothing": "",
}
"""What a model may say that holds no judgement."""


def make_request(number: int, **changes: Any) -> JudgeRequest:
    """A pair of functions that `pair_number` tells from all others."""
    fields: dict[str, Any] = {
        "anchor_id": 2 * number,
        "neighbor_id": 2 * number + 1,
        "anchor_key": f"a{number:04d}",
        "neighbor_key": f"b{number:04d}",
        "cosim": 0.9,
        "anchor_signature": f"def first_{number}(x):",
        "anchor_body": f"return x + {number}",
        "neighbor_signature": f"def second_{number}(x):",
        "neighbor_body": f"return x - {number}",
    }
    return JudgeRequest(**(fields | changes))


def pair_number(messages: list[dict[str, str]]) -> int:
    """Which pair a conversation is about, read from the quotation as a model would."""
    (quotation,) = re.findall(r"^<functions>\n(.*)\n</functions>$", messages[1]["content"], re.MULTILINE)
    named = re.search(r"def first_(\d+)", json.loads(quotation)["first"]["signature"])
    return int(named[1]) if named else len(quotation)  # a real function has another name


def score_of(number: int) -> int:
    return number % 4


@dataclass
class Reply:
    """What is sent: a status with a body as it is, or a message whose fields are given; `pause` seconds a byte."""

    status: int = 200
    body: Any = None
    message: dict[str, Any] = field(default_factory=dict)
    finish_reason: str | None = "stop"
    model: str = f"{MODEL}-0"
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0

    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        if self.body is not None:
            return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()
        choice = {"index": 0, "message": {"role": "assistant", **self.message}, "finish_reason": self.finish_reason}
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        head = {"id": "1", "object": "chat.completion", "created": 0, "model": self.model}
        return json.dumps({**head, "choices": [choice], "usage": usage}).encode()


class QuietServer(ThreadingHTTPServer):
    """Does not print that a client went away with its connections open, as a killed one does."""

    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class ChatServer:
    """Answers in threads until closed.

    behavior: what to do with the n-th question (from 0) about a pair: `answer`, an HTTP status, `hang`, `broken pipe`
    (half a response), `no json` (a response that is none), a key of FAULTS, any other text as what the model says, or
    a `Reply` with all that is sent.
    complaint: what an HTTP status is sent with.
    asked: questions by pair. bodies: all questions. models: what `/models` is answered with, a status or a list.
    """

    def __init__(self) -> None:
        self.behavior: Callable[[int, int], Any] = lambda number, attempt: ANSWER
        self.delay = 0.0
        self.complaint = "told to answer"
        self.knows_response_format = True
        self.models: Any = 200
        self.asked: Counter[int] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.http = QuietServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self) -> None:
        if not self.closing.is_set():
            self.closing.set()
            self.http.shutdown()
            self.http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *arguments: Any) -> None:
                """Keep the test's output clean."""

            def handle(self) -> None:
                try:
                    super().handle()
                except ConnectionError:
                    self.close_connection = True

            def reply(self, reply: Reply) -> None:
                if not reply.pause:
                    self.send(reply.status, reply.content(), headers=reply.headers)
                    return
                self.send(reply.status, b"", len(reply.content()))
                for byte in reply.content():
                    if server.closing.wait(reply.pause):
                        break
                    self.wfile.write(bytes([byte]))

            def send(
                self, status: int, content: bytes, length: int | None = None, headers: Mapping[str, str] | None = None
            ) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content) if length is None else length))
                self.end_headers()
                self.wfile.write(content)
                self.close_connection = self.close_connection or length is not None

            def fail(self, status: int) -> None:
                self.send(status, json.dumps({"error": {"message": f"{server.complaint} {status}"}}).encode())

            def hang(self) -> None:
                server.closing.wait()
                self.close_connection = True

            def do_GET(self) -> None:
                server.keys.add(self.headers.get("Authorization"))
                if server.models == "hang":
                    self.hang()
                elif server.models != 200:
                    self.fail(server.models)
                else:
                    self.send(200, json.dumps({"object": "list", "data": [{"id": MODEL, "object": "model"}]}).encode())

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with server.lock:
                    if "response_format" in body and not server.knows_response_format:
                        self.fail(400)
                        return
                    number = pair_number(body["messages"])
                    attempt = server.asked[number]
                    server.asked[number] += 1
                    server.bodies.append(body)
                    server.in_flight += 1
                    server.most_in_flight = max(server.most_in_flight, server.in_flight)
                try:
                    if server.delay:
                        time.sleep(server.delay)
                    self.answer(number, server.behavior(number, attempt))
                finally:
                    with server.lock:
                        server.in_flight -= 1

            def answer(self, number: int, what: Any) -> None:
                if isinstance(what, int):
                    self.fail(what)
                elif isinstance(what, Reply):
                    self.reply(what)
                elif what == "hang":
                    self.hang()
                elif what == "no json":
                    self.send(200, b'{"id": "1", "choices": [{"mess')
                else:
                    text = FAULTS.get(what, what)
                    if what in (ANSWER, "broken pipe"):
                        text = json.dumps({"reason": f"pair {number}", "score_c": score_of(number)})
                    content = Reply(message={"content": text}).content()
                    half = what == "broken pipe"
                    self.send(200, content[: len(content) // 2] if half else content, len(content) if half else None)

        return Handler


@contextmanager
def chat_server() -> Iterator[ChatServer]:
    """A running server, closed at the end."""
    server = ChatServer()
    try:
        yield server
    finally:
        server.close()
