"""How much engines have to do, and which of them has the least: a pure choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one engine has to do.

    n_requests: in flight there, sessions too. n_windows: in slots or waiting for them, when the engine last told.
    n_unreported: of the requests, those that were given to it since. slots: that it has. waiting_audio_s: that it
    has not transcribed, as far as files tell.
    """

    n_requests: int
    n_windows: int
    n_unreported: int
    slots: int
    waiting_audio_s: float = 0.0

    @property
    def of_slots(self) -> float:
        """Slots that are wanted, as a part of those that there are. A request wants one at least, sooner or later.

        A recording of hours has no more windows here than its request may have in flight: slots are shared
        between requests, so that it keeps a new one waiting for no longer than that.
        """
        return max(self.n_requests, self.n_windows + self.n_unreported) / max(self.slots, 1)


def least_loaded(loads: Sequence[Load]) -> int:
    """Return the index of the engine that a new request goes to. Of equal ones it is the first."""
    return min(
        range(len(loads)),
        key=lambda index: (loads[index].of_slots, loads[index].waiting_audio_s, loads[index].n_requests),
    )
