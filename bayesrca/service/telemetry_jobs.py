"""Every call that a worker had, counted and traced."""

from __future__ import annotations

import time

from opentelemetry.trace import StatusCode, Tracer, get_current_span

from bayesrca.service.observer import Ended
from bayesrca.service.telemetry import Metrics
from bayesrca.service.telemetry_calls import trace_id_of


class JobTelemetry:
    """An `Observer` that counts, and adds the worker's part to the trace of the call.

    Args:
        metrics: takes the counts.
        tracer: takes the spans.
    """

    def __init__(self, metrics: Metrics, tracer: Tracer) -> None:
        self._metrics = metrics
        self._tracer = tracer

    def job_ended(self, ended: Ended) -> None:
        """Count a call that a worker has ended, and draw its span."""
        self._metrics.job_ended(ended, trace_id_of(get_current_span()))
        now = time.time_ns()
        span = self._tracer.start_span(
            f"worker {ended.rpc}",
            start_time=now - round(1e9 * ended.seconds),
            attributes={
                "bayesrca.outcome": ended.outcome,
                "bayesrca.queue_seconds": ended.waited,
            },
        )
        if ended.outcome in ("INTERNAL", "WORKER_LOST"):
            span.set_status(StatusCode.ERROR)
        span.end(now)

    def worker_lost(self) -> None:
        """Count a worker that is gone."""
        self._metrics.worker_lost()
