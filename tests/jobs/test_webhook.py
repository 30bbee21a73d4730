from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.jobs.addresses import AddressGuard, AllowedHosts, Resolver, parse_allowed_hosts
from hf_asr_endpoint.jobs.resolver import SystemResolver
from hf_asr_endpoint.jobs.webhook import (
    DeliveryFailed,
    WebhookSender,
    WebhookUrl,
    parse_webhook_url,
    receiver_of,
)
from tests.jobs.fake_resolver import FakeResolver
from tests.jobs.receiver import Receiver, run_receiver

SECRET = "whsec_" + "c2VjcmV0" * 4
BODY = '{"request_id":"R1","text":"Grüße"}'.encode()
LOOPBACK = parse_allowed_hosts(["127.0.0.1"])


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with run_receiver() as running:
        yield running


def send(
    url: str,
    *,
    allowed: AllowedHosts = LOOPBACK,
    secret: str | None = None,
    timeout_s: float = 10.0,
    resolver: Resolver | None = None,
) -> None:
    with closing(AddressGuard(allowed, resolver or SystemResolver())) as guard:
        sender = WebhookSender(guard, timeout_s=timeout_s, secret=secret)
        asyncio.run(sender.send(url, BODY, message_id="R1", now=time.time()))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://8.8.8.8/",
        "file:///etc/passwd",
        "gopher://8.8.8.8/",
        "//8.8.8.8/",
        "8.8.8.8",
        "",
        "http://",
        "http:///path",
        "http://user@8.8.8.8/",
        "http://user:password@8.8.8.8/",
        "http://8.8.8.8@127.0.0.1/",
        "http://8.8.8.8\\@127.0.0.1/",
        "http://8.8.8.8/\r\nHost: x",
        "http://8.8.8.8/ x",
        "http://8.8.8.8/\t",
        "http://8.8.8.8:0/",
        "http://8.8.8.8:99999/",
        "http://8.8.8.8:x/",
        "http://[8.8.8.8/",
        "http://[fe80::1%25eth0]/",
        "http://8.8.8.8%00.example/",
        "http://ex\u00e4mple.de/",
        "http://127\u3002 0.0.1/",
        "http://8.8.8.8/#fragment",
        "http://8.8.8.8/" + "x" * 2048,
    ],
)
def test_refuses_invalid_urls(url: str) -> None:
    with pytest.raises(InvalidParameter, match=r"^webhook .*allowed: ") as caught:
        parse_webhook_url(url)
    assert caught.value.parameter == "webhook"
    assert "password" not in str(caught.value).replace("a user name or password", "")


def test_parses_a_url() -> None:
    assert parse_webhook_url("https://Example.com:8443/a%20b?c=d") == WebhookUrl(
        scheme="https", host="example.com", port=8443, netloc="Example.com:8443", target="/a%20b?c=d"
    )
    assert parse_webhook_url("http://[2606:4700::1111]?q").target == "/?q"


def test_receiver_is_a_host_and_port() -> None:
    urls = ("https://r.example/1", "https://R.example.:443/2?x", "https://r.example:80/", "ftp://r.example/")
    assert [receiver_of(url) for url in urls] == ["r.example:443", "r.example:443", "r.example:80", ""]


def test_sends_document_and_headers(receiver: Receiver) -> None:
    send(receiver.url)
    (received,) = receiver.received
    assert (received.path, received.body) == ("/hook?key=1", BODY)
    assert received.headers["content-type"] == "application/json"
    assert received.headers["webhook-id"] == "R1"
    assert abs(int(received.headers["webhook-timestamp"]) - time.time()) < 60
    assert received.headers["host"] == receiver.url.split("/")[2]
    assert "webhook-signature" not in received.headers


def test_signs_with_standard_webhooks(receiver: Receiver) -> None:
    send(receiver.url, secret=SECRET)
    (received,) = receiver.received
    assert Webhook(SECRET).verify(received.body, received.headers)["text"] == "Grüße"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(received.body + b" ", received.headers)


@pytest.mark.parametrize("status", [200, 201, 204])
def test_every_2xx_is_a_success(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status]
    send(receiver.url)


@pytest.mark.parametrize(
    ("status", "is_gone"), [(400, False), (404, False), (410, True), (429, False), (500, False)]
)
def test_other_statuses_are_failures(receiver: Receiver, status: int, is_gone: bool) -> None:
    receiver.statuses = [status]
    with pytest.raises(DeliveryFailed, match=str(status)) as caught:
        send(receiver.url)
    assert caught.value.is_gone is is_gone


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(receiver: Receiver, status: int) -> None:
    receiver.statuses, receiver.location = [status, 200], receiver.url
    with pytest.raises(DeliveryFailed, match=f"{status}.*redirects are not followed"):
        send(receiver.url)
    assert len(receiver.received) == 1


def test_missing_answer_is_a_failure_after_the_timeout(receiver: Receiver) -> None:
    receiver.statuses = [0]
    with pytest.raises(DeliveryFailed, match=r"no answer within 0\.2 s"):
        send(receiver.url, timeout_s=0.2)


def test_reads_only_the_beginning_of_a_huge_answer(receiver: Receiver) -> None:
    receiver.answer_bytes = 2**40
    send(receiver.url, timeout_s=5.0)
    assert receiver.n_bytes_sent < 64 * 2**20  # As much as the buffers of both sockets hold.


def test_refused_connection_is_a_failure() -> None:
    with run_receiver(is_down=True) as receiver, pytest.raises(DeliveryFailed, match="ConnectError"):
        send(receiver.url)


def test_does_not_connect_to_an_address_that_is_not_allowed(receiver: Receiver) -> None:
    with pytest.raises(DeliveryFailed, match="not a public address"):
        send(receiver.url, allowed=AllowedHosts())
    assert receiver.received == []


def test_checks_the_address_again_at_the_connection(receiver: Receiver) -> None:
    """DNS rebinding: when the job was submitted, the name had a public address."""
    port = int(receiver.url.split(":")[2].split("/")[0])
    resolver = FakeResolver(["8.8.8.8"], ["127.0.0.1"])
    asyncio.run(AddressGuard(AllowedHosts(), resolver).resolve("rebinding.example", port))
    with pytest.raises(DeliveryFailed, match="not a public address"):
        send(f"http://rebinding.example:{port}/", allowed=AllowedHosts(), resolver=resolver)
    assert receiver.received == []


def test_resolves_the_host_once_and_keeps_its_name(receiver: Receiver) -> None:
    """A second lookup could return an address that has not been checked."""
    port = int(receiver.url.split(":")[2].split("/")[0])
    resolver = FakeResolver(["127.0.0.1"], ["8.8.8.8"])
    send(f"http://receiver.example:{port}/", resolver=resolver)
    assert resolver.n_lookups == 1
    assert receiver.received[0].headers["host"] == f"receiver.example:{port}"


def test_tls_uses_the_host_name() -> None:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda _, name, __: names.append(name)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def work() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        guard = AddressGuard(LOOPBACK, FakeResolver(["127.0.0.1"]))
        sender = WebhookSender(guard, timeout_s=10.0, secret=None)
        async with server:
            with pytest.raises(DeliveryFailed):
                await sender.send(f"https://receiver.example:{port}/", BODY, message_id="R1", now=0.0)

    asyncio.run(work())
    assert names == ["receiver.example"]


def test_ignores_proxies_from_the_environment(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    send(receiver.url)
    assert len(receiver.received) == 1
