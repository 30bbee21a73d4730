"""One client: its connection, its recordings, and the checks that every kind of request needs."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

TIMEOUT_S = 600.0


class UnexpectedResponse(Exception):
    """The response is not what this request must get."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recordings:
    """Files to send: short ones of a single window, and one of a few."""

    short: Sequence[Path]
    long: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Asks the server at `url` over one connection. Used by one thread."""

    url: str
    recordings: Recordings
    random: random.Random
    session: requests.Session = field(default_factory=requests.Session)

    def post(self, path: str, *, status: int = 200, **arguments: Any) -> requests.Response:
        """Return the response to a POST. arguments: those of requests. Raises UnexpectedResponse."""
        return self._check(
            self.session.post(self.url + path, timeout=TIMEOUT_S, **arguments), status, arguments.get("stream")
        )

    def get(self, path: str, *, status: int = 200) -> requests.Response:
        return self._check(self.session.get(self.url + path, timeout=TIMEOUT_S), status, False)

    def delete(self, path: str, *, status: int = 200) -> requests.Response:
        return self._check(self.session.delete(self.url + path, timeout=TIMEOUT_S), status, False)

    def connect(self) -> socket.socket:
        """Return a connection of its own, to leave a server that waits or works."""
        address = urlsplit(self.url)
        return socket.create_connection((address.hostname or "", address.port or 80), TIMEOUT_S)

    @staticmethod
    def _check(answer: requests.Response, status: int, is_stream: bool | None) -> requests.Response:
        if answer.status_code != status:
            answer.close()
            raise UnexpectedResponse(f"status {answer.status_code}, not {status}: {answer.text[:300]}")
        if not is_stream and not answer.headers.get("x-request-id"):
            raise UnexpectedResponse("the response has no x-request-id")
        return answer


def text_of(document: Mapping[str, Any]) -> str:
    """Return the text of a transcription in JSON. Raises UnexpectedResponse if there is none."""
    text = document.get("text")
    if not isinstance(text, str) or not text.strip():
        raise UnexpectedResponse(f"no text: {str(document)[:300]}")
    return text.strip()


def require(holds: object, what: object) -> None:
    """Raise UnexpectedResponse unless this holds."""
    if not holds:
        raise UnexpectedResponse(str(what)[:300])
