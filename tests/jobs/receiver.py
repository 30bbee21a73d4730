"""A receiver of webhooks: a real HTTP server on this machine, whose answers the test sets."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STOP_TIMEOUT_S = 10.0
DEADLINE_S = 60.0
POLL_INTERVAL_S = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request. status: of the answer to it."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document


@dataclass(kw_only=True)
class Receiver:
    """statuses: of the next answers; the last one is repeated. A status of 0 means no answer."""

    url: str = ""
    statuses: list[int] = field(default_factory=lambda: [200])
    answer_bytes: int = 0
    location: str = ""
    n_bytes_sent: int = 0
    received: list[Received] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    come_up: Callable[[], None] = lambda: None

    def wait_for_document(self) -> dict[str, Any]:
        """Return the first document that arrives."""
        deadline = time.monotonic() + DEADLINE_S
        while not self.received:
            assert time.monotonic() < deadline, "nothing was delivered"
            time.sleep(POLL_INTERVAL_S)
        return self.received[0].document()

    def next_status(self) -> int:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


@contextmanager
def run_receiver(*, is_down: bool = False) -> Iterator[Receiver]:
    """is_down: its port refuses connections until `come_up`. It is kept meanwhile: nobody else can get it."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.next_status()
            receiver.received.append(Received(path=self.path, headers=headers, body=body, status=status))
            if not status:
                receiver.released.wait(STOP_TIMEOUT_S)
                return
            self.send_response(status)
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", str(receiver.answer_bytes))
            self.end_headers()
            try:
                for _ in range(0, receiver.answer_bytes, 65_536):
                    self.wfile.write(bytes(65_536))
                    receiver.n_bytes_sent += 65_536
            except OSError:
                self.close_connection = True  # The client has closed the connection.

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.daemon_threads = True
    server.server_bind()
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook?key=1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})

    def come_up() -> None:
        server.server_activate()
        thread.start()

    receiver.come_up = come_up
    if not is_down:
        come_up()
    try:
        yield receiver
    finally:
        receiver.released.set()
        if thread.is_alive():
            server.shutdown()
            thread.join(STOP_TIMEOUT_S)
        server.server_close()
