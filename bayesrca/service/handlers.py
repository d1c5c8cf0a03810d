"""The RPCs: decode, hand to the pool, send what comes back."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import cast

import grpc
from google.protobuf.message import DecodeError

from bayesrca.api.v1 import attribution_service_pb2, root_cause_service_pb2
from bayesrca.config import LearnedPrior, Settings
from bayesrca.errors import (
    BayesRcaError,
    IncidentFormatError,
    InvalidGameError,
    InvalidSettingsError,
)
from bayesrca.service.messages import Call, CallFailedError, Failure
from bayesrca.service.pool import WorkerPool
from bayesrca.service.status import shorten, status_of
from bayesrca.wire import (
    AttributionSettings,
    GameArrays,
    decode_attribution_settings,
    decode_game_arrays,
    decode_request,
)

ROOT_CAUSE = root_cause_service_pb2.DESCRIPTOR.services_by_name["RootCauseService"].full_name
ATTRIBUTION = attribution_service_pb2.DESCRIPTOR.services_by_name["AttributionService"].full_name

# What one call may ask of a worker's memory and time; documented in the protos and in docs/api.md.
# The limits of a game stand with its arrays, `bayesrca.wire.attribution_arrays`.
MAX_NUTS_DRAWS = 1_000_000
MAX_SCREEN_POINTS = 1 << 22
MAX_SHARE_WORK = 1 << 26
"""Most resamples x (players + calls): cancellation cannot reach that loop of a CPU second."""

_log = logging.getLogger("bayesrca.service")

_Context = grpc.aio.ServicerContext[bytes, bytes]
# The settings of a request in which everything is in order; arguments: request, threads.
_Read = Callable[[bytes, int], Settings | AttributionSettings]


class Handlers:
    """Handlers of every rpc of ours.

    Requests arrive as bytes and responses leave as bytes: parsing happens off the event loop, and
    the workers serialise.

    Args:
        pool: computes the answers.
        cores: threads one call may use.
        prior: the learned prior that analyses use; None for the built-in one.
    """

    def __init__(self, pool: WorkerPool, cores: int, prior: LearnedPrior | None = None) -> None:
        self._pool = pool
        self._cores = cores
        self._prior = prior

    def generic_handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """Return what a `grpc.aio.Server` takes."""
        return tuple(
            grpc.method_handlers_generic_handler(
                service,
                {
                    rpc: grpc.unary_unary_rpc_method_handler(partial(self._call, rpc, read))
                    for rpc, read in rpcs.items()
                },
            )
            for service, rpcs in _RPCS.items()
        )

    async def _call(self, rpc: str, read: _Read, request: bytes, context: _Context) -> bytes:
        """Answer one call of an rpc."""
        begun = time.monotonic()
        outcome = "CANCELLED"
        try:
            response = await self._answer(rpc, read, request, context)
            outcome = "OK"
        except CallFailedError as failed:
            outcome = failed.failure.reason
            code, message, metadata = status_of(_with_retry_advice(failed.failure, context))
            await context.abort(code, message, trailing_metadata=metadata)
        else:
            return response
        finally:
            seconds = time.monotonic() - begun
            _log.info("%s %s in %.3f s, %d bytes", rpc, outcome, seconds, len(request))

    async def _answer(self, rpc: str, read: _Read, request: bytes, context: _Context) -> bytes:
        # None when the caller set no deadline, which the stubs do not say.
        remaining = cast("float | None", context.time_remaining())
        loop = asyncio.get_running_loop()
        expires = None if remaining is None else loop.time() + remaining
        try:
            # Before the request is read: a server that is full must not get busier by saying so.
            self._pool.check()
            settings = await asyncio.to_thread(read, request, self._cores)
            if isinstance(settings, Settings):
                settings = replace(settings, prior=self._prior)
            call = Call(rpc, request, settings)
            # Awaited without a shield: when the caller goes, gRPC cancels this coroutine and with
            # it the ticket, wherever it is.
            return await self._pool.submit(call, expires).response
        except (CallFailedError, asyncio.CancelledError):
            raise
        except BayesRcaError as error:
            failure = Failure(reason=error.reason, message=str(error), field=error.field)
            raise CallFailedError(failure) from error
        except Exception as error:
            error_id = uuid.uuid4().hex
            _log.exception("call failed, error id %s", error_id)
            message = "the server failed; its log has more under the error id"
            failure = Failure(reason="INTERNAL", message=message, error_id=error_id)
            raise CallFailedError(failure) from error


def check_limits(settings: Settings) -> None:
    """Refuse an analysis that would take more memory or time than one call may.

    Raises:
        InvalidSettingsError: too many draws or points; ``field`` is a path of the request.
    """
    draws = settings.chains * (settings.draws + settings.tune)
    if draws > MAX_NUTS_DRAWS:
        msg = f"chains x (draws + tune) is {draws}; this server takes at most {MAX_NUTS_DRAWS}"
        raise InvalidSettingsError(msg, field="settings.draws")
    points = settings.screen_scrambles * settings.screen_points
    if points > MAX_SCREEN_POINTS:
        msg = (
            f"screen_scrambles x screen_points is {points}; "
            f"this server takes at most {MAX_SCREEN_POINTS}"
        )
        raise InvalidSettingsError(msg, field="settings.screen_points")


def check_share_limits(game: GameArrays, settings: AttributionSettings) -> None:
    """Refuse shares of a game that has none, or more resamples than one call may ask for.

    Raises:
        InvalidSettingsError: ``field`` is a path of the request.
    """
    field, resamples = "settings.share_resamples", settings.share_resamples
    if resamples is None:
        return
    if game.kind != "excess_flow":
        msg = f"{field}: only an excess-flow game has shares; leave it out"
        raise InvalidSettingsError(msg, field=field)
    work = resamples * (game.n_players + game.n_edges)
    if work > MAX_SHARE_WORK:
        msg = (
            f"share_resamples x (players + calls) is {work}; "
            f"this server takes at most {MAX_SHARE_WORK}"
        )
        raise InvalidSettingsError(msg, field=field)


def _read_analysis(request: bytes, cores: int) -> Settings:
    try:
        message = root_cause_service_pb2.AnalyzeRequest.FromString(request)
    except DecodeError as error:
        msg = f"the request is not an AnalyzeRequest: {shorten(str(error), 200)}"
        raise IncidentFormatError(msg) from error
    settings = decode_request(message, cores=cores).settings
    check_limits(settings)
    return settings


def _read_attribution(request: bytes, cores: int) -> AttributionSettings:
    try:
        message = attribution_service_pb2.AttributeAnomalyRequest.FromString(request)
    except DecodeError as error:
        msg = f"the request is not an AttributeAnomalyRequest: {shorten(str(error), 200)}"
        raise InvalidGameError(msg) from error
    if not message.HasField("seed"):
        msg = "the request holds no seed; give one (0 will do), so that the answer can be repeated"
        raise InvalidSettingsError(msg, field="seed")
    settings = decode_attribution_settings(message.settings, threads=cores)
    check_share_limits(decode_game_arrays(message.game), settings)
    return settings


_RPCS: Mapping[str, Mapping[str, _Read]] = {
    ROOT_CAUSE: {"Analyze": _read_analysis},
    ATTRIBUTION: {"AttributeAnomaly": _read_attribution},
}


def _with_retry_advice(failure: Failure, context: _Context) -> Failure:
    """Forbid a third try of a call that has already cost two workers their lives."""
    metadata = context.invocation_metadata() or ()
    tried_before = any(key == "grpc-previous-rpc-attempts" for key, _ in metadata)
    if failure.reason != "WORKER_LOST" or not tried_before:
        return failure
    return Failure(reason=failure.reason, message=failure.message, retryable=False)
