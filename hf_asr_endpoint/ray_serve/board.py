"""Where engine replicas say how they are, HTTP replicas what they have counted, and HTTP replicas read both.

Serve itself tells nobody a model's state, and gives a request for metrics to any HTTP replica. Reports are
frequent. A replica that has sent none for a while is gone, and may return; what it has counted stays: counters
must not go back. Only a new board begins at the counts of those that are left.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from prometheus_client.metrics_core import Metric

from hf_asr_endpoint.api.siblings import add_up as add_up_metrics
from hf_asr_endpoint.api.siblings import only_counting
from hf_asr_endpoint.transcription.activities import add_up, only_counters
from hf_asr_endpoint.types import Activity, Health

logger = logging.getLogger(__name__)

REPORT_INTERVAL_S = 1.0
GONE_AFTER_S = 4.0
"""Without a report. An engine's threads may keep all cores of a small machine busy for a second or two."""
LOST_AFTER_S = 600.0
"""Without a report. Serve has ended such a replica, because it did not respond to its checks either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an engine replica says. replica: its id. model: the id of its model."""

    replica: str
    model: str
    health: Health
    activity: Activity


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """What all engine replicas of a model come to."""

    health: Health
    activity: Activity = field(default_factory=Activity)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What the board has for an HTTP replica. counted: by the other ones."""

    models: Mapping[str, ModelState]
    counted: list[Metric]


class Board:
    """A deployment with one replica, and no state that cannot be lost."""

    def __init__(self, wanted: Mapping[str, int], now: Callable[[], float] = time.monotonic) -> None:
        """wanted: the fewest replicas of each model."""
        self._wanted = wanted
        self._now = now
        self._reports: dict[str, tuple[float, Report]] = {}
        self._lost: dict[str, Activity] = {}  # by model: the counters of replicas that do not return
        self._counted: dict[str, tuple[float, list[Metric]]] = {}
        self._lost_counted: list[Metric] = []

    async def report(self, report: Report) -> None:
        """Take the state of a replica."""
        self._reports[report.replica] = self._now(), report

    async def exchange(self, replica: str, counted: list[Metric]) -> News:
        """Take what an HTTP replica has counted, and return the news for it."""
        self._counted[replica] = self._now(), counted
        self._add_up_lost()
        others = (
            one
            for name, (at, families) in self._counted.items()
            if name != replica
            for one in (only_counting(families) if self._is_gone(at) else families)
        )
        return News(
            models={model: self._state(model, wanted) for model, wanted in self._wanted.items()},
            counted=add_up_metrics([*self._lost_counted, *others]),
        )

    def _is_gone(self, seen_at: float) -> bool:
        return self._now() - seen_at > GONE_AFTER_S

    def _add_up_lost(self) -> None:
        """Keep of replicas that do not return only the sum of their counters: over months they are many."""
        for replica, (reported_at, report) in tuple(self._reports.items()):
            if self._now() - reported_at > LOST_AFTER_S:
                del self._reports[replica]
                lost = self._lost.get(report.model, Activity())
                self._lost[report.model] = add_up([lost, only_counters(report.activity)])
        for replica, (counted_at, families) in tuple(self._counted.items()):
            if self._now() - counted_at > LOST_AFTER_S:
                del self._counted[replica]
                self._lost_counted = add_up_metrics([*self._lost_counted, *only_counting(families)])

    def _state(self, model: str, wanted: int) -> ModelState:
        reports = [one for one in self._reports.values() if one[1].model == model]
        healths = [report.health for at, report in reports if not self._is_gone(at)]
        activities = [
            only_counters(report.activity) if self._is_gone(at) else report.activity for at, report in reports
        ]
        activity = add_up([*activities, self._lost.get(model, Activity())])
        return ModelState(health=join(healths, wanted), activity=activity)


async def report_forever(board: Any, read: Callable[[], Report]) -> None:
    """Report what `read` returns, again and again. board: the handle."""

    async def tell() -> None:
        await board.report.remote(read())

    await repeat(tell)


async def repeat(call: Callable[[], Awaitable[None]]) -> None:
    """Call the board again and again, whatever comes of it, until this task is cancelled."""
    is_reached = True
    while True:
        try:
            await call()
            is_reached = True
        except (Exception, asyncio.CancelledError) as exc:
            # Ray raises CancelledError also when nobody has cancelled this task.
            task = asyncio.current_task()
            if isinstance(exc, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            if is_reached:  # Once: it may take a while until the board is started again.
                logger.warning("the board cannot be reached; trying again: %r", exc)
            is_reached = False
        await asyncio.sleep(REPORT_INTERVAL_S)


def join(healths: Iterable[Health], wanted: int) -> Health:
    """Return a model's health from those of its replicas. wanted: how many of them there should be, at least."""
    by_state: dict[str, list[Health]] = {}
    for health in healths:
        by_state.setdefault(health.state, []).append(health)
    if ready := by_state.get("ready"):
        lacks = len(ready) < wanted
        detail = f"{len(ready)} of {wanted} engine replicas are ready" if lacks else ""
        return replace(ready[0], detail=detail)
    if loading := by_state.get("loading"):
        return loading[0]
    return Health(state="loading", detail="an engine replica to start")
