"""The client for programs that run an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from bayesrca.client import calls
from bayesrca.client.channel import PAUSES, READY_SECONDS, SERVICE, Target
from bayesrca.client.decisions import AsyncDecisions
from bayesrca.client.download import Download
from bayesrca.client.failures import closed_error, is_unavailable, read_response, service_error
from bayesrca.config import DEFAULT_MAX_MESSAGE_BYTES, Settings
from bayesrca.incident import Incident, IncidentSource, TimeWindow
from bayesrca.posterior.result import Answer, Diagnostics
from bayesrca.posterior.summaries import ParameterSummary
from bayesrca.wire import (
    AnalysisState,
    AnalysisUpdate,
    StoredAnalysis,
)
from bayesrca.wire.saved import SavedTelemetry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bayesrca.attribution import ExcessFlowGame, Game, ShapleyEstimate


class AsyncClient:
    """What `bayesrca.client.Client` is, with methods to be awaited.

    To be made and used inside one running event loop, as an asynchronous context manager. To cancel
    a task that awaits a call is to cancel the call, on the server too.

    Args:
        address: as `bayesrca.client.Client` takes it, like all that follow.
        timeout: seconds each call may take unless it says otherwise; None for no limit.
        max_message_bytes: largest request sent and answer accepted.
        token: bearer token to show.
        tls: encrypt.
        ca_file: PEM file of the authorities that may vouch for the server.
        certificate_file: PEM file of the client's own certificate chain.
        key_file: PEM file of its private key.

    Raises:
        ServiceError: as there.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float | None = None,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        token: str | None = None,
        tls: bool = False,
        ca_file: Path | None = None,
        certificate_file: Path | None = None,
        key_file: Path | None = None,
    ) -> None:
        self._target = Target(
            address=address,
            timeout=timeout,
            max_message_bytes=max_message_bytes,
            token=token,
            tls=tls,
            ca_file=ca_file,
            certificate_file=certificate_file,
            key_file=key_file,
        )
        options, credentials = self._target.options, self._target.credentials
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address, options=options)
        else:
            self._channel = grpc.aio.secure_channel(address, credentials, options=options)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection and whatever still runs on it; may be called twice."""
        await self._channel.close()

    @property
    def decisions(self) -> AsyncDecisions:
        """What is about decisions, policies and kill switches."""
        return AsyncDecisions(self._call)

    async def analyze(
        self,
        incident: Incident | IncidentSource,
        *,
        seed: int,
        settings: Settings | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """As `bayesrca.client.Client.analyze`."""
        return await self._call(calls.analyze(incident, seed, settings), timeout)

    async def create_analysis(
        self,
        incident: Incident | IncidentSource,
        *,
        seed: int,
        settings: Settings | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> StoredAnalysis:
        """As `bayesrca.client.Client.create_analysis`."""
        call = calls.create_analysis(incident, seed, settings, request_id)
        return await self._call(call, timeout)

    async def get_analysis(self, name: str, *, timeout: float | None = None) -> StoredAnalysis:
        """As `bayesrca.client.Client.get_analysis`."""
        return await self._call(calls.get_analysis(name), timeout)

    async def list_analyses(
        self,
        *,
        states: Sequence[AnalysisState | str] = (),
        page_size: int = 50,
        timeout: float | None = None,
    ) -> AsyncIterator[StoredAnalysis]:
        """As `bayesrca.client.Client.list_analyses`."""
        token = ""
        while True:
            page, token = await self._call(calls.list_analyses(states, page_size, token), timeout)
            for analysis in page:
                yield analysis
            if not token:
                return

    async def watch_analysis(
        self, name: str, *, timeout: float | None = None
    ) -> AsyncIterator[AnalysisUpdate]:
        """As `bayesrca.client.Client.watch_analysis`."""
        async for update in self._follow(lambda: calls.watch_analysis(name), timeout):
            yield update

    async def wait_for_analysis(self, name: str, *, timeout: float | None = None) -> StoredAnalysis:
        """As `bayesrca.client.Client.wait_for_analysis`."""
        async for update in self.watch_analysis(name, timeout=timeout):
            last = update
        return last.analysis

    async def cancel_analysis(self, name: str, *, timeout: float | None = None) -> StoredAnalysis:
        """As `bayesrca.client.Client.cancel_analysis`."""
        return await self._call(calls.cancel_analysis(name), timeout)

    async def delete_analysis(self, name: str, *, timeout: float | None = None) -> None:
        """As `bayesrca.client.Client.delete_analysis`."""
        await self._call(calls.delete_analysis(name), timeout)

    async def get_diagnostics(
        self, name: str, *, timeout: float | None = None
    ) -> tuple[Diagnostics, list[ParameterSummary]]:
        """As `bayesrca.client.Client.get_diagnostics`."""
        return await self._call(calls.get_diagnostics(name), timeout)

    async def render_plot(
        self,
        name: str,
        plot: str,
        *,
        form: str = "png",
        parameters: Sequence[str] = (),
        timeout: float | None = None,
    ) -> bytes:
        """As `bayesrca.client.Client.render_plot`."""
        return await self._call(calls.render_plot(name, plot, form, parameters), timeout)

    async def download_draws(self, name: str, path: Path, *, timeout: float | None = None) -> None:
        """As `bayesrca.client.Client.download_draws`; writes to the disk in a thread."""
        with Download(path) as download:
            async for message in self._follow(
                lambda: calls.stream_draws(name, download.offset), timeout
            ):
                await asyncio.to_thread(download.take, message)
            await asyncio.to_thread(download.finish)

    async def save_telemetry(
        self, window: TimeWindow, *, request_id: str | None = None, timeout: float | None = None
    ) -> SavedTelemetry:
        """Have the server write what it received of a time; as `Client.save_telemetry`."""
        return await self._call(calls.save_telemetry(window, request_id), timeout)

    async def list_saved_telemetry(self, *, timeout: float | None = None) -> list[SavedTelemetry]:
        """Return what is saved of the caller's tenant; as `Client.list_saved_telemetry`."""
        return await self._call(calls.list_saved_telemetry(), timeout)

    async def delete_saved_telemetry(self, name: str, *, timeout: float | None = None) -> None:
        """Remove saved telemetry; as `Client.delete_saved_telemetry`."""
        await self._call(calls.delete_saved_telemetry(name), timeout)

    async def attribute_anomaly(
        self,
        game: Game,
        *,
        seed: int,
        tolerance: float | None = None,
        budget: int | None = None,
        tolerance_kind: Literal["relative", "absolute"] = "relative",
        confidence: float | None = None,
        guarantee: Literal["asymptotic", "bernstein"] = "asymptotic",
        method: Literal["automatic", "sampled", "leverage", "exact"] = "automatic",
        deadline: float | None = None,
        timeout: float | None = None,
    ) -> ShapleyEstimate:
        """As `bayesrca.client.Client.attribute_anomaly`."""
        call = calls.attribute_anomaly(
            game,
            seed=seed,
            tolerance=tolerance,
            budget=budget,
            tolerance_kind=tolerance_kind,
            confidence=confidence,
            guarantee=guarantee,
            method=method,
            deadline=deadline,
        )
        return await self._call(call, timeout)

    async def estimate_shares(
        self,
        game: ExcessFlowGame,
        *,
        seed: int,
        resamples: int = 256,
        timeout: float | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """As `bayesrca.client.Client.estimate_shares`."""
        return await self._call(calls.estimate_shares(game, seed, resamples), timeout)

    async def ready(self, *, timeout: float | None = None) -> bool:
        """As `bayesrca.client.Client.ready`."""
        limit = self._target.limit(timeout) or READY_SECONDS
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        try:
            reply = await self._health.Check(request, timeout=limit, metadata=self._target.metadata)
        except (grpc.RpcError, grpc.aio.UsageError):
            return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    async def _call[A](self, call: calls.Call[A], timeout: float | None) -> A:
        """Send a request and read the response."""
        send: Any = self._channel.unary_unary(
            call.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.response.FromString,
        )
        address = self._target.address
        try:
            response = await send(
                call.request, timeout=self._target.limit(timeout), metadata=self._target.metadata
            )
        except grpc.RpcError as error:
            raise service_error(error, address) from None
        except grpc.aio.UsageError as error:  # what gRPC raises on a closed channel
            raise closed_error(address) from error
        return read_response(call.read, response, address)

    async def _follow[A](
        self, call: Callable[[], calls.Call[A]], timeout: float | None
    ) -> AsyncIterator[A]:
        """Read a stream to its end, opening it again when the server goes away."""
        limit = self._target.limit(timeout)
        clock = asyncio.get_running_loop().time
        end = None if limit is None else clock() + limit
        pauses = iter(PAUSES)
        while True:
            left = None if end is None else max(end - clock(), 1e-3)
            try:
                async for message in self._open(call(), left):
                    pauses = iter(PAUSES)
                    yield message
            except grpc.RpcError as error:
                pause = next(pauses, None) if is_unavailable(error) else None
                if pause is None or (end is not None and clock() + pause > end):
                    raise service_error(error, self._target.address) from None
                await asyncio.sleep(pause)
            else:
                return

    async def _open[A](self, call: calls.Call[A], timeout: float | None) -> AsyncIterator[A]:
        """Send a request and read a stream of responses; gRPC's errors get out."""
        send: Any = self._channel.unary_stream(
            call.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.response.FromString,
        )
        address = self._target.address
        try:
            responses = send(call.request, timeout=timeout, metadata=self._target.metadata)
        except grpc.aio.UsageError as error:
            raise closed_error(address) from error
        try:
            async for response in responses:
                yield read_response(call.read, response, address)
        finally:
            responses.cancel()
