"""A W&B server on localhost: the few calls that the real client makes, and what it sent in them."""

import json
import re
import sys
import threading
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

ENTITY = "team"
API_KEY = "0123456789abcdef0123456789abcdef01234567"


def environment(url: str) -> dict[str, str]:
    """What makes a real client talk to `url`, logged in."""
    return {"WANDB_BASE_URL": url, "WANDB_API_KEY": API_KEY, "WANDB_ERROR_REPORTING": "false"}


@dataclass
class ReceivedRun:
    """A run as the server knows it: what `upsertBucket` said, and the lines of its file stream."""

    fields: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    exit_code: int | None = None

    def records(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for _, line in sorted(self.lines[name].items())]

    @property
    def history(self) -> list[dict[str, Any]]:
        return self.records("wandb-history.jsonl")

    @property
    def summary(self) -> dict[str, Any]:
        return (self.records("wandb-summary.json") or [{}])[-1]

    @property
    def logged(self) -> dict[str, Any]:
        """The last value of each key of the history, whose lines are numbered: the summary's are not, and an old one
        that is sent again may come last."""
        return {key: value for row in self.history for key, value in row.items()}

    @property
    def config(self) -> dict[str, Any]:
        return {key: item["value"] for key, item in json.loads(self.fields["config"]).items()}


