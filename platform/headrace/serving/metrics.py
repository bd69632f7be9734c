"""What the server counts, for Prometheus."""

from __future__ import annotations

import sys

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from headrace.registry.loading import LoadedModel

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 8192)


class Metrics:
    """Counters of one server. Label values are few: endpoints and status codes, never input."""

    def __init__(self) -> None:
        # When each counter began is of no use, and doubles the text.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = self.registry = CollectorRegistry()
        if sys.platform == "linux":
            ProcessCollector(registry=registry)
        labels = ("endpoint", "code")
        self._requests = Counter(
            "headrace_requests", "Requests answered", labels, registry=registry
        )
        self._latency = Histogram(
            "headrace_request_seconds",
            "From a request's first byte read to its answer",
            ("endpoint",),
            buckets=SECONDS,
            registry=registry,
        )
        self._errors = Counter(
            "headrace_errors",
            "Requests without a prediction, by cause",
            ("cause",),
            registry=registry,
        )
        self.batch_rows = Histogram(
            "headrace_batch_rows", "Rows in one call of the model", buckets=ROWS, registry=registry
        )
        self.batch_requests = Histogram(
            "headrace_batch_requests",
            "Requests in one call of the model",
            buckets=ROWS,
            registry=registry,
        )
        self.predict_seconds = Histogram(
            "headrace_predict_seconds", "One call of the model", buckets=SECONDS, registry=registry
        )
        self.queued = Gauge("headrace_queued_requests", "Requests that wait", registry=registry)
        self.ready = Gauge("headrace_ready", "1 once the model answers", registry=registry)
        self._model = Gauge(
            "headrace_model_info",
            "What is served",
            ("name", "version", "digest"),
            registry=registry,
        )
        # Looking a label up costs more than counting; there are only a few pairs.
        self._of_request: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def request(self, endpoint: str, code: int, seconds: float) -> None:
        """Count one answer."""
        found = self._of_request.get((endpoint, code))
        if found is None:
            found = (self._requests.labels(endpoint, str(code)), self._latency.labels(endpoint))
            self._of_request[endpoint, code] = found
        found[0].inc()
        found[1].observe(seconds)

    def error(self, cause: str) -> None:
        """Count a request that got no prediction: `input`, `model`, `result` or `overload`."""
        self._errors.labels(cause).inc()

    def loaded(self, model: LoadedModel) -> None:
        """Say which model answers from now on."""
        self._model.labels(model.name, model.version, model.digest).set(1)
        self.ready.set(1)

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self.registry)
