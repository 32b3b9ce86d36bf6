"""What the server counts, for Prometheus; no prompt and no name of a person in any label."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

PASSES = (1, 2, 4, 8, 12, 16, 32)
TIMES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Counts:
    """The numbers of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter("requests", "Requests answered", "route", "code")
        self.seconds = self._histogram("request_seconds", "Time to answer", TIMES, "route")
        self.waits = self._histogram("queue_wait_seconds", "Time before work began", TIMES)
        self.queue = self._gauge("queue_depth", "Requests at work and waiting", "worker")
        self.passes = self._histogram("batch_size", "Rows that a forward pass answered", PASSES)
        self.steps = self._histogram("step_seconds", "Time of a forward pass", TIMES)
        self.images = self._counter("images", "Images made")
        self.cancelled = self._counter("cancelled", "Requests given up by their client")
        self.restarts = self._counter("worker_restarts", "Workers that died", "worker")

    def text(self) -> bytes:
        """All numbers in Prometheus's format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(f"mezzotint_{name}", help, labels, registry=self.registry)

    def _gauge(self, name: str, help: str, *labels: str) -> Gauge:
        return Gauge(f"mezzotint_{name}", help, labels, registry=self.registry)

    def _histogram(
        self, name: str, help: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        registry = self.registry
        return Histogram(f"mezzotint_{name}", help, labels, registry=registry, buckets=buckets)
