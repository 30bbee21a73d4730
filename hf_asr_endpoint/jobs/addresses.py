"""Which network addresses a webhook may be at: public ones, and those that the operator names."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from hf_asr_endpoint.errors import InvalidParameter

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_NOT_PUBLIC: tuple[IPNetwork, ...] = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocol assignments; some Python versions take parts of it for global
            "192.88.99.0/24",  # relays from IPv6 to IPv4
            "2001::/23",  # protocol assignments, Teredo among them, which hides an IPv4 address
            "2002::/16",  # 6to4, likewise
            "3fff::/20",  # documentation
        ),
    )
)
"""Beside what `ipaddress` knows. Source: IANA's registries of special-purpose addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedHosts:
    """What the operator allows beside public addresses: host names, lower case, and networks."""

    names: frozenset[str] = frozenset()
    networks: tuple[IPNetwork, ...] = ()

    def permits(self, host: str, address: IPAddress) -> bool:
        """Tell whether a webhook may be at an address that its host has."""
        if is_public(address) or host.lower().rstrip(".") in self.names:
            return True
        return any(address in network for network in self.networks)


def is_public(address: IPAddress) -> bool:
    """Tell whether an address is a host's on the public internet.

    Not: private, loopback, link-local (which cloud metadata is), shared (CGNAT), multicast and reserved ones, and
    IPv6 addresses that stand for an IPv4 address (mapped, NAT64, 6to4, Teredo), for that may be any of these.
    """
    if address.is_multicast or not address.is_global:
        return False
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return False
    return not any(address in network for network in _NOT_PUBLIC)


def parse_allowed_hosts(entries: Iterable[str]) -> AllowedHosts:
    """Read host names, addresses and networks such as "10.0.0.0/8". Raises InvalidParameter for what is none."""
    names, networks = set(), []
    for entry in entries:
        try:
            networks.append(ipaddress.ip_network(entry.strip("[]")))
        except ValueError:
            if not all(part and part.replace("-", "").isalnum() for part in entry.rstrip(".").split(".")):
                raise InvalidParameter(
                    f"webhook_allowed_hosts has {entry!r}, which is no host name, no address and no "
                    "network; allowed: such as receiver.lan, "
                    "192.168.1.7 or 10.0.0.0/8 (an address of the network itself, not of a host in it)"
                ) from None
            names.add(entry.lower().rstrip("."))
    return AllowedHosts(names=frozenset(names), networks=tuple(networks))
