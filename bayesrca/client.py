"""A client of `bayesrca serve`: the same analysis and attribution, computed elsewhere."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NoReturn, Self, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from bayesrca.api.v1 import (
    attribution_service_pb2,
    attribution_service_pb2_grpc,
    root_cause_service_pb2,
    root_cause_service_pb2_grpc,
)
from bayesrca.config import DEFAULT_MAX_MESSAGE_BYTES, Settings
from bayesrca.errors import BayesRcaError, ServiceError
from bayesrca.incident import Incident
from bayesrca.posterior.result import Answer
from bayesrca.wire import (
    AnalyzeCall,
    AttributionSettings,
    IntervalGuarantee,
    ShapleyMethod,
    ToleranceKind,
    decode_answer,
    encode_request,
    word_of,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bayesrca.attribution import ExcessFlowGame, Game, ShapleyEstimate

_SERVICE = root_cause_service_pb2.DESCRIPTOR.services_by_name["RootCauseService"].full_name
_ATTRIBUTION = attribution_service_pb2.DESCRIPTOR.services_by_name["AttributionService"].full_name
_READY_SECONDS = 5.0
_LONGEST_SECONDS = 1e9

# Every call may be repeated: the same request has the same answer. A full queue says when to come
# back (`grpc-retry-pushback-ms`), and gRPC obeys.
SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [
                {"service": _SERVICE, "method": "Analyze"},
                {"service": _ATTRIBUTION, "method": "AttributeAnomaly"},
            ],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
            },
        }
    ]
}


class Client:
    """A connection to one server. Use it as a context manager, or call `close`.

    Safe to share among threads; do not use it across a fork.

    Args:
        address: ``HOST:PORT``.
        timeout: seconds each call may take unless it says otherwise; None for no limit.
        max_message_bytes: largest request sent and answer accepted. Best equal to the server's:
            what is too large only for the server is refused after some useless retries.

    Raises:
        ServiceError: the address is not of that form (reason ``INVALID_ADDRESS``).
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float | None = None,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
    ) -> None:
        self._address = _checked_address(address)
        self._timeout = _checked_timeout(timeout)
        options = _options(self._address, max_message_bytes)
        self._channel = grpc.insecure_channel(self._address, options=options)
        self._service = root_cause_service_pb2_grpc.RootCauseServiceStub(self._channel)
        self._attribution = attribution_service_pb2_grpc.AttributionServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection and whatever still runs on it; may be called twice."""
        self._channel.close()

    def analyze(
        self,
        incident: Incident,
        *,
        seed: int,
        settings: Settings | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Have the server compute the posterior over root causes of an incident.

        With the same versions, seed, settings, an explicit method and no deadline, every number but
        the timings equals the local run's to the last bit. A call that fails because the server is
        not there, loses its worker or has a full queue is tried up to five times, within `timeout`.

        Args:
            incident: what happened.
            seed: seed of every random number, 0 to 2^63 - 1.
            settings: None for the defaults. ``cores`` is the server's to choose.
            timeout: seconds to wait (> 0); None takes the client's own. With `Method.AUTO` the
                server sees to it that an answer is back in time, if need be the screen's.

        Raises:
            ServiceError: the server refused, failed or was not reached; ``reason`` says which.
            InvalidSettingsError: a seed out of range.
        """
        call = AnalyzeCall(incident=incident, seed=seed, settings=settings or Settings())
        request = encode_request(call)
        return self._call(
            self._service.Analyze, request, timeout, lambda response: decode_answer(response.answer)
        )

    def attribute_anomaly(
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
        """Have the server share a game's value among its players.

        With the same versions and arguments, every bit equals the local estimate's, unless a
        deadline or the timeout ended one of the two early. What is sampled when the deadline nears
        comes back in time, with its errors and ``converged`` False. Calls are tried again as those
        of `analyze` are.

        Args:
            game: one of `bayesrca.attribution`'s games on graphs: a sampled, Gaussian or nonlinear
                tail, noisy-OR, live edges, a call tree or an excess flow.
            seed: 0 to 2^64 - 1.
            tolerance: as `bayesrca.attribution.estimate_shapley` takes it, like those that follow.
            budget: at most 10^10 evaluations.
            tolerance_kind: ``relative`` or ``absolute``.
            confidence: coverage of the half-widths, in (0, 1); None for 0.95.
            guarantee: what they promise, ``asymptotic`` or ``bernstein``.
            method: as there, or ``exact`` for `bayesrca.attribution.compute_shapley`, which takes
                none of the five before and samples nothing.
            deadline: seconds (> 0) the server may take once it has begun.
            timeout: seconds to wait (> 0); None takes the client's own.

        Raises:
            ServiceError: the server refused, failed or was not reached; ``reason`` says which.
            InvalidGameError: the game is none that can be sent.
            InvalidSettingsError: an argument out of range.
        """
        settings = AttributionSettings(
            method=word_of(ShapleyMethod, method, "method"),
            tolerance=tolerance,
            tolerance_kind=word_of(ToleranceKind, tolerance_kind, "tolerance_kind"),
            budget=budget,
            confidence=confidence,
            guarantee=word_of(IntervalGuarantee, guarantee, "guarantee"),
            deadline=deadline,
        )
        from bayesrca.wire import attribution as wire  # noqa: PLC0415  loads the native core

        request = wire.encode_attribution_request(game, seed=seed, settings=settings)
        return self._call(
            self._attribution.AttributeAnomaly,
            request,
            timeout,
            lambda response: wire.decode_estimate(response.estimate),
        )

    def estimate_shares(
        self,
        game: ExcessFlowGame,
        *,
        seed: int,
        resamples: int = 256,
        timeout: float | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Have the server tell the shares of a target's excess, with their errors.

        Args:
            game: the excess flow.
            seed: 0 to 2^64 - 1.
            resamples: how often the doses are drawn, 2 to 100 000.
            timeout: seconds to wait (> 0); None takes the client's own.

        Returns:
            What `bayesrca.attribution.ExcessFlowGame.estimate_shares` returns, to the last bit.

        Raises:
            ServiceError: the server refused, failed or was not reached; ``reason`` says which.
            InvalidGameError: the game is none that can be sent.
            InvalidSettingsError: an argument out of range.
        """
        settings = AttributionSettings(share_resamples=resamples)
        from bayesrca.wire import attribution as wire  # noqa: PLC0415  loads the native core

        request = wire.encode_attribution_request(game, seed=seed, settings=settings)
        return self._call(
            self._attribution.AttributeAnomaly,
            request,
            timeout,
            lambda response: wire.decode_shares(response.shares),
        )

    def ready(self, *, timeout: float | None = None) -> bool:
        """Return whether the server has a warm worker and takes calls.

        A server that cannot be reached, or does not answer in time, is not ready; nothing is
        raised for it.

        Args:
            timeout: seconds to wait; None takes the client's own, or 5 s if it has none.
        """
        limit = self._timeout if timeout is None else _checked_timeout(timeout)
        request = health_pb2.HealthCheckRequest(service=_SERVICE)
        try:
            reply = self._health.Check(request, timeout=limit or _READY_SECONDS)
        except (grpc.RpcError, ValueError):
            return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    def _call[Q, R, A](
        self,
        send: grpc.UnaryUnaryMultiCallable[Q, R],
        request: Q,
        timeout: float | None,
        read: Callable[[R], A],
    ) -> A:
        """Send a request and read the response."""
        limit = self._timeout if timeout is None else _checked_timeout(timeout)
        try:
            response = send(request, timeout=limit)
        except grpc.RpcError as error:
            self._raise(cast("grpc.Call", error))  # every error of a stub is its call
        except ValueError as error:  # what gRPC raises on a closed channel
            msg = f"the client of {self._address} is closed"
            raise ServiceError(msg, reason="CLOSED") from error
        try:
            return read(response)
        except BayesRcaError as error:
            msg = f"the server at {self._address} sent an answer that cannot be read: {error}"
            raise ServiceError(msg, reason="BAD_ANSWER") from error

    def _raise(self, error: grpc.Call) -> NoReturn:
        """Raise what a failed call means, in plain words; gRPC's own error does not get out."""
        code, text, status = error.code(), error.details() or "", _status_of(error)
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
            reason, text = self._explain(code, text)
        raise ServiceError(text, reason=reason, violations=tuple(violations)) from None

    def _explain(self, code: grpc.StatusCode, text: str) -> tuple[str, str]:
        """Return reason and message of a failure that is gRPC's own and not the service's."""
        where = f"the server at {self._address}"
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


def _status_of(error: grpc.Call) -> status_pb2.Status:
    """Return the rich status in a failed call's trailers; empty when there is none to be read."""
    status = status_pb2.Status()
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            try:
                status.ParseFromString(value)
            except DecodeError:
                return status_pb2.Status()
    return status


def _options(address: str, max_message_bytes: int) -> list[tuple[str, int | str]]:
    options: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # A call whose request does not fit into this buffer (256 KiB by default) is never retried.
        ("grpc.per_rpc_retry_buffer_size", max_message_bytes),
        ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    ]
    if _is_local(address):  # no proxy stands between a machine and itself
        options.append(("grpc.enable_http_proxy", 0))
    return options


def _is_local(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_address(address: str) -> str:
    host, _, port = address.rpartition(":")
    named = bool(host) and not any(c.isspace() or c == "/" for c in host)
    if named and port.isascii() and port.isdigit() and 0 < int(port) <= 65535:
        return address
    msg = f"the server's address must be written HOST:PORT, got {address!r}"
    raise ServiceError(msg, reason="INVALID_ADDRESS")


def _checked_timeout(timeout: float | None) -> float | None:
    if timeout is None or timeout > _LONGEST_SECONDS:
        return None  # gRPC cannot count that far and would give up at once
    if timeout > 0:
        return timeout
    msg = f"a timeout must be more than 0 seconds, got {timeout!r}"
    raise ServiceError(msg, reason="INVALID_TIMEOUT")
