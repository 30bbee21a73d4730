"""Webhooks: their URLs, and one attempt to send a document to one.

An attempt is one connection to a checked address, one POST, and the status of the answer. It uses httpcore instead
of httpx, because httpx follows redirects, uses proxies from the environment and decompresses answers.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import httpcore2
from standardwebhooks.webhooks import Webhook

from hf_asr_endpoint import __version__
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.jobs.addresses import AddressGuard, refused_webhook

MAX_URL_CHARACTERS = 2048
MAX_ANSWER_BYTES = 64 * 2**10
"""Read from the receiver's answer, so that the receiver does not see a broken connection. They are ignored."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_PRINTABLE_ASCII = re.compile(r"[!-~]+")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")  # a name or an address, without zone or percent sign

_Headers: TypeAlias = dict[bytes | str, bytes | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookUrl:
    """A URL, parsed once, so that the server connects to the host that it has checked."""

    scheme: str
    host: str
    """Without the brackets of an IPv6 address."""
    port: int
    netloc: str
    """Host and port as the client wrote them, for the header `Host`."""
    target: str
    """Path and query."""


def parse_webhook_url(url: str) -> WebhookUrl:
    """Parse a URL. Raises InvalidParameter, with a message that does not show a password in the URL."""
    if len(url) > MAX_URL_CHARACTERS or not _PRINTABLE_ASCII.fullmatch(url) or "\\" in url:
        raise refused_webhook(
            f"is a text of {len(url)} characters and not a plain URL",
            f"at most {MAX_URL_CHARACTERS} printable ASCII characters without blanks and backslashes",
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise refused_webhook(f"is not a URL ({exc})", "https://host/path") from exc
    if parts.scheme not in _DEFAULT_PORTS:
        raise refused_webhook(f"has the scheme {parts.scheme[:20]!r}", "http and https")
    if "@" in parts.netloc:
        raise refused_webhook("has a user name or password", "https://host/path, and a secret in path or query")
    if not _HOST.fullmatch(host) or port == 0:
        raise refused_webhook(
            f"has the host {parts.netloc[:80]!r}", "a host name in ASCII or an address, and a port"
        )
    if parts.fragment:
        raise refused_webhook("has a fragment (#…), which is never sent", "a URL without one")
    return WebhookUrl(
        scheme=parts.scheme,
        host=host,
        port=port or _DEFAULT_PORTS[parts.scheme],
        netloc=parts.netloc,
        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )


def receiver_of(url: str) -> str:
    """Return the host and port of a webhook, which identify its receiver, or "" if the URL is not valid."""
    try:
        parsed = parse_webhook_url(url)
    except InvalidParameter:
        return ""
    return f"{parsed.host.rstrip('.')}:{parsed.port}"


class DeliveryFailed(Exception):
    """An attempt failed; the message says why. is_gone: whether the receiver refuses all further attempts."""

    def __init__(self, message: str, *, is_gone: bool = False) -> None:
        super().__init__(message)
        self.is_gone = is_gone


class WebhookSender:
    """Posts documents. With a secret, it signs them as https://www.standardwebhooks.com specifies."""

    def __init__(self, guard: AddressGuard, *, timeout_s: float, secret: str | None) -> None:
        """timeout_s: for a whole attempt. secret: base64, with or without the prefix `whsec_`."""
        self._backend = _GuardedBackend(guard)
        self._timeout_s = timeout_s
        self._signer = Webhook(secret) if secret else None
        self._ssl_context: ssl.SSLContext | None = None

    async def send(self, url: str, body: bytes, *, message_id: str, now: float) -> None:
        """Post a JSON document. now: Unix seconds. Raises DeliveryFailed unless the answer's status is 2xx."""
        status: int | None = None
        try:
            target = parse_webhook_url(url)
            if self._ssl_context is None:
                self._ssl_context = await asyncio.to_thread(httpcore2.default_ssl_context)
            async with (
                asyncio.timeout(self._timeout_s),
                httpcore2.AsyncConnectionPool(
                    ssl_context=self._ssl_context, network_backend=self._backend
                ) as connections,
                connections.stream(
                    "POST",
                    httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.target),
                    headers=self._headers(target, body, message_id=message_id, now=now),
                    content=body,
                ) as answer,
            ):
                status = answer.status
                await _read_beginning(answer)
        except InvalidParameter as exc:
            raise DeliveryFailed(str(exc)) from exc
        except TimeoutError as exc:
            if status is None:
                raise DeliveryFailed(f"no answer within {self._timeout_s:g} s") from exc
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as exc:
            if status is None:
                raise DeliveryFailed(f"{type(exc).__name__}: {exc}") from exc
        _check_status(status)

    def _headers(self, url: WebhookUrl, body: bytes, *, message_id: str, now: float) -> _Headers:
        headers: _Headers = {
            "Host": url.netloc,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            "User-Agent": f"hf-asr-endpoint/{__version__}",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now)),
        }
        if self._signer:
            headers["webhook-signature"] = self._signer.sign(
                message_id, datetime.fromtimestamp(int(now), UTC), body.decode()
            )
        return headers


class _GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that the guard allows.

    The host is resolved here and nowhere else, so that the address that is connected to is the one that was
    checked. TLS still verifies the host name: httpcore takes it from the URL.
    """

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure: Exception | None = None
        for address in await self._guard.resolve(host, port):
            try:
                return await self._network.connect_tcp(
                    str(address),
                    port,
                    timeout=timeout,
                    local_address=local_address,
                    socket_options=socket_options,
                )
            except httpcore2.ConnectError as exc:
                failure = exc
        raise failure or httpcore2.ConnectError(f"{host} has no address")


async def _read_beginning(answer: httpcore2.Response) -> None:
    n_bytes = 0
    async for part in answer.aiter_stream():
        n_bytes += len(part)
        if n_bytes > MAX_ANSWER_BYTES:
            return


def _check_status(status: int | None) -> None:
    assert status is not None
    if status == 410:
        raise DeliveryFailed("the receiver answered 410 Gone", is_gone=True)
    if not 200 <= status < 300:
        raise DeliveryFailed(f"the receiver answered {status}; expected: 2xx (redirects are not followed)")
