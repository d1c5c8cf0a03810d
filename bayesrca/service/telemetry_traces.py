"""Spans of calls, and the W3C trace context they belong to."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.trace import Tracer

from bayesrca.errors import InvalidSettingsError
from bayesrca.service.options import ServiceOptions

_EXPORT_SECONDS = 5


class Traces:
    """Where spans come from and go to.

    Without a collector spans record nothing, but they still carry the caller's trace.

    Args:
        options: the collector, if there is one, and the share of traces kept.
        version: of bayesrca.

    Raises:
        InvalidSettingsError: there is a collector but the package that speaks to it is missing.
    """

    def __init__(self, options: ServiceOptions, version: str) -> None:
        self.tracer: Tracer = trace.NoOpTracer()
        self._provider = None
        if options.otlp_endpoint is None:
            return
        try:
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
                OTLPSpanExporter,
            )
        except ImportError as error:
            msg = "spans need a package that is not installed: pip install 'bayesrca[otlp]'"
            raise InvalidSettingsError(msg, field="otlp_endpoint") from error
        # Late, for servers without a collector need none of it.
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio  # noqa: PLC0415

        exporter = OTLPSpanExporter(
            endpoint=options.otlp_endpoint,
            insecure=options.otlp_endpoint.startswith("http://"),
            timeout=_EXPORT_SECONDS,
        )
        about = {"service.name": "bayesrca", "service.version": version}
        self._provider = TracerProvider(
            sampler=ParentBasedTraceIdRatio(options.trace_ratio),
            resource=Resource.create(about),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self.tracer = self._provider.get_tracer("bayesrca.service", version)

    def close(self) -> None:
        """Send what is left; takes a few seconds at most."""
        if self._provider is not None:
            self._provider.shutdown()
