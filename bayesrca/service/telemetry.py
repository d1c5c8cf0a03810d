"""What the server counts, for Prometheus."""

from __future__ import annotations

import math
from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
)
from prometheus_client.openmetrics.exposition import generate_latest

from bayesrca.decision import Verdict
from bayesrca.service.observer import Ended
from bayesrca.service.pool import WorkerPool

# From a health check to the longest sampling.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
# Each has an edge where the health gates draw the line.
_R_HAT = (1.001, 1.002, 1.005, 1.01, 1.02, 1.05, 1.1, 1.5, 2)
_ESS = (10, 50, 100, 200, 400, 800, 1600, 3200, 6400)
_PARETO_K = (0.1, 0.3, 0.5, 0.7, 1, 1.5)


class Metrics:
    """The server's own metrics; docs/operations.md says what each means.

    None has a tenant for a label: whoever may read metrics need not learn who the tenants are.

    Args:
        version: of bayesrca.
    """

    def __init__(self, version: str) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        about = Info("bayesrca", "Version of the server.", registry=self._registry)
        about.info({"version": version})
        self._open = self._gauge("rpcs_open", "Calls in progress.")
        self._rpcs = self._histogram("rpc_seconds", "Calls.", _SECONDS, "method", "code")
        self._jobs = self._histogram(
            "job_seconds", "Calls at a worker.", _SECONDS, "rpc", "outcome"
        )
        self._waits = self._histogram("queue_seconds", "Waits for a worker.", _SECONDS)
        self._lost = self._counter("workers_lost", "Worker processes that ended.")
        self._decisions = self._counter("decisions", "Decisions made.", "verdict")
        for verdict in Verdict:  # shown before the first
            self._decisions.labels(verdict)
        self._answers = self._counter("answers", "Answers.", "method", "healthy")
        self._telemetry = {
            what: self._counter(f"telemetry_{what}", f"{text}", "kind")
            for what, text in (
                ("received", "Spans, points and log records taken."),
                ("rejected", "Left out for what they are, besides those."),
                ("evicted", "Of these, no longer held."),
                ("refused", "Requests with telemetry that were refused."),
            )
        }
        self._divergences = self._counter("divergences", "Divergent transitions.")
        self._r_hat = self._histogram("r_hat_max", "Largest R-hat of an answer.", _R_HAT)
        self._ess = self._histogram("ess_min", "Smallest ESS of an answer.", _ESS, "method")
        self._pareto_k = self._histogram("pareto_k", "Pareto k-hat of a screen.", _PARETO_K)

    def follow(self, pool: WorkerPool) -> None:
        """Show a pool's state whenever somebody looks, from whatever thread."""
        self._gauge("ready", "1 where analyses are taken.").set_function(lambda: pool.ready)
        self._gauge("workers", "Workers that take calls.").set_function(lambda: pool.alive)
        self._gauge("queue_depth", "Waiting calls.").set_function(lambda: pool.waiting)
        self._gauge("jobs_running", "Calls at workers.").set_function(lambda: pool.running)

    def follow_telemetry(self, n_bytes: Callable[[], int]) -> None:
        """Show how much telemetry is held whenever somebody looks."""
        self._gauge("telemetry_bytes", "Held telemetry, bytes.").set_function(n_bytes)

    def telemetry_received(self, kind: str, taken: int, rejected: int) -> None:
        """Count what a request with telemetry held."""
        self._telemetry["received"].labels(kind).inc(taken)
        if rejected:
            self._telemetry["rejected"].labels(kind).inc(rejected)

    def telemetry_evicted(self, kind: str, records: int) -> None:
        """Count telemetry that is no longer held."""
        self._telemetry["evicted"].labels(kind).inc(records)

    def telemetry_refused(self, kind: str) -> None:
        """Count a request with telemetry that was refused."""
        self._telemetry["refused"].labels(kind).inc()

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
        self._rpcs.labels(method, code).observe(seconds, _exemplar(trace_id))

    def rpc_unknown(self) -> None:
        """Count a call of a method that does not exist, whose name anybody could make up."""
        self._rpcs.labels("unknown", "UNIMPLEMENTED").observe(0.0)

    def job_ended(self, ended: Ended, trace_id: str) -> None:
        """Count a call that a worker has ended, and how well it could be computed."""
        self._jobs.labels(ended.rpc, ended.outcome).observe(ended.seconds, _exemplar(trace_id))
        self._waits.observe(ended.waited)
        found = ended.diagnostics
        if found is None:
            return
        method = "screen" if found.r_hat is None else "nuts"
        self._answers.labels(method, "yes" if found.healthy else "no").inc()
        self._ess.labels(method).observe(found.ess)
        if found.divergences is not None:
            self._divergences.inc(found.divergences)
        # Where it is undefined it is infinite, which would spoil the histogram's sum.
        for histogram, value in ((self._r_hat, found.r_hat), (self._pareto_k, found.pareto_k)):
            if value is not None and not math.isnan(value):
                histogram.observe(min(value, 100.0))

    def decided(self, verdict: Verdict) -> None:
        """Count a decision."""
        self._decisions.labels(verdict).inc()

    def worker_lost(self) -> None:
        """Count a worker process that has ended."""
        self._lost.inc()

    def render(self) -> bytes:
        """Return everything in the OpenMetrics text format."""
        content: bytes = generate_latest(self._registry)  # type: ignore[no-untyped-call]
        return content

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"bayesrca_{name}", text, registry=self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"bayesrca_{name}", text, labels, registry=self._registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        registry = self._registry
        return Histogram(f"bayesrca_{name}", text, labels, buckets=buckets, registry=registry)


def _exemplar(trace_id: str) -> dict[str, str] | None:
    return {"trace_id": trace_id} if trace_id else None
