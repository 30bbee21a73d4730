from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.jobs.addresses import (
    AddressGuard,
    AllowedHosts,
    is_own_address,
    is_public,
    parse_allowed_hosts,
)
from hf_asr_endpoint.jobs.resolver import SystemResolver
from hf_asr_endpoint.jobs.webhook import parse_webhook_url
from tests.jobs.fake_resolver import FakeResolver


def lookup(host: str, port: int, **options: Any) -> Sequence[tuple[Any, ...]]:
    """Resolve like the system in a network with the host "a_container"."""
    return socket.getaddrinfo("10.0.0.9" if host == "a_container" else host, port, **options)


def check(url: str, allowed: Sequence[str] = ()) -> None:
    """Check a webhook like a request."""
    parsed = parse_webhook_url(url)
    with contextlib.closing(AddressGuard(parse_allowed_hosts(allowed), SystemResolver(lookup))) as guard:
        asyncio.run(guard.resolve(parsed.host, parsed.port))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://0/",
        "http://localhost/",
        "http://LOCALHOST/",
        "https://127.0.0.1:8443/x",
        "http://[::1]/",
        "http://[::]/",
        "http://10.0.0.1/",
        "http://172.16.0.1/",
        "http://192.168.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://100.64.0.1/",
        "http://192.0.0.8/",
        "http://198.18.0.1/",
        "http://192.0.2.1/",
        "http://224.0.0.1/",
        "http://239.255.255.250/",
        "http://240.0.0.1/",
        "http://255.255.255.255/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:8.8.8.8]/",
        "http://[::7f00:1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[64:ff9b:1::a00:1]/",
        "http://[2002:7f00:1::]/",
        "http://[2001:0:7f00:1::]/",
        "http://[2001:db8::1]/",
        "http://[fe80::1]/",
        "http://[fc00::1]/",
        "http://[fd00:ec2::254]/",
        "http://[fec0::1]/",
        "http://[ff02::1]/",
    ],
)
def test_refuses_addresses_that_are_not_public(url: str) -> None:
    with pytest.raises(InvalidParameter, match=r"not a public address; allowed: public .*WEBHOOK_ALLOWED_HOSTS"):
        check(url)


@pytest.mark.parametrize("url", ["http://8.8.8.8/", "https://1.1.1.1:8443/x?y", "http://[2606:4700::1111]:80/"])
def test_accepts_public_addresses(url: str) -> None:
    check(url)


@pytest.mark.parametrize(
    ("url", "allowed", "is_accepted"),
    [
        ("http://127.0.0.1:9/", ["127.0.0.1"], True),
        ("http://127.0.0.2:9/", ["127.0.0.1"], False),
        ("http://10.1.2.3/", ["192.168.0.0/16", "10.0.0.0/8"], True),
        ("http://[::1]/", ["::1"], True),
        ("http://[::1]/", ["127.0.0.0/8"], False),
        ("http://localhost/", ["LocalHost"], True),
        ("http://127.0.0.1/", ["localhost"], False),
        ("http://8.8.8.8/", ["10.0.0.0/8"], True),
        ("http://a_container:8080/", ["a_container"], True),
        ("http://a_container:8080/", ["other_container"], False),
    ],
)
def test_operator_allows_hosts_and_networks(url: str, allowed: list[str], is_accepted: bool) -> None:
    if is_accepted:
        check(url, allowed)
    else:
        with pytest.raises(InvalidParameter):
            check(url, allowed)


@pytest.mark.parametrize(
    "entry",
    ["10.0.0.1/8", "http://x", "a b", "*", ".", "x:80", "b\u00fccher.lan", "10.0.0", "10.0.0.256", "a..b"],
)
def test_refuses_allowed_hosts_that_are_not_hosts(entry: str) -> None:
    with pytest.raises(InvalidParameter, match="allowed: for example"):
        parse_allowed_hosts([entry])


def test_allowed_name_may_end_with_a_dot() -> None:
    allowed = parse_allowed_hosts(["receiver.lan."])
    assert allowed.permits("Receiver.LAN.", ipaddress.ip_address("10.0.0.1"), is_own=False)
    assert not allowed.permits("other.lan", ipaddress.ip_address("10.0.0.1"), is_own=False)


@pytest.mark.parametrize(("allowed", "is_accepted"), [([], False), (["8.8.8.8"], True)])
def test_refuses_the_servers_own_public_address(allowed: list[str], is_accepted: bool) -> None:
    """A service that listens on all addresses, and that a firewall hides, would be reachable from the server."""
    guard = AddressGuard(
        parse_allowed_hosts(allowed),
        FakeResolver(["8.8.4.4"], ["8.8.8.8"]),
        is_own=lambda address: str(address) == "8.8.8.8",
    )
    asyncio.run(guard.resolve("other.example", 80))
    error = pytest.raises(InvalidParameter, match="not a public address")
    with contextlib.nullcontext() if is_accepted else error:
        asyncio.run(guard.resolve("own.example", 80))


@pytest.mark.parametrize(
    ("text", "expected"), [("127.0.0.1", True), ("127.0.0.2", False), ("8.8.8.8", False), ("2606:4700::1", False)]
)
def test_recognizes_own_addresses(text: str, expected: bool) -> None:
    assert is_own_address(ipaddress.ip_address(text)) == expected


def test_refuses_a_host_with_one_address_that_is_not_public() -> None:
    guard = AddressGuard(AllowedHosts(), FakeResolver(["8.8.8.8", "10.0.0.1"]))
    with pytest.raises(InvalidParameter, match=r"'two\.example', which is not a public address") as caught:
        asyncio.run(guard.resolve("two.example", 80))
    assert "10.0.0.1" not in str(caught.value)


def test_refuses_a_host_without_address() -> None:
    guard = AddressGuard(AllowedHosts(), FakeResolver([]))
    with pytest.raises(InvalidParameter, match=r"'none\.example', which has no address"):
        asyncio.run(guard.resolve("none.example", 80))


@pytest.mark.parametrize("text", ["8.8.8.8", "2606:4700::1111", "2a00:1450:4001::200e"])
def test_recognizes_public_addresses(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))
