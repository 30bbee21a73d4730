"""What `/metrics` shows: counters of requests, and what the transcriber and the jobs say of themselves.

Names end in their unit, and in `_total` for counters (https://prometheus.io/docs/practices/naming).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response

from hf_asr_endpoint import __version__
from hf_asr_endpoint.api.in_flight import InFlightRequests
from hf_asr_endpoint.api.live_sessions import LiveSessions
from hf_asr_endpoint.api.served_model import ServedModels
from hf_asr_endpoint.api.siblings import Alone, Siblings, add_up
from hf_asr_endpoint.jobs.job import JobCounts
from hf_asr_endpoint.transcription.transcriber import Transcriber
from hf_asr_endpoint.types import Activity, EngineState

REQUEST_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800)
"""From a short clip on a GPU to hours of audio on a processor."""

AUDIO_BUCKETS_S = (1, 5, 15, 30, 60, 300, 900, 3_600, 7_200)
SPEED_BUCKETS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
"""In seconds of audio for each second of the request. Below 1, live speech would fall behind."""


ALONE = Alone()


class Metrics:
    """Counts requests, and renders all metrics. Used in the event loop."""

    def __init__(
        self,
        transcriber: Transcriber,
        *,
        models: ServedModels,
        in_flight: InFlightRequests,
        live: LiveSessions | None = None,
        siblings: Siblings = ALONE,
    ) -> None:
        # They would double the number of series, and say when the server began.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client does not annotate it.
        self._registry = CollectorRegistry()
        own = CollectorRegistry()  # what this process counts, and siblings too
        self._requests = Counter(
            "hf_asr_requests",
            "Requests that have ended, by API and status; client-left: nobody received a response.",
            ("api", "status"),
            registry=own,
        )
        self._request_s = Histogram(
            "hf_asr_request_seconds",
            "Time from a request's headers to the end of its response, in seconds.",
            ("api",),
            buckets=REQUEST_BUCKETS_S,
            registry=own,
        )
        self._audio_s = Histogram(
            "hf_asr_request_audio_seconds",
            "Length of the audio of requests that got a transcription, in seconds.",
            ("api",),
            buckets=AUDIO_BUCKETS_S,
            registry=own,
        )
        self._speed = Histogram(
            "hf_asr_request_speed_ratio",
            "Seconds of audio for each second of its request.",
            ("api",),
            buckets=SPEED_BUCKETS,
            registry=own,
        )
        self._jobs = Gauge("hf_asr_jobs", "Jobs that are stored, by status.", ("status",), registry=self._registry)
        self._deliveries = Gauge(
            "hf_asr_deliveries", "Jobs that are stored, by their webhook.", ("status",), registry=self._registry
        )
        own.register(_InFlight(in_flight, live or LiveSessions()))
        siblings.join(lambda: list(own.collect()))
        self._registry.register(_OfAll(own, siblings))
        self._registry.register(_Activity(transcriber, models=models))
        ProcessCollector(registry=self._registry)

    def count(self, *, api: str, status: str, total_s: float, audio_s: float | None) -> None:
        """Count a request that has ended. audio_s: of its audio; None if it got no transcription."""
        self._requests.labels(api, status).inc()
        self._request_s.labels(api).observe(total_s)
        if audio_s is not None:
            self._audio_s.labels(api).observe(audio_s)
            self._speed.labels(api).observe(audio_s / total_s)

    def render(self, jobs: JobCounts | None, *, accept: str) -> Response:
        """Return all metrics, as text or in the OpenMetrics format that `accept` asks for.

        jobs: None where they cannot be counted now; then they are left out.
        """
        for gauge, counts in (
            (self._jobs, jobs.jobs if jobs else {}),
            (self._deliveries, jobs.deliveries if jobs else {}),
        ):
            gauge.clear()
            for status, n in counts.items():
                gauge.labels(status).set(n)
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # It compares versions without looking at them first.
            encode, content_type = choose_encoder("")
        return Response(encode(self._registry), headers={"Content-Type": content_type})


GAUGES: tuple[tuple[str, str, Callable[[Activity], float]], ...] = (
    ("hf_asr_slots", "Windows that the engine decodes at a time, at most.", lambda activity: activity.slots),
    ("hf_asr_slots_in_use", "Slots that are taken now.", lambda activity: activity.slots_in_use),
    ("hf_asr_windows_waiting", "Windows that wait for slots.", lambda activity: activity.windows_waiting),
    (
        "hf_asr_waiting_audio_seconds",
        "Audio of the requests in flight that is not transcribed, as far as files tell.",
        lambda activity: activity.waiting_audio_s,
    ),
    (
        "hf_asr_wait_seconds",
        "Time that a new request waits for its turn, in 19 of 20 cases at most.",
        lambda activity: activity.wait_s,
    ),
    (
        "hf_asr_speed_ratio",
        "Seconds of audio lately transcribed in a second with work.",
        lambda activity: activity.speed or 0.0,
    ),
)
COUNTERS: tuple[tuple[str, str, Callable[[Activity], float]], ...] = (
    ("hf_asr_fallbacks", "Windows decoded again after a bad result.", lambda activity: activity.fallbacks),
    ("hf_asr_tokens", "Tokens sampled, in all beams and attempts.", lambda activity: activity.tokens),
    (
        "hf_asr_preparation_seconds",
        "Time of decoding files, finding speech and making spectrograms.",
        lambda activity: activity.preparation_s,
    ),
    (
        "hf_asr_prepared_audio_seconds",
        "Audio that was prepared, in seconds.",
        lambda activity: activity.prepared_audio_s,
    ),
)
LABELLED: tuple[tuple[str, str, str, Callable[[Activity], Mapping[str, float]]], ...] = (
    ("hf_asr_engine_seconds", "Time of the model by stage.", "stage", lambda activity: activity.engine_s),
    ("hf_asr_windows", "Windows that have ended, by outcome.", "outcome", lambda activity: activity.windows),
)


class _OfAll(Collector):
    """What this process and its siblings have counted."""

    def __init__(self, own: CollectorRegistry, siblings: Siblings) -> None:
        self._own = own
        self._siblings = siblings

    def collect(self) -> Iterator[Metric]:
        yield from add_up([*self._own.collect(), *self._siblings.metrics()])


class _Activity(Collector):
    """Reads the transcriber's activity when the metrics are rendered."""

    def __init__(self, transcriber: Transcriber, *, models: ServedModels) -> None:
        self._transcriber = transcriber
        self._models = models

    def collect(self) -> Iterator[Metric]:
        yield from self._server()
        yield from _engine([(model.id, self._transcriber.activity(model.id)) for model in self._models])

    def _server(self) -> Iterator[Metric]:
        health = self._transcriber.health()
        yield GaugeMetricFamily("hf_asr_ready", "1 if transcriptions can be made now.", health.state == "ready")
        info = GaugeMetricFamily(
            "hf_asr_info", "Always 1.", labels=("version", "model", "status", "device", "dtype", "cpu_level")
        )
        for served in self._models:
            of_model = self._transcriber.health(served.id)
            model = of_model.model
            shown = (model.device, model.dtype, model.cpu_level or "") if model else ("", "", "")
            info.add_metric((__version__, served.id, of_model.state, *shown), 1)
        yield info
        engines = [(one.id, engine) for one in self._models for engine in self._transcriber.health(one.id).engines]
        yield from _processes(engines)


