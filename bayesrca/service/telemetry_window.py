"""The rpc that tells what is held of received telemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from bayesrca.api.v1 import telemetry_service_pb2 as pb
from bayesrca.service.analyses import parsed
from bayesrca.service.caller import current_caller
from bayesrca.service.interceptors import Context
from bayesrca.service.messages import CallFailedError
from bayesrca.service.rpc import unary
from bayesrca.service.sourcing import NO_TELEMETRY
from bayesrca.wire.saved import KINDS, TelemetryKind

if TYPE_CHECKING:
    from bayesrca.service.held import Held
    from bayesrca.service.receiver import Receiver

TELEMETRY = pb.DESCRIPTOR.services_by_name["TelemetryService"].full_name


class WindowHandlers:
    """Handlers of `TelemetryService`.

    Args:
        receiver: holds the telemetry; None where the server receives none.
    """

    def __init__(self, receiver: Receiver | None) -> None:
        self._receiver = receiver

    def rpcs(self) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
        """Return the handlers, by the rpcs' names."""
        return {"GetTelemetryWindow": unary("GetTelemetryWindow", self._window)}

    async def _window(self, request: bytes, _: Context) -> bytes:
        parsed(pb.GetTelemetryWindowRequest, request)
        if self._receiver is None:
            raise CallFailedError(NO_TELEMETRY)
        held = self._receiver.held.look(current_caller().tenant)
        return pb.GetTelemetryWindowResponse(window=_encode(held)).SerializeToString()


def _encode(held: Held) -> pb.TelemetryWindow:
    window = pb.TelemetryWindow(size_bytes=held.n_bytes, refused_count=held.refused)
    for kind, counts in held.counts.items():
        tables = held.of(kind)
        records = window.records.add(
            kind=KINDS.number(TelemetryKind(kind)),
            held_count=sum(len(table) for table in tables),
            received_count=counts.received,
            rejected_count=counts.rejected,
            evicted_count=counts.evicted,
        )
        periods = [table.period for table in tables if table.period is not None]
        if periods:
            records.start_time.FromNanoseconds(min(start for start, _ in periods))
            records.end_time.FromNanoseconds(max(end for _, end in periods))
    return window