class QuietServer(ThreadingHTTPServer):
    """Does not print that a client went away with its connections open, as the W&B client does when it is done."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class WandbServer:
    """Answers in a thread until closed.

    behavior: `answer`, `error` (HTTP 500) or `hang` (accept and say nothing). outage_after: an operation and the
    behavior from then on. failures: what the client asked and this server could not answer.
    """

    def __init__(self) -> None:
        self.behavior = "answer"
        self.runs: dict[str, ReceivedRun] = defaultdict(ReceivedRun)
        self.files: dict[str, bytes] = {}
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.views: list[dict[str, Any]] = []
        self.operations: list[str] = []
        self.failures: list[str] = []
        self.outage_after: tuple[str, str] | None = None
        self.closing = threading.Event()
        self.http = QuietServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def environment(self) -> dict[str, str]:
        """What makes a real client talk to this server, logged in."""
        return environment(self.url)

    def close(self) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()

    def answer(self, method: str, path: str, body: bytes) -> Any:
        if path == "/graphql":
            return self.graphql(json.loads(body))
        if stream := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", path):
            return self.file_stream(self.runs[stream.group(1)], json.loads(body))
        if method == "PUT" and path.startswith("/storage/"):
            self.files[unquote(path.removeprefix("/storage/"))] = body
            return {}
        self.failures.append(f"{method} {path}")
        return {}

    def file_stream(self, run: ReceivedRun, sent: dict[str, Any]) -> dict[str, Any]:
        for name, chunk in (sent.get("files") or {}).items():
            if name == "wandb-summary.json":
                run.lines[name][0] = chunk["content"][-1]
                continue
            run.lines[name] |= dict(enumerate(chunk["content"], start=chunk["offset"]))
        if sent.get("complete"):
            run.exit_code = sent.get("exitcode")
        return {}

    def graphql(self, sent: dict[str, Any]) -> dict[str, Any]:
        operation = re.search(r"(?:query|mutation)\s+(\w+)", sent["query"]).group(1)
        self.operations.append(operation)
        answer = getattr(self, f"_{operation}", None)
        if self.outage_after and operation == self.outage_after[0]:
            self.behavior = self.outage_after[1]
        if answer is None:
            self.failures.append(operation)
            return {"errors": [{"message": f"this server does not speak {operation}"}]}
        return {"data": answer(sent.get("variables") or {})}

    def _RunResumeStatus(self, sent: dict[str, Any]) -> Any:  # noqa: N802 - the client's names
        if sent["name"] not in self.runs:
            return {"model": None}
        run = self.runs[sent["name"]]
        history = run.history
        bucket = {
            "id": "run",
            "name": sent["name"],
            "displayName": run.fields["displayName"],
            "summaryMetrics": json.dumps(run.summary),
            "config": run.fields["config"],
            "historyLineCount": len(history),
            "eventsLineCount": len(run.records("wandb-events.jsonl")),
            "logLineCount": len(run.lines["output.log"]),
            "historyTail": json.dumps([json.dumps(history[-1])] if history else []),
            "eventsTail": "[]",
            "tags": run.fields["tags"],
            "notes": None,
            "wandbConfig": json.dumps({"t": 1}),  # not null: the run has begun
        }
        entity = {"id": "entity", "name": ENTITY}
        return {"model": {"id": "project", "name": sent["project"], "entity": entity, "bucket": bucket}}

    def _UpsertBucket(self, sent: dict[str, Any]) -> Any:  # noqa: N802
        run = self.runs[sent["name"]]
        run.fields |= {key: value for key, value in sent.items() if value is not None or key not in run.fields}
        bucket = {
            "id": "run",
            "name": sent["name"],
            "displayName": run.fields["displayName"],
            "description": None,
            "config": run.fields["config"],
            "sweepName": None,
            "project": {"id": "project", "name": run.fields["project"], "entity": {"id": "entity", "name": ENTITY}},
            "historyLineCount": len(run.history),
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}

    def _ServerFeaturesQuery(self, sent: dict[str, Any]) -> Any:  # noqa: N802
        return {"serverInfo": {"features": []}}

    def _Viewer(self, sent: dict[str, Any]) -> Any:  # noqa: N802
        viewer = {"entity": ENTITY, "username": "tester", "email": "", "flags": "{}", "teams": {"edges": []}}
        return {"viewer": viewer}

    def _OrganizationCoreWeaveOrganizationID(self, sent: dict[str, Any]) -> Any:  # noqa: N802
        return {"entity": {"organization": None}}

    def _GetDefaultEntity(self, sent: dict[str, Any]) -> Any:  # noqa: N802
        return {"viewer": {"id": "viewer", "entity": ENTITY}}

    def _ArtifactType(self, sent: dict[str, Any]) -> Any:  # noqa: N802
        return {"project": {"artifact": None}}

    def _CreateRunFiles(self, sent: dict[str, Any]) -> Any:  # noqa: N802
        files = [{"name": name, "uploadUrl": f"{self.url}/storage/{sent['run']}/{name}"} for name in sent["files"]]
        return {"createRunFiles": {"runID": "run", "uploadHeaders": [], "files": files}}

    def _CreateArtifact(self, sent: dict[str, Any]) -> Any:  # noqa: N802
        name = f"artifact{len(self.artifacts)}"
        self.artifacts[name] = sent["input"] | {"committed": False}
        sequence = {"latestArtifact": None}
        return {"createArtifact": {"artifact": {"id": name, "state": "PENDING", "artifactSequence": sequence}}}

    def _CreateArtifactManifest(self, sent: dict[str, Any]) -> Any:  # noqa: N802
        url = f"{self.url}/storage/{sent['artifactID']}/manifest"
        file = {"id": "file", "uploadUrl": url, "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": "manifest", "file": file}}}

    def _CreateArtifactFiles(self, sent: dict[str, Any]) -> Any:  # noqa: N802
        nodes = []
        for item in sent["input"]["artifactFiles"]:
            path = f"{item['artifactID']}/{item['name']}"
            node = {"storagePath": path, "uploadUrl": f"{self.url}/storage/{path}", "uploadHeaders": []}
            nodes.append({"node": node | {"uploadMultipartUrls": None, "artifact": {"id": item["artifactID"]}}})
        return {"createArtifactFiles": {"files": {"edges": nodes}}}

    def _CommitArtifact(self, sent: dict[str, Any]) -> Any:  # noqa: N802
        self.artifacts[sent["artifactID"]]["committed"] = True
        return {"commitArtifact": {"artifact": {"id": sent["artifactID"], "digest": "digest"}}}

    def _UpsertView2(self, sent: dict[str, Any]) -> Any:  # noqa: N802
        self.views.append(sent)
        return {"upsertView": {"view": {"id": "view", "name": sent["name"]}, "inserted": True}}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: Any) -> None:
                """Keep the test's output clean."""

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if server.behavior == "hang":
                    server.closing.wait()
                    self.close_connection = True
                    return
                if server.behavior == "error":
                    self.send_response(500)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                try:
                    content = json.dumps(server.answer(self.command, self.path.split("?")[0], body)).encode()
                    self.send_response(200)
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    server.failures.append(f"{self.command} {self.path}: {error!r}")
                    content = b"{}"
                    self.send_response(400)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = answer  # noqa: N815 - the library's names

        return Handler


@contextmanager
def wandb_server():
    """A running server, closed at the end."""
    server = WandbServer()
    try:
        yield server
    finally:
        server.close()
