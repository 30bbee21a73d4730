"""Which addresses a webhook may have: public ones, and those that the operator allows.

Knows hosts and addresses; does not know URLs or how a host is resolved.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from hf_asr_endpoint.errors import InvalidParameter

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

WEBHOOK = "webhook"
"""The name of the parameter, for errors."""

RESOLVE_TIMEOUT_S = 10.0

_HOST_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")  # Names of containers may have underscores.
_ANY_PORT = 9
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NOT_PUBLIC: tuple[IPNetwork, ...] = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocol assignments; some Python versions treat parts of it as global
            "192.88.99.0/24",  # 6to4 relays
            "2001::/23",  # protocol assignments, including Teredo, which embeds an IPv4 address
            "2002::/16",  # 6to4, which embeds an IPv4 address
            "3fff::/20",  # documentation
        ),
    )
)
"""In addition to the networks that `ipaddress` knows. Source: IANA's special-purpose address registries."""


class Resolver(Protocol):
    """Resolves host names."""

    async def resolve(self, host: str, port: int) -> Sequence[IPAddress]:
        """Return the addresses of a host. Raises OSError or UnicodeError if it has none."""
        ...

    def close(self) -> None:
        """Release threads. Blocks briefly."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedHosts:
    """What the operator allows in addition to public addresses."""

    names: frozenset[str] = frozenset()
    """Host names, in lower case."""
    networks: tuple[IPNetwork, ...] = ()

    def permits(self, host: str, address: IPAddress, *, is_own: bool) -> bool:
        """Return whether a webhook may be sent to this address of a host. is_own: whether it is this machine's."""
        if (is_public(address) and not is_own) or host.lower().rstrip(".") in self.names:
            return True
        return any(address in network for network in self.networks)


class AddressGuard:
    """Resolves hosts, and refuses those that are not allowed."""

    def __init__(
        self,
        allowed: AllowedHosts,
        resolver: Resolver,
        *,
        is_own: Callable[[IPAddress], bool] | None = None,
    ) -> None:
        """resolver: this object closes it. is_own: returns whether an address is this machine's."""
        self._allowed = allowed
        self._resolver = resolver
        self._is_own = is_own or is_own_address

    async def resolve(self, host: str, port: int) -> Sequence[IPAddress]:
        """Return all addresses of a host, after a single lookup.

        Raises InvalidParameter if it has none, or if one of them is not allowed. The message does not show the
        address: a client must not learn what names mean inside the server's network.
        """
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                addresses = await self._resolver.resolve(host, port)
        except (OSError, UnicodeError) as exc:  # TimeoutError is an OSError.
            raise refused_webhook(
                f"has the host {host!r}, which has no address", "a host that can be resolved"
            ) from exc
        for address in addresses:
            if not self._allowed.permits(host, address, is_own=self._is_own(address)):
                raise refused_webhook(
                    f"is at {host!r}, which is not a public address",
                    "public addresses, and hosts that the server's operator names in HF_ASR_WEBHOOK_ALLOWED_HOSTS",
                )
        return addresses

    def close(self) -> None:
        self._resolver.close()


def is_public(address: IPAddress) -> bool:
    """Return whether an address is a host's on the public internet.

    Not public: private, loopback, link-local (which includes the metadata services of clouds), shared (CGNAT),
    multicast and reserved addresses, and IPv6 addresses that embed an IPv4 address (mapped, NAT64, 6to4, Teredo),
    because that may be any of these.
    """
    if address.is_multicast or not address.is_global:
        return False
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return False
    return not any(address in network for network in _NOT_PUBLIC)


def is_own_address(address: IPAddress) -> bool:
    """Return whether an address is this machine's. A firewall may hide its services from everybody but itself.

    A socket that is connected to the machine's own address has that address itself. Nothing is sent.
    """
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), _ANY_PORT))
            own: str = probe.getsockname()[0]
    except OSError:
        return False  # There is no route to the address.
    return ipaddress.ip_address(own) == address


def parse_allowed_hosts(entries: Iterable[str]) -> AllowedHosts:
    """Parse host names, addresses and networks such as "10.0.0.0/8". Raises InvalidParameter."""
    names, networks = set(), []
    for entry in entries:
        try:
            networks.append(ipaddress.ip_network(entry.strip("[]")))
        except ValueError:
            # A name that ends in a number is a mistyped address, such as 10.0.0 or 10.0.0.256.
            if not _HOST_NAME.fullmatch(entry) or entry.rstrip(".").rpartition(".")[2].isdigit():
                raise InvalidParameter(
                    f"webhook_allowed_hosts has {entry!r}, which is not a host name, an address or a network; "
                    "allowed: for example receiver.lan (in ASCII, as in a URL), "
                    "192.168.1.7 or 10.0.0.0/8 (the address of the network, not of a host in it)"
                ) from None
            names.add(entry.lower().rstrip("."))
    return AllowedHosts(names=frozenset(names), networks=tuple(networks))


def refused_webhook(problem: str, allowed: str) -> InvalidParameter:
    """Return the error for a webhook. problem: the predicate of a sentence about it."""
    return InvalidParameter(f"{WEBHOOK} {problem}; allowed: {allowed}", parameter=WEBHOOK)
