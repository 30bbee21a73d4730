"""Webhook URLs, which anybody may send: read strictly, refused where they lead into the server's own network."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from hf_asr_endpoint.errors import InvalidParameter
from hf_asr_endpoint.jobs.addresses import AllowedHosts, IPAddress

WEBHOOK = "webhook"
MAX_CHARACTERS = 2048
RESOLVE_TIMEOUT_S = 10.0

_SCHEMES = {"http": 80, "https": 443}
_PLAIN = re.compile(r"[!-~]+")  # ASCII without blanks and control characters
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")  # a name or an address; no zone, no percent sign

Resolve = Callable[[str, int], Awaitable[Sequence[IPAddress]]]
"""Gives the addresses of a host and port. Raises OSError when there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookUrl:
    """A URL taken apart, once, so that what is checked is what is connected to. host: without brackets."""

    scheme: str
    host: str
    port: int
    netloc: str
    """Host and port as given: the header `Host`."""
    target: str
    """Path and query."""


def parse_webhook_url(url: str) -> WebhookUrl:
    """Read a URL. Raises InvalidParameter, whose message does not repeat it: it may hold a password."""
    if len(url) > MAX_CHARACTERS or not _PLAIN.fullmatch(url) or "\\" in url:
        raise _refused(
            f"is a text of {len(url)} characters that is no plain URL",
            f"{MAX_CHARACTERS} ASCII characters at most",
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise _refused(f"is no URL ({exc})", "https://host/path") from exc
    if parts.scheme not in _SCHEMES:
        raise _refused(f"has the scheme {parts.scheme[:20]!r}", "http and https")
    if "@" in parts.netloc:
        raise _refused("has a user name or password in it", "https://host/path, and a secret in path or query")
    if not _HOST.fullmatch(host) or port == 0:
        raise _refused(f"has the host {parts.netloc[:80]!r}", "a host name in ASCII, or an address, and a port")
    if parts.fragment:
        raise _refused("has a fragment (#…), which is never sent", "a URL without")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return WebhookUrl(
        scheme=parts.scheme, host=host, port=port or _SCHEMES[parts.scheme], netloc=parts.netloc, target=target
    )


class AddressGuard:
    """Turns a host into addresses that may be connected to. resolve: asked once for each check."""

    def __init__(self, allowed: AllowedHosts, *, resolve: Resolve | None = None) -> None:
        self._allowed = allowed
        self._resolve = resolve or _resolve

    async def addresses(self, host: str, port: int) -> Sequence[IPAddress]:
        """Return all addresses of a host. Raises InvalidParameter when it has none, or one that is refused."""
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as exc:  # A timeout is an OSError, too.
            raise _refused(f"has the host {host!r}, which has no address", "a host that can be resolved") from exc
        for address in addresses:
            if not self._allowed.permits(host, address):
                raise _refused(
                    f"is at {host!r}, which is {address}",
                    "public addresses, and hosts that the server's operator names in HF_ASR_WEBHOOK_ALLOWED_HOSTS",
                )
        return addresses


async def _resolve(host: str, port: int) -> Sequence[IPAddress]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # An address of IPv6 may come with a zone, which belongs to the one sort that is never public.
    texts = dict.fromkeys(str(address[0]) for *_, address in found)
    return [ipaddress.ip_address(text) for text in texts]


def _refused(what: str, allowed: str) -> InvalidParameter:
    return InvalidParameter(f"{WEBHOOK} {what}; allowed: {allowed}", parameter=WEBHOOK)
