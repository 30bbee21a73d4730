from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence

import pytest

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.jobs.addresses import AllowedHosts, IPAddress, is_public, parse_allowed_hosts
from hf_asr_endpoint.jobs.webhook_url import AddressGuard, WebhookUrl, parse_webhook_url


def check(url: str, allowed: Sequence[str] = ()) -> None:
    """As a request does, with the system's own resolver."""
    parsed = parse_webhook_url(url)
    asyncio.run(AddressGuard(parse_allowed_hosts(allowed)).addresses(parsed.host, parsed.port))


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
def test_urls_that_are_refused_unread(url: str) -> None:
    with pytest.raises(InvalidParameter, match=r"^webhook .*allowed: ") as caught:
        parse_webhook_url(url)
    assert caught.value.parameter == "webhook"
    assert "password" not in str(caught.value).replace("a user name or password", "")


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
def test_addresses_inside_are_refused(url: str) -> None:
    with pytest.raises(InvalidParameter, match=r"which is .*allowed: public addresses.*WEBHOOK_ALLOWED_HOSTS"):
        check(url)


@pytest.mark.parametrize("url", ["http://8.8.8.8/", "https://1.1.1.1:8443/x?y", "http://[2606:4700::1111]:80/"])
def test_public_addresses_are_taken(url: str) -> None:
    check(url)


def test_a_url_taken_apart() -> None:
    assert parse_webhook_url("https://Example.com:8443/a%20b?c=d") == WebhookUrl(
        scheme="https", host="example.com", port=8443, netloc="Example.com:8443", target="/a%20b?c=d"
    )
    assert parse_webhook_url("http://[2606:4700::1111]?q").target == "/?q"


@pytest.mark.parametrize(
    ("url", "allowed", "is_taken"),
    [
        ("http://127.0.0.1:9/", ["127.0.0.1"], True),
        ("http://127.0.0.2:9/", ["127.0.0.1"], False),
        ("http://10.1.2.3/", ["192.168.0.0/16", "10.0.0.0/8"], True),
        ("http://[::1]/", ["::1"], True),
        ("http://[::1]/", ["127.0.0.0/8"], False),
        ("http://localhost/", ["LocalHost"], True),
        ("http://127.0.0.1/", ["localhost"], False),
        ("http://8.8.8.8/", ["10.0.0.0/8"], True),
    ],
)
def test_what_the_operator_allows(url: str, allowed: list[str], is_taken: bool) -> None:
    if is_taken:
        check(url, allowed)
    else:
        with pytest.raises(InvalidParameter):
            check(url, allowed)


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "http://x", "a b", "*", ".", "x:80"])
def test_allowed_hosts_that_are_none(entry: str) -> None:
    with pytest.raises(InvalidParameter, match="allowed: such as"):
        parse_allowed_hosts([entry])


def test_an_allowed_name_may_have_a_dot_at_its_end() -> None:
    allowed = parse_allowed_hosts(["receiver.lan."])
    assert allowed.permits("Receiver.LAN.", ipaddress.ip_address("10.0.0.1"))
    assert not allowed.permits("other.lan", ipaddress.ip_address("10.0.0.1"))


def test_one_address_inside_refuses_the_host() -> None:
    async def resolve(host: str, port: int) -> Sequence[IPAddress]:
        return [ipaddress.ip_address("8.8.8.8"), ipaddress.ip_address("10.0.0.1")]

    with pytest.raises(InvalidParameter, match=r"which is 10\.0\.0\.1"):
        asyncio.run(AddressGuard(AllowedHosts(), resolve=resolve).addresses("two.example", 80))


def test_a_host_without_an_address_is_refused() -> None:
    async def resolve(host: str, port: int) -> Sequence[IPAddress]:
        raise OSError("Name or service not known")

    with pytest.raises(InvalidParameter, match=r"'none\.example', which has no address"):
        asyncio.run(AddressGuard(AllowedHosts(), resolve=resolve).addresses("none.example", 80))


@pytest.mark.parametrize("text", ["8.8.8.8", "2606:4700::1111", "2a00:1450:4001::200e"])
def test_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))
