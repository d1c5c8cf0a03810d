"""The RPCs: decode, hand to the pool, send what comes back."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from typing import cast

import grpc
from google.protobuf.message import DecodeError

from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.config import Settings
from bayesrca.errors import BayesRcaError, IncidentFormatError, InvalidSettingsError
from bayesrca.service.messages import CallFailedError, Failure
from bayesrca.service.pool import WorkerPool
from bayesrca.service.status import shorten, status_of
from bayesrca.wire import decode_request

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["RootCauseService"].full_name

# What one call may ask of a worker's memory and time; documented in the proto and in docs/api.md.
MAX_NUTS_DRAWS = 1_000_000
MAX_SCREEN_POINTS = 1 << 22

_log = logging.getLogger("bayesrca.service")

_Context = grpc.aio.ServicerContext[bytes, bytes]


class RootCauseHandlers:
    """Handlers of `RootCauseService`.

    Requests arrive as bytes and responses leave as bytes: parsing happens off the event loop, and
    the workers serialise.

    Args:
        pool: computes the answers.
        cores: threads one analysis may use.
    """

    def __init__(self, pool: WorkerPool, cores: int) -> None:
        self._pool = pool
        self._cores = cores

    def generic_handler(self) -> grpc.GenericRpcHandler:
        """Return what a `grpc.aio.Server` takes."""
        return grpc.method_handlers_generic_handler(
            SERVICE_NAME, {"Analyze": grpc.unary_unary_rpc_method_handler(self.analyze)}
        )

    async def analyze(self, request: bytes, context: _Context) -> bytes:
        """Answer one call of `Analyze`."""
        begun = time.monotonic()
        outcome = "CANCELLED"
        try:
            response = await self._answer(request, context)
            outcome = "OK"
        except CallFailedError as failed:
            outcome = failed.failure.reason
            code, message, metadata = status_of(_with_retry_advice(failed.failure, context))
            await context.abort(code, message, trailing_metadata=metadata)
        else:
            return response
        finally:
            seconds = time.monotonic() - begun
            _log.info("Analyze %s in %.3f s, %d bytes", outcome, seconds, len(request))

    async def _answer(self, request: bytes, context: _Context) -> bytes:
        # None when the caller set no deadline, which the stubs do not say.
        remaining = cast("float | None", context.time_remaining())
        loop = asyncio.get_running_loop()
        expires = None if remaining is None else loop.time() + remaining
        try:
            # Before the request is read: a server that is full must not get busier by saying so.
            self._pool.check()
            settings = await asyncio.to_thread(_validate, request, self._cores)
            # Awaited without a shield: when the caller goes, gRPC cancels this coroutine and with
            # it the ticket, wherever it is.
            return await self._pool.submit(request, settings, expires).response
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


def _validate(request: bytes, cores: int) -> Settings:
    """Return the settings of a request in which everything is in order; raise otherwise."""
    try:
        message = pb.AnalyzeRequest.FromString(request)
    except DecodeError as error:
        msg = f"the request is not an AnalyzeRequest: {shorten(str(error), 200)}"
        raise IncidentFormatError(msg) from error
    settings = decode_request(message, cores=cores).settings
    check_limits(settings)
    return settings


def _with_retry_advice(failure: Failure, context: _Context) -> Failure:
    """Forbid a third try of a call that has already cost two workers their lives."""
    metadata = context.invocation_metadata() or ()
    tried_before = any(key == "grpc-previous-rpc-attempts" for key, _ in metadata)
    if failure.reason != "WORKER_LOST" or not tried_before:
        return failure
    return Failure(reason=failure.reason, message=failure.message, retryable=False)
