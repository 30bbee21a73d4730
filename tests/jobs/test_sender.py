from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator, Sequence

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from hf_asr_endpoint.jobs.addresses import AllowedHosts, IPAddress, parse_allowed_hosts
from hf_asr_endpoint.jobs.sender import DeliveryFailed, WebhookSender
from hf_asr_endpoint.jobs.webhook_url import AddressGuard, Resolve
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
    resolve: Resolve | None = None,
) -> None:
    sender = WebhookSender(AddressGuard(allowed, resolve=resolve), timeout_s=timeout_s, secret=secret)
    asyncio.run(sender.send(url, BODY, message_id="R1", now=time.time()))


def test_a_result_arrives_whole(receiver: Receiver) -> None:
    send(receiver.url)
    (received,) = receiver.received
    assert (received.path, received.body) == ("/hook?key=1", BODY)
    assert received.headers["content-type"] == "application/json"
    assert received.headers["webhook-id"] == "R1"
    assert abs(int(received.headers["webhook-timestamp"]) - time.time()) < 60
    assert received.headers["host"] == receiver.url.split("/")[2]
    assert "webhook-signature" not in received.headers


def test_the_signature_is_that_of_standard_webhooks(receiver: Receiver) -> None:
    send(receiver.url, secret=SECRET)
    (received,) = receiver.received
    assert Webhook(SECRET).verify(received.body, received.headers)["text"] == "Grüße"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(received.body + b" ", received.headers)


@pytest.mark.parametrize("status", [200, 201, 204])
def test_every_2xx_counts(receiver: Receiver, status: int) -> None:
    receiver.statuses = [status]
    send(receiver.url)


@pytest.mark.parametrize(
    ("status", "is_gone"), [(400, False), (404, False), (410, True), (429, False), (500, False)]
)
def test_other_answers_are_failures(receiver: Receiver, status: int, is_gone: bool) -> None:
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


def test_an_answer_that_does_not_come(receiver: Receiver) -> None:
    receiver.statuses = [0]
    with pytest.raises(DeliveryFailed, match=r"no answer within 0\.2 s"):
        send(receiver.url, timeout_s=0.2)


def test_a_huge_answer_is_not_read_to_its_end(receiver: Receiver) -> None:
    receiver.answer_bytes = 2**40
    send(receiver.url, timeout_s=5.0)
    assert receiver.n_bytes_sent < 64 * 2**20  # What fits into both sockets' buffers, and no more.


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(DeliveryFailed, match="ConnectError"):
        send(f"http://127.0.0.1:{port}/")


def test_an_address_inside_is_refused_at_the_connection(receiver: Receiver) -> None:
    with pytest.raises(DeliveryFailed, match=r"which is 127\.0\.0\.1"):
        send(receiver.url, allowed=AllowedHosts())
    assert receiver.received == []


class Rebinding:
    """Says one address when it is first asked, and another from then on. asked: how often."""

    def __init__(self, first: str, later: str) -> None:
        self._addresses = [first]
        self._later = later
        self.n_asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[IPAddress]:
        self.n_asked += 1
        return [ipaddress.ip_address(self._addresses.pop() if self._addresses else self._later)]


def test_a_name_that_changes_to_an_address_inside_does_not_get_through(receiver: Receiver) -> None:
    """The request's check sees a public address; the connection is checked again."""
    port = int(receiver.url.split(":")[2].split("/")[0])
    resolve = Rebinding("8.8.8.8", "127.0.0.1")
    asyncio.run(AddressGuard(AllowedHosts(), resolve=resolve).addresses("rebinding.example", port))
    with pytest.raises(DeliveryFailed, match=r"which is 127\.0\.0\.1"):
        send(f"http://rebinding.example:{port}/", allowed=AllowedHosts(), resolve=resolve)
    assert receiver.received == []


def test_a_connection_asks_for_the_address_once_and_goes_by_the_name(receiver: Receiver) -> None:
    """A second question could have another answer: this one would be an address that nobody checked."""
    port = int(receiver.url.split(":")[2].split("/")[0])
    resolve = Rebinding("127.0.0.1", "8.8.8.8")
    send(f"http://receiver.example:{port}/", resolve=resolve)
    assert resolve.n_asked == 1
    assert receiver.received[0].headers["host"] == f"receiver.example:{port}"


def test_tls_goes_by_the_name_and_not_by_the_address() -> None:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda _, name, __: names.append(name)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def work() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        guard = AddressGuard(LOOPBACK, resolve=Rebinding("127.0.0.1", "127.0.0.1"))
        sender = WebhookSender(guard, timeout_s=10.0, secret=None)
        async with server:
            with pytest.raises(DeliveryFailed):
                await sender.send(f"https://receiver.example:{port}/", BODY, message_id="R1", now=0.0)

    asyncio.run(work())
    assert names == ["receiver.example"]


def test_proxies_of_the_environment_are_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    send(receiver.url)
    assert len(receiver.received) == 1
