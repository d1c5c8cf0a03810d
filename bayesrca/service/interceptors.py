"""What stands between gRPC and every handler."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, NoReturn

import grpc
from structlog.contextvars import bind_contextvars

from bayesrca.service.auth import HEALTH, Guard
from bayesrca.service.caller import CALLER, Caller, current_caller
from bayesrca.service.messages import CallFailedError, Failure
from bayesrca.service.status import status_of

# Only gRPC's stubs are generic: these must not be looked up when the program runs.
type Context = grpc.aio.ServicerContext[Any, Any]
type Handler = grpc.RpcMethodHandler[Any, Any]
type Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]
_NAMES = "x509_subject_alternative_name"

_log = logging.getLogger("bayesrca.service")


async def abort(context: Context, failure: Failure) -> NoReturn:
    """End a call with a failure's status, by raising what gRPC raises to do so."""
    code, message, metadata = status_of(failure)
    await context.abort(code, message, trailing_metadata=metadata)


def refusing(method: str, failure: Failure) -> Handler:
    """Return a handler that refuses a call of any kind.

    It is one of streams, for those are handed over before a message has been read: who is refused
    cannot make the server hold their request.
    """

    async def refuse(_: object, context: Context) -> None:
        _log.info("%s refused: %s", method, failure.reason)
        await abort(context, failure)

    return grpc.stream_stream_rpc_method_handler(refuse)


def surrounded(
    handler: Handler, enter: Callable[[Context], AbstractContextManager[object]]
) -> Handler:
    """Return a handler that runs inside of what `enter` returns for the call.

    A `CallFailedError` that leaves it, or `enter`, ends the call with its status.
    """
    inner: Callable[..., Any] = getattr(handler, _kind(handler))

    async def unary(request: object, context: Context) -> object:
        try:
            with enter(context):
                return await inner(request, context)
        except CallFailedError as failed:
            await abort(context, failed.failure)

    async def stream(request: object, context: Context) -> None:
        try:
            with enter(context):
                # gRPC takes handlers that yield and handlers that write.
                responses = inner(request, context)
                if not inspect.isasyncgen(responses):
                    await responses
                    return
                async with contextlib.aclosing(responses):
                    async for response in responses:
                        await context.write(response)
        except CallFailedError as failed:
            await abort(context, failed.failure)

    make = getattr(grpc, f"{_kind(handler)}_rpc_method_handler")
    made: Handler = make(
        stream if handler.response_streaming else unary,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
    return made


def _kind(handler: Handler) -> str:
    words = {False: "unary", True: "stream"}
    return f"{words[handler.request_streaming]}_{words[handler.response_streaming]}"


class GuardInterceptor(grpc.aio.ServerInterceptor):
    """Refuses calls that their caller may not make, and tells handlers who calls.

    Args:
        guard: decides.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def intercept_service(
        self, continuation: Continuation, details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Return the method's handler, or one that refuses."""
        method = details.method
        try:
            caller = self._guard.by_metadata(method, details.invocation_metadata or ())
        except CallFailedError as failed:
            # A method that does not exist is not refused: gRPC says so itself.
            known = await continuation(details) is not None
            return refusing(method, failed.failure) if known else None
        if caller is not None:
            _tell(caller)  # first: what is inside of this counts by tenant
        handler = await continuation(details)
        if handler is None or caller is not None:
            return handler

        def enter(context: Context) -> AbstractContextManager[object]:
            names = context.auth_context().get(_NAMES, ())
            _tell(self._guard.by_certificate(method, names))
            return contextlib.nullcontext()

        return surrounded(handler, enter)


def _tell(caller: Caller) -> None:
    """Tell handlers and the log who calls; each call runs in a task and context of its own."""
    CALLER.set(caller)
    bind_contextvars(tenant=caller.tenant, subject=caller.subject)


class LimitInterceptor(grpc.aio.ServerInterceptor):
    """Refuses calls beyond a number that are open at a time; each may hold a large request.

    One tenant's calls that take all the places leave every other tenant an eighth as many, for
    nobody may keep another from its kill switch. Callers by certificate alone, who are known only
    later, count as one tenant.

    Args:
        most: how many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._least = max(1, most // 8)
        self._open: Counter[str] = Counter()  # by tenant

    async def intercept_service(
        self, continuation: Continuation, details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Return the method's handler, counted, or one that refuses."""
        handler = await continuation(details)
        if handler is None or details.method.startswith(HEALTH):
            return handler
        tenant = current_caller().tenant
        total = self._open.total()
        if total >= self._most and self._open[tenant] >= self._least:
            message = f"{total} calls are open already; try again later"
            failure = Failure(reason="TOO_MANY_CALLS", message=message, retry_after=1.0)
            return refusing(details.method, failure)
        # From now on, not from when the handler begins: by then its request has been read.
        task = asyncio.current_task()
        assert task is not None
        self._open[tenant] += 1
        task.add_done_callback(partial(self._ended, tenant))
        return handler

    def _ended(self, tenant: str, _: object) -> None:
        self._open[tenant] -= 1
