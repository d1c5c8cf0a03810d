"""What went wrong, as a gRPC status with machine-readable details."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from bayesrca.service.messages import Failure

DOMAIN = "bayesrca"

_Metadata = tuple[tuple[str, str | bytes], ...]

_BAD_INPUT = grpc.StatusCode.INVALID_ARGUMENT
CODES: Mapping[str, grpc.StatusCode] = {
    # The request itself is at fault: no server will answer it.
    "INVALID_GAME": _BAD_INPUT,
    "INVALID_INCIDENT": _BAD_INPUT,
    "INCIDENT_FORMAT": _BAD_INPUT,
    "INVALID_SETTINGS": _BAD_INPUT,
    "UNKNOWN_COMPONENT": _BAD_INPUT,
    "INVALID_EVIDENCE": _BAD_INPUT,
    "INVALID_REQUEST": _BAD_INPUT,
    "INVALID_TELEMETRY": _BAD_INPUT,
    "NO_EVIDENCE": _BAD_INPUT,
    # The request is sound, but beyond this version or its limits.
    "NOT_SUPPORTED": grpc.StatusCode.FAILED_PRECONDITION,
    "GRAPH_TOO_WIDE": grpc.StatusCode.FAILED_PRECONDITION,
    "NO_CREDENTIALS": grpc.StatusCode.UNAUTHENTICATED,
    "INVALID_CREDENTIALS": grpc.StatusCode.UNAUTHENTICATED,
    "EXPIRED_CREDENTIALS": grpc.StatusCode.UNAUTHENTICATED,
    "MISSING_SCOPE": grpc.StatusCode.PERMISSION_DENIED,
    "METHOD_DENIED": grpc.StatusCode.PERMISSION_DENIED,
    # A client that cancels never reads its status, so this one is about the deadline.
    "CANCELLED": grpc.StatusCode.DEADLINE_EXCEEDED,
    # About stored analyses.
    "NO_STORE": grpc.StatusCode.FAILED_PRECONDITION,
    "RUN_WITHDRAWN": grpc.StatusCode.FAILED_PRECONDITION,
    "NO_ANSWER": grpc.StatusCode.FAILED_PRECONDITION,
    "NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "REQUEST_ID_REUSED": grpc.StatusCode.ALREADY_EXISTS,
    "TOO_MANY_PENDING": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "OUT_OF_MEMORY": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "STORAGE_QUOTA": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "STORAGE_FULL": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "STORAGE_FAILED": grpc.StatusCode.INTERNAL,
    "ARTEFACT_LOST": grpc.StatusCode.DATA_LOSS,
    # About telemetry that is received, and back ends that are asked.
    "NO_SOURCES": grpc.StatusCode.FAILED_PRECONDITION,
    "NO_TELEMETRY": grpc.StatusCode.FAILED_PRECONDITION,
    "TELEMETRY_FULL": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "TELEMETRY_TOO_LARGE": grpc.StatusCode.RESOURCE_EXHAUSTED,
    # About work that finds no place.
    "QUEUE_FULL": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "TOO_MANY_CALLS": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "DRAINING": grpc.StatusCode.UNAVAILABLE,
    "NO_WORKER": grpc.StatusCode.UNAVAILABLE,
    "WORKER_LOST": grpc.StatusCode.UNAVAILABLE,
    # What telemetry was to come from.
    "SOURCE": grpc.StatusCode.UNAVAILABLE,
}
# What has run out.
_SUBJECTS: Mapping[str, str] = {
    "QUEUE_FULL": "queue",
    "TOO_MANY_CALLS": "calls",
    "TOO_MANY_PENDING": "tenant",
    "TELEMETRY_FULL": "tenant",
    "TELEMETRY_TOO_LARGE": "tenant",
    "OUT_OF_MEMORY": "memory",
    "STORAGE_QUOTA": "tenant",
    "STORAGE_FULL": "disk",
}
# Trailers share 8 KiB by default, and the message travels twice, percent-encoded the first time.
_MAX_MESSAGE_BYTES = 800
_MAX_FIELD_BYTES = 300


def status_of(failure: Failure) -> tuple[grpc.StatusCode, str, _Metadata]:
    """Return code, message and trailing metadata for a failure.

    The trailers hold a `google.rpc.Status` with `ErrorInfo` always, `BadRequest` for refused input,
    `PreconditionFailure` for input beyond this server, `QuotaFailure` for what has run out, with
    `RetryInfo` where it comes back by itself; and ``grpc-retry-pushback-ms``, which stock clients
    obey, where it is known when or whether to try again.
    """
    code = CODES.get(failure.reason, grpc.StatusCode.INTERNAL)
    message = shorten(failure.message, _MAX_MESSAGE_BYTES)
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in _details(failure, code, message):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    metadata: list[tuple[str, str | bytes]] = [
        ("grpc-status-details-bin", status.SerializeToString())
    ]
    if not failure.retryable:
        metadata.append(("grpc-retry-pushback-ms", "-1"))
    elif failure.retry_after is not None:
        metadata.append(("grpc-retry-pushback-ms", str(round(failure.retry_after * 1000))))
    return code, message, tuple(metadata)


def _details(failure: Failure, code: grpc.StatusCode, message: str) -> list[Message]:
    field = shorten(failure.field, _MAX_FIELD_BYTES)
    about = {"field": field, "error_id": failure.error_id}
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=failure.reason,
            domain=DOMAIN,
            metadata={key: value for key, value in about.items() if value},
        )
    ]
    if code is _BAD_INPUT:
        bad = error_details_pb2.BadRequest()
        bad.field_violations.add(field=field, description=message, reason=failure.reason)
        details.append(bad)
    elif code is grpc.StatusCode.FAILED_PRECONDITION:
        unmet = error_details_pb2.PreconditionFailure()
        unmet.violations.add(type=failure.reason, subject=field, description=message)
        details.append(unmet)
    elif code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        quota = error_details_pb2.QuotaFailure()
        quota.violations.add(subject=_SUBJECTS[failure.reason], description=message)
        details.append(quota)
    if failure.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(failure.retry_after * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return details


def shorten(text: str, limit: int) -> str:
    """Return text cut to at most `limit` bytes of UTF-8, an ellipsis marking the cut."""
    raw = text.encode(errors="replace")
    if len(raw) <= limit:
        return raw.decode()
    return raw[: limit - 3].decode(errors="ignore") + "..."
