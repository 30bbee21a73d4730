"""Metrics of several processes are one answer."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from hf_asr_endpoint.api.in_flight import InFlightRequests
from hf_asr_endpoint.api.metrics import Metrics
from hf_asr_endpoint.api.served_model import ServedModel, ServedModels
from hf_asr_endpoint.api.siblings import Read, add_up, only_counting
from tests.fakes import FakeTranscriber


def counted(n: int, *, status: str) -> list[Metric]:
    registry = CollectorRegistry()
    Counter("requests", "…", ("status",), registry=registry).labels(status).inc(n)
    Histogram("seconds", "…", buckets=(1, 5), registry=registry).observe(n)
    return [*registry.collect(), GaugeMetricFamily("in_flight", "…", value=n)]


def values(families: list[Metric]) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_samples_with_the_same_labels_are_added() -> None:
    total = values(add_up([*counted(1, status="200"), *counted(3, status="200"), *counted(2, status="503")]))
    assert total[("requests_total", ("200",))] == 4
    assert total[("requests_total", ("503",))] == 2
    assert [total[("seconds_bucket", (bound,))] for bound in ("1.0", "5.0", "+Inf")] == [1, 3, 3]
    assert total[("seconds_sum", ())] == 6
    assert total[("in_flight", ())] == 6


def test_counters_and_histograms_stay_when_a_process_has_gone() -> None:
    assert [family.name for family in only_counting(counted(1, status="200"))] == ["requests", "seconds"]


class OneSibling:
    """Has counted what this process has, too."""

    def join(self, read: Read) -> None:
        self._read = read

    def metrics(self) -> list[Metric]:
        return self._read()


def test_an_answer_has_what_siblings_have_counted() -> None:
    metrics = Metrics(
        FakeTranscriber(),
        models=ServedModels([ServedModel(names=("base",))]),
        in_flight=InFlightRequests(8),
        siblings=OneSibling(),
    )
    metrics.count(api="OpenAI", status="200", total_s=1.0, audio_s=2.0)
    lines = bytes(metrics.render(None, accept="").body).decode().splitlines()
    assert 'hf_asr_requests_total{api="OpenAI",status="200"} 2.0' in lines
    assert "hf_asr_requests_in_flight_max 16.0" in lines
    assert 'hf_asr_request_audio_seconds_bucket{api="OpenAI",le="+Inf"} 2.0' in lines
