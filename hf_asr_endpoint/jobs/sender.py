"""One attempt to deliver a result: one connection to a checked address, one POST, one answer's status.

Over httpcore, not httpx: no redirects, no proxies from the environment, no unpacking of answers.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeAlias

import httpcore2
from standardwebhooks.webhooks import Webhook

from hf_asr_endpoint import __version__
from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.jobs.webhook_url import AddressGuard, WebhookUrl, parse_webhook_url

MAX_ANSWER_BYTES = 64 * 2**10
"""Of the receiver's answer, read so that it sees its answer taken; nothing is done with them."""

_Headers: TypeAlias = dict[bytes | str, bytes | str]


class DeliveryFailed(Exception):
    """An attempt failed; the message says why. is_gone: whether the receiver wants no more of them."""

    def __init__(self, message: str, *, is_gone: bool = False) -> None:
        super().__init__(message)
        self.is_gone = is_gone


class WebhookSender:
    """Posts documents, signed as https://www.standardwebhooks.com says when there is a secret."""

    def __init__(self, guard: AddressGuard, *, timeout_s: float, secret: str | None) -> None:
        """timeout_s: for a whole attempt. secret: base64, with or without `whsec_` before it."""
        self._backend = _GuardedBackend(guard)
        self._timeout_s = timeout_s
        self._signer = Webhook(secret) if secret else None
        self._ssl_context: ssl.SSLContext | None = None

    async def send(self, url: str, body: bytes, *, message_id: str, now: float) -> None:
        """Post a JSON document. now: in Unix seconds. Raises DeliveryFailed for whatever is no answer of 2xx."""
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
                await _read_some(answer)
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
    """Connects to addresses that the guard lets through, and to nothing by its name.

    The name is resolved here and nowhere later, so that it cannot be another address by the time of the
    connection. TLS goes by the name all the same: httpcore takes that from the URL.
    """

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self._plain = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure: Exception | None = None
        for address in await self._guard.addresses(host, port):
            try:
                return await self._plain.connect_tcp(
                    str(address),
                    port,
                    timeout=timeout,
                    local_address=local_address,
                    socket_options=socket_options,
                )
            except httpcore2.ConnectError as exc:
                failure = exc
        raise failure or httpcore2.ConnectError(f"{host} has no address")


async def _read_some(answer: httpcore2.Response) -> None:
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
        raise DeliveryFailed(f"the receiver answered {status}; what counts is 2xx, and redirects are not followed")
