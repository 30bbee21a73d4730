"""Other processes that serve the same clients: whichever of them responds, metrics show what all have counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

COUNTING = ("counter", "histogram")
"""Types of metrics that stay when the process has gone that counted."""

Read = Callable[[], list[Metric]]
_Key = tuple[str, tuple[tuple[str, str], ...]]  # a sample's name and labels


class Siblings(Protocol):
    """The other processes."""

    def join(self, read: Read) -> None:
        """Have the others see what this process counts. Called once."""
        ...

    def metrics(self) -> list[Metric]:
        """Return what the others have counted. Never blocks."""
        ...


class Alone:
    """There are none."""

    def join(self, read: Read) -> None: ...

    def metrics(self) -> list[Metric]:
        return []


def add_up(families: Iterable[Metric]) -> list[Metric]:
    """Return a family for each name, whose samples are sums over those with the same labels."""
    totals: dict[str, tuple[Metric, dict[_Key, float]]] = {}
    for family in families:
        _, values = totals.setdefault(family.name, (family, {}))
        for sample in family.samples:
            key = sample.name, tuple(sample.labels.items())
            values[key] = values.get(key, 0.0) + sample.value
    return [_family(first, values) for first, values in totals.values()]


def only_counting(families: Iterable[Metric]) -> list[Metric]:
    """Return the families that stay when their process has gone."""
    return [family for family in families if family.type in COUNTING]


def _family(like: Metric, values: dict[_Key, float]) -> Metric:
    family = Metric(like.name, like.documentation, like.type, like.unit)
    family.samples = [Sample(name, dict(labels), value) for (name, labels), value in values.items()]
    return family