class _InFlight(Collector):
    """Reads how many requests and sessions there are when the metrics are rendered."""

    def __init__(self, in_flight: InFlightRequests, live: LiveSessions) -> None:
        self._in_flight = in_flight
        self._live = live

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "hf_asr_requests_in_flight", "Requests that hold a permit now.", self._in_flight.n_permits
        )
        yield GaugeMetricFamily(
            "hf_asr_requests_in_flight_max", "Permits; a request beyond is refused.", self._in_flight.max_requests
        )
        yield GaugeMetricFamily("hf_asr_live_sessions", "Live sessions that are open now.", self._live.n_open)
        yield GaugeMetricFamily(
            "hf_asr_live_sessions_max",
            "Live sessions; one beyond is refused.",
            self._live.limits.max_sessions,
        )


def _processes(engines: Sequence[tuple[str, EngineState]]) -> Iterator[Metric]:
    """Yield how the engines are that have processes of their own. engines: with the ids of their models."""
    ready = GaugeMetricFamily(
        "hf_asr_engine_ready", "1 if the engine of a device takes requests now.", labels=("model", "engine")
    )
    restarts = CounterMetricFamily(
        "hf_asr_engine_restarts", "Processes of an engine after its first.", labels=("model", "engine")
    )
    for model, engine in engines:
        ready.add_metric((model, engine.name), engine.state == "ready")
        restarts.add_metric((model, engine.name), engine.n_restarts)
    yield ready
    yield restarts


def _engine(activities: Sequence[tuple[str, Activity]]) -> Iterator[Metric]:
    """Yield what models do. activities: with the models' ids."""
    for name, help_text, value in GAUGES:
        gauge = GaugeMetricFamily(name, help_text, labels=("model",))
        for model, activity in activities:
            gauge.add_metric((model,), value(activity))
        yield gauge
    for name, help_text, value in COUNTERS:
        counter = CounterMetricFamily(name, help_text, labels=("model",))
        for model, activity in activities:
            counter.add_metric((model,), value(activity))
        yield counter
    for name, help_text, label, values in LABELLED:
        counter = CounterMetricFamily(name, help_text, labels=("model", label))
        for model, activity in activities:
            for label_value, n in values(activity).items():
                counter.add_metric((model, label_value), n)
        yield counter
