"""OpenTelemetry's three Export rpcs: raw bytes to columns that are held in memory."""

from __future__ import annotations

import asyncio
from functools import partial

import grpc

from bayesrca.columns.otlp import Kind, Limits, Table, decode
from bayesrca.service.auth import EXPORTS
from bayesrca.service.caller import current_caller
from bayesrca.service.held import Bounds, HeldTelemetry
from bayesrca.service.interceptors import Context
from bayesrca.service.options import ServiceOptions
from bayesrca.service.rpc import unary
from bayesrca.service.telemetry import Metrics

_KINDS = {"trace": Kind.SPANS, "metrics": Kind.POINTS, "logs": Kind.LOGS}
_SMALL_BYTES = 256 << 10
"""Decoded within the event loop, in about a quarter of a millisecond; larger ones in a thread."""


class Receiver:
    """Handlers of the Export rpcs.

    Args:
        options: how much is held.
        metrics: takes the counts.
    """

    def __init__(self, options: ServiceOptions, metrics: Metrics) -> None:
        bounds = Bounds(
            seconds=options.telemetry_seconds,
            n_bytes=options.telemetry_bytes,
            spared_seconds=options.telemetry_spared_seconds,
        )
        self.held = HeldTelemetry(bounds, metrics.telemetry_evicted)
        self._metrics = metrics
        self._limits = Limits()
        metrics.follow_telemetry(lambda: self.held.n_bytes)

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """Return the handlers of the three services."""
        made = []
        for method in EXPORTS:
            service, _, rpc = method.removeprefix("/").partition("/")
            kind = _KINDS[service.split(".")[3]]
            name = f"Export {kind}"
            rpcs = {rpc: unary(name, partial(self._export, kind), quiet=True)}
            made.append(grpc.method_handlers_generic_handler(service, rpcs))
        return made

    async def _export(self, kind: Kind, request: bytes, _: Context) -> bytes:
        return await self.take(kind, current_caller().tenant, request)

    async def take(self, kind: Kind, tenant: str, request: bytes) -> bytes:
        """Hold what an Export request of a tenant holds, and return the response to it.

        Raises:
            InvalidTelemetryError: it is no such request, or beyond the limits.
            CallFailedError: there is no room (``TELEMETRY_FULL``, ``TELEMETRY_TOO_LARGE``).
        """
        try:
            # A server that is full must not get busier by saying so.
            self.held.check(tenant)
            if len(request) <= _SMALL_BYTES:
                table = decode(kind, request, self._limits)
            else:
                table = await asyncio.to_thread(decode, kind, request, self._limits)
            if len(table) or table.rejected:
                self.held.add(tenant, table)
        except Exception:
            self._metrics.telemetry_refused(kind)
            raise
        self._metrics.telemetry_received(kind, len(table), sum(table.rejected.values()))
        return _response(table)


def _response(table: Table) -> bytes:
    """Return an Export response: empty, or one with a `partial_success` where something is amiss.

    All three have it as field 1: how many were rejected (field 1) and why (field 2).
    """
    told = [f"{count} {table.kind} were left out: {why}" for why, count in table.rejected.items()]
    if table.invalid_texts:
        told.append(f"{table.invalid_texts} texts were not UTF-8 and were mended")
    if not told:
        return b""
    rejected = sum(table.rejected.values())
    count = b"\x08" + _varint(rejected) if rejected else b""
    partial_success = count + _field(2, "; ".join(told).encode())
    return _field(1, partial_success)


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
