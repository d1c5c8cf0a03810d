"""What the server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.openmetrics.exposition import generate_latest

# From a health check to the longest sampling.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """The server's own metrics; docs/operations.md says what each means.

    None has a tenant for a label: whoever may read metrics need not learn who the tenants are.

    Args:
        version: of bayesrca.
    """

    def __init__(self, version: str) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info("bayesrca", "Version of the server.", registry=registry).info({"version": version})
        self._rpcs = Histogram(
            "bayesrca_rpc_seconds",
            "Calls by method and gRPC code, and how long they took.",
            ("method", "code"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._open = Gauge("bayesrca_rpcs_open", "Calls in progress.", registry=registry)
        self._ready = Gauge("bayesrca_ready", "1 where analyses are taken.", registry=registry)

    def rpc_began(self) -> None:
        """Count a call in."""
        self._open.inc()

    def rpc_ended(self, method: str, code: str, seconds: float, trace_id: str) -> None:
        """Count a call out.

        Args:
            method: ``/SERVICE/METHOD``.
            code: gRPC's code.
            seconds: how long it took.
            trace_id: of the trace it belongs to, which becomes the exemplar; empty for none.
        """
        self._open.dec()
        exemplar = {"trace_id": trace_id} if trace_id else None
        self._rpcs.labels(method, code).observe(seconds, exemplar)

    def rpc_unknown(self) -> None:
        """Count a call of a method that does not exist, whose name anybody could make up."""
        self._rpcs.labels("unknown", "UNIMPLEMENTED").observe(0.0)

    def set_ready(self, ready: bool) -> None:
        """Tell whether analyses are taken."""
        self._ready.set(ready)

    def render(self) -> bytes:
        """Return everything in the OpenMetrics text format."""
        content: bytes = generate_latest(self._registry)  # type: ignore[no-untyped-call]
        return content
