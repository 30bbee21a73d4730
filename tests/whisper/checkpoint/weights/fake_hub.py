"""A fake Hugging Face Hub on loopback with the HTTP paths that huggingface_hub's download uses."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"

Files = dict[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A fixed answer to all requests for a repository. status 0 closes the connection without an answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class FakeHub(ThreadingHTTPServer):
    """Serves `repositories` at one commit; records requested files, revisions and Authorization headers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FakeHubHandler)
        self.repositories: dict[str, Files] = {}
        self.answers: dict[str, Answer] = {}
        self.requested: list[str] = []
        self.revisions: set[str] = set()
        self.authorizations: set[str | None] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class FakeHubHandler(BaseHTTPRequestHandler):
    server: FakeHub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        """Answer /api/models/OWNER/NAME/revision/R, …/tree/COMMIT and /OWNER/NAME/resolve/COMMIT/FILE."""
        parts = self.path.partition("?")[0].removeprefix("/api/models").strip("/").split("/")
        (owner, name, action, revision), file = parts[:4], "/".join(parts[4:])
        repository = f"{owner}/{name}"
        self.server.authorizations.add(self.headers["Authorization"])
        if repository in self.server.answers:
            answer = self.server.answers[repository]
            self._send(answer.body, status=answer.status, headers=answer.headers)
            return
        files = self.server.repositories[repository]
        if action == "revision":
            self.server.revisions.add(revision)
            self._send(json.dumps({"id": repository, "sha": COMMIT}).encode())
        elif action == "tree":
            listing = [
                {"type": "file", "path": path, "size": len(content), "oid": f"blob of {path}"}
                for path, content in files.items()
            ]
            self._send(json.dumps(listing).encode())
        else:
            assert (action, revision) == ("resolve", COMMIT)
            self.server.requested.append(file)
            self._send(files[file], headers={"X-Repo-Commit": COMMIT, "ETag": f'"{file.replace("/", "-")}"'})

    def _send(self, body: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        if not status:
            return
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
