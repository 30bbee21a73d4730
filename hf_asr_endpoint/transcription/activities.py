"""What several engines do, and have done, together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from hf_asr_endpoint.types import Activity


def add_up(activities: Iterable[Activity]) -> Activity:
    """Return what several engines do, and have done, together."""
    given = list(activities)
    speeds = [one.speed for one in given if one.speed is not None]
    return Activity(
        slots=sum(one.slots for one in given),
        slots_in_use=sum(one.slots_in_use for one in given),
        windows_waiting=sum(one.windows_waiting for one in given),
        waiting_audio_s=sum(one.waiting_audio_s for one in given),
        # Of the engine that a new request goes to.
        wait_s=min((one.wait_s for one in given if one.slots), default=0.0),
        turn_wait_s=min((one.turn_wait_s for one in given if one.slots), default=0.0),
        speed=sum(speeds) if speeds else None,
        engine_s=_add_up_named(one.engine_s for one in given),
        preparation_s=sum(one.preparation_s for one in given),
        prepared_audio_s=sum(one.prepared_audio_s for one in given),
        windows={name: int(n) for name, n in _add_up_named(one.windows for one in given).items()},
        fallbacks=sum(one.fallbacks for one in given),
        tokens=sum(one.tokens for one in given),
    )


def only_counters(activity: Activity) -> Activity:
    """Return what stays of an engine that is gone."""
    idle = replace(activity, slots=0, slots_in_use=0, windows_waiting=0, waiting_audio_s=0.0, speed=None)
    return replace(idle, wait_s=0.0, turn_wait_s=0.0)


def _add_up_named(mappings: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for mapping in mappings:
        for name, value in mapping.items():
            total[name] += value  # type: ignore[assignment]  # A Counter of floats: `update` would do the same.
    return dict(total)
