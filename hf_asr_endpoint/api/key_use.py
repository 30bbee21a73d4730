"""What the requests of each API key take, against the limits of that key. Used in the event loop only."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hf_asr_endpoint.api.api_keys import ApiKey, KeyLimits
from hf_asr_endpoint.errors import Overloaded

RETRY_AFTER_S = 5  # when a key has too many requests at a time
MINUTE_S = 60.0


class KeyUse:
    """Counts by the keys' owners. now: returns seconds that only grow."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._uses: dict[str, _Use] = {}

    @contextmanager
    def permit(self, key: ApiKey) -> Iterator[None]:
        """Hold one of the key's permits. Raises Overloaded if it has none left, or has had too much audio."""
        use = self._uses.setdefault(key.owner, _Use(self._now()))
        use.earn(key.limits, now=self._now())
        use.check(key)
        use.n_requests += 1
        try:
            yield
        finally:
            use.n_requests -= 1

    def charge(self, owner: str | None, audio_s: float) -> None:
        """Count transcribed audio for an owner whose key this process has seen."""
        if owner is not None and owner in self._uses:
            self._uses[owner].owed_s += audio_s


class _Use:
    """One key's account. owed_s: seconds of audio that it has had and that time has not earned back yet."""

    def __init__(self, now: float) -> None:
        self.n_requests = 0
        self.owed_s = 0.0
        self._earned_at = now

    def earn(self, limits: KeyLimits, *, now: float) -> None:
        elapsed_s, self._earned_at = now - self._earned_at, now
        self.owed_s = max(self.owed_s - elapsed_s * (limits.audio_s_per_minute or 0) / MINUTE_S, 0.0)

    def check(self, key: ApiKey) -> None:
        limits = key.limits
        if limits.requests is not None and self.n_requests >= limits.requests:
            raise Overloaded(
                f"the API key {key.name} has {self.n_requests} requests in flight; allowed: {limits.requests} "
                f"at a time; try again in {RETRY_AFTER_S} s",
                retry_after_s=RETRY_AFTER_S,
            )
        if limits.audio_s_per_minute is not None and self.owed_s >= limits.audio_s_per_minute:
            too_much_s = self.owed_s - limits.audio_s_per_minute
            retry_after_s = math.floor(too_much_s * MINUTE_S / limits.audio_s_per_minute) + 1
            raise Overloaded(
                f"the API key {key.name} has used its audio; allowed: {limits.audio_s_per_minute} seconds of it "
                f"a minute; try again in {retry_after_s} s",
                retry_after_s=retry_after_s,
            )
