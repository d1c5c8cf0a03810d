"""What a failed call means, in plain words; gRPC's own errors do not get out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from bayesrca.errors import BayesRcaError, ServiceError


class _Failed(Protocol):
    """What the errors of both kinds of stubs can tell."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


def service_error(error: grpc.RpcError, address: str) -> ServiceError:
    """Return what a failed call to the server at an address means."""
    failed = cast("_Failed", error)  # every error of a stub is its call
    code, text, status = failed.code(), failed.details() or "", _status_of(failed)
    reason = ""
    violations: list[tuple[str, str]] = []
    for detail in status.details:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        unmet = error_details_pb2.PreconditionFailure()
        if detail.Unpack(info):
            reason = info.reason
            if error_id := info.metadata.get("error_id"):
                text = f"{text} (error id {error_id})"
        elif detail.Unpack(bad):
            violations += [(v.field, v.description) for v in bad.field_violations]
        elif detail.Unpack(unmet):
            violations += [(v.subject, v.description) for v in unmet.violations]
    if not reason:
        reason, text = _explain(code, text, f"the server at {address}")
    return ServiceError(text, reason=reason, violations=tuple(violations))


def closed_error(address: str) -> ServiceError:
    """Return what it means that gRPC refuses to use a channel."""
    return ServiceError(f"the client of {address} is closed", reason="CLOSED")


def is_unavailable(error: grpc.RpcError) -> bool:
    """Whether the server, or its like after it, may answer when asked again."""
    return cast("_Failed", error).code() is grpc.StatusCode.UNAVAILABLE


def read_response[A](read: Callable[[Any], A], response: object, address: str) -> A:
    """Return what a response says.

    Raises:
        ServiceError: it cannot be read (``BAD_ANSWER``).
    """
    try:
        return read(response)
    except BayesRcaError as error:
        msg = f"the server at {address} sent an answer that cannot be read: {error}"
        raise ServiceError(msg, reason="BAD_ANSWER") from error


def _explain(code: grpc.StatusCode, text: str, where: str) -> tuple[str, str]:
    """Return reason and message of a failure that is gRPC's own and not the service's."""
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            reason = "UNAVAILABLE"
            said = f"{where} cannot be reached ({text}); is `bayesrca serve` running there?"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            reason = "DEADLINE_EXCEEDED"
            said = f"{where} did not answer in time; allow more time or ask for less"
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            reason = "MESSAGE_TOO_LARGE"
            said = f"the message is larger than {where} or this client allows ({text})"
        case grpc.StatusCode.UNIMPLEMENTED:
            reason = "UNIMPLEMENTED"
            said = f"{where} does not offer this call; is it bayesrca, and as new as this?"
        case grpc.StatusCode.CANCELLED:
            reason, said = "CANCELLED", f"the call to {where} was cancelled ({text})"
        case _:
            reason, said = code.name, f"the call to {where} failed: {code.name}, {text}"
    return reason, said


def _status_of(failed: _Failed) -> status_pb2.Status:
    """Return the rich status in a failed call's trailers; empty when there is none to be read."""
    status = status_pb2.Status()
    for key, value in failed.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            try:
                status.ParseFromString(value)
            except DecodeError:
                return status_pb2.Status()
    return status
