"""A server that speaks enough of the Hugging Face Hub's protocol for one model repository to be written and read."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """The files of the repository by path, and how it was made."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.objects: dict[str, bytes] = {}  # of Git LFS, by sha256
        self.made: dict[str, object] = {}
        self.tokens: set[str | None] = set()
        self.address = ""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *arguments: object) -> None:
        pass

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, content: object, status: int = 200, **headers: str) -> None:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def do_POST(self) -> None:
        hub, path, body = self.hub, urlsplit(self.path).path, self._body()
        hub.tokens.add(self.headers.get("Authorization"))
        if path == "/api/repos/create":
            hub.made = json.loads(body)
            self._answer({"url": f"{hub.address}/me/student", "id": "me/student"})
        elif path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = [
                {
                    "path": each["path"],
                    "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for each in files
            ]
            self._answer({"files": modes})
        elif path.endswith("/info/lfs/objects/batch"):
            actions = [
                {**each, "actions": {"upload": {"href": f"{hub.address}/lfs/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            self._answer({"transfer": "basic", "objects": actions}, Content_Type="application/vnd.git-lfs+json")
        elif "/commit/" in path:
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    hub.files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    hub.files[value["path"]] = hub.objects[value["oid"]]
            url = f"{hub.address}/me/student/commit/{COMMIT}"
            self._answer({"commitUrl": url, "commitOid": COMMIT, "success": True})
        else:
            self._answer({"error": path}, 404)

    def do_PUT(self) -> None:
        body = self._body()
        self.hub.objects[hashlib.sha256(body).hexdigest()] = body
        self._answer(b"")

    def do_GET(self) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        info = {
            "id": "me/student",
            "modelId": "me/student",
            "private": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "sha": COMMIT,
            "siblings": [{"rfilename": name} for name in hub.files],
        }
        prefix, _, name = path.partition(f"/me/student/resolve/{COMMIT}/")
        if path.startswith("/api/models/me/student/tree/"):
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in hub.files.items()
            ]
            self._answer(tree)
        elif path.startswith("/api/models/me/student"):
            self._answer(info) if hub.files else self._answer({"error": "none"}, 404, X_Error_Code="RepoNotFound")
        elif not prefix and name in hub.files:
            content = hub.files[name]
            headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X_Repo_Commit": COMMIT}
            self._answer(content, **headers)
        else:
            self._answer({"error": path}, 404, X_Error_Code="EntryNotFound")

    def do_HEAD(self) -> None:
        self.do_GET()


@contextmanager
def hub_server() -> Iterator[Hub]:
    """Serve an empty repository on loopback."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
