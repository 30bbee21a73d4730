"""Client secrets: keys that a server makes for its browsers. Each opens sessions until it expires."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from hf_asr_endpoint.api.api_keys import ApiKey
from hf_asr_endpoint.api.realtime.configuration import SessionConfiguration
from hf_asr_endpoint.errors import Overloaded

PREFIX = "ek_"
MAX_SECRETS = 10_000
RETRY_AFTER_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecret:
    """expires_at: seconds since 1970. key: of whoever made it, who pays for its sessions; None: no keys."""

    expires_at: int
    configuration: SessionConfiguration
    key: ApiKey | None


class ClientSecrets:
    """All that have not expired, by the digests of their values. They do not outlast the process."""

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._by_digest: dict[bytes, ClientSecret] = {}

    def create(
        self, configuration: SessionConfiguration, *, lifetime_s: int, key: ApiKey | None
    ) -> tuple[str, ClientSecret]:
        """Return a new value and what it stands for. Raises Overloaded when there are too many."""
        self._drop_expired()
        if len(self._by_digest) >= MAX_SECRETS:
            raise Overloaded(
                f"there are {len(self._by_digest)} client secrets; allowed: {MAX_SECRETS} at a time; try again in "
                f"{RETRY_AFTER_S} s",
                retry_after_s=RETRY_AFTER_S,
            )
        value = PREFIX + secrets.token_urlsafe(24)
        made = ClientSecret(expires_at=int(self._now()) + lifetime_s, configuration=configuration, key=key)
        self._by_digest[_digest(value)] = made
        return value, made

    def find(self, value: str) -> ClientSecret | None:
        """Return what a value stands for; None if there is no such value any more."""
        found = self._by_digest.get(_digest(value)) if value.startswith(PREFIX) else None
        return found if found is not None and found.expires_at > self._now() else None

    def find_key(self, value: str) -> ApiKey | None:
        """Return the API key on whose account a value is."""
        found = self.find(value)
        return None if found is None else found.key

    def _drop_expired(self) -> None:
        now = self._now()
        self._by_digest = {digest: one for digest, one in self._by_digest.items() if one.expires_at > now}


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode(errors="replace")).digest()
