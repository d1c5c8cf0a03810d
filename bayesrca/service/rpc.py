"""What every rpc has in common: failures become statuses, and each call is logged."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import cast

import grpc

from bayesrca.errors import BayesRcaError
from bayesrca.service.artefacts import ArtefactLostError
from bayesrca.service.interceptors import Context, abort
from bayesrca.service.messages import CallFailedError, Failure
from bayesrca.service.pool import DRAINING
from bayesrca.service.store import StoreClosedError, StoreFullError

_log = logging.getLogger("bayesrca.service")


def unary(
    name: str, answer: Callable[[bytes, Context], Awaitable[bytes]], *, quiet: bool = False
) -> grpc.RpcMethodHandler[bytes, bytes]:
    """Return the handler of an rpc with one response.

    Args:
        name: the rpc's name, for the log.
        answer: makes the response.
        quiet: whether the log keeps silent about calls that succeed.
    """

    async def handle(request: bytes, context: Context) -> bytes:
        async with _told(name, len(request), context, quiet=quiet):
            return await answer(request, context)
        raise AssertionError  # `abort` has raised

    return grpc.unary_unary_rpc_method_handler(handle)


def stream(
    name: str, answer: Callable[[bytes, Context], AsyncGenerator[bytes]]
) -> grpc.RpcMethodHandler[bytes, bytes]:
    """Return the handler of an rpc with a stream of responses."""

    async def handle(request: bytes, context: Context) -> AsyncIterator[bytes]:
        async with _told(name, len(request), context), aclosing(answer(request, context)) as made:
            async for response in made:
                yield response

    return grpc.unary_stream_rpc_method_handler(handle)


def remaining_seconds(context: Context) -> float | None:
    """Return the seconds until the caller stops waiting; None for never."""
    # None when the caller set no deadline, which the stubs do not say.
    return cast("float | None", context.time_remaining())


def failure_of(error: Exception) -> Failure:
    """Return what a failed call tells its caller; what is the server's fault goes to the log."""
    match error:
        case CallFailedError():
            return error.failure
        case BayesRcaError():
            return Failure(reason=error.reason, message=str(error), field=error.field)
        case StoreFullError():
            _log.error("the store is full: %s", error)
            return STORE_FULL
        case StoreClosedError():
            return DRAINING
    error_id = uuid.uuid4().hex
    _log.error("call failed, error id %s", error_id, exc_info=error)
    if isinstance(error, ArtefactLostError):
        reason, message = "ARTEFACT_LOST", "a stored file is missing or damaged"
    else:
        reason, message = "INTERNAL", "the server failed"
    return Failure(
        reason=reason,
        message=f"{message}; the server's log has more under the error id",
        error_id=error_id,
    )


@asynccontextmanager
async def _told(
    name: str, size: int, context: Context, *, quiet: bool = False
) -> AsyncIterator[None]:
    """Log how a call ends, and abort it with the status of what was raised."""
    begun = time.monotonic()
    outcome = "CANCELLED"
    try:
        yield
        outcome = "OK"
    except Exception as error:
        failure = failure_of(error)
        outcome = failure.reason
        await abort(context, _with_retry_advice(failure, context))
    finally:
        seconds = time.monotonic() - begun
        level = logging.DEBUG if quiet and outcome == "OK" else logging.INFO
        told = {"rpc": name, "outcome": outcome, "seconds": seconds, "request_bytes": size}
        _log.log(level, "%s %s in %.3f s, %d bytes", name, outcome, seconds, size, extra=told)


def _with_retry_advice(failure: Failure, context: Context) -> Failure:
    """Forbid a third try of a call that has already cost two workers their lives."""
    metadata = context.invocation_metadata() or ()
    tried_before = any(key == "grpc-previous-rpc-attempts" for key, _ in metadata)
    if failure.reason != "WORKER_LOST" or not tried_before:
        return failure
    return replace(failure, retryable=False)


STORE_FULL = Failure(
    reason="STORAGE_FULL",
    message="the server has no space left to store this; nothing was accepted or changed",
    retryable=False,
)
