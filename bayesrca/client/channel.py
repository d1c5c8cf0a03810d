"""The way to a server: address, options, retries, credentials."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bayesrca.api.v1 import (
    attribution_service_pb2,
    decision_service_pb2,
    root_cause_service_pb2,
    telemetry_service_pb2,
)
from bayesrca.errors import ServiceError

SERVICE = root_cause_service_pb2.DESCRIPTOR.services_by_name["RootCauseService"].full_name
ATTRIBUTION = attribution_service_pb2.DESCRIPTOR.services_by_name["AttributionService"].full_name
DECISION = decision_service_pb2.DESCRIPTOR.services_by_name["DecisionService"].full_name
TELEMETRY = telemetry_service_pb2.DESCRIPTOR.services_by_name["TelemetryService"].full_name
HEALTH = "grpc.health.v1.Health"
READY_SECONDS = 5.0
"""How long `ready` waits where nothing else says."""
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds before a stream that was cut off is opened again; after the last it is given up."""
_LONGEST_SECONDS = 1e9
_PROPAGATOR = TraceContextTextMapPropagator()

# Every call may be repeated: one that changes something does so once, whether by its name or by its
# `request_id`. A full queue says when to come back (`grpc-retry-pushback-ms`), and gRPC obeys. A
# call that crosses a server's goodbye on the wire ends as CANCELLED; what the caller itself cancels
# is never repeated.
SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [
                {"service": SERVICE},
                {"service": ATTRIBUTION},
                {"service": DECISION},
                {"service": TELEMETRY},
            ],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"],
            },
        },
        # A server that another replaces is gone for a moment; one that is not there is told soon.
        {
            "name": [{"service": HEALTH}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        },
    ]
}

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a server is and how to talk to it, checked.

    Attributes:
        address: ``HOST:PORT``.
        timeout: seconds each call may take unless it says otherwise; None for no limit.
        max_message_bytes: largest request sent and answer accepted.
        token: bearer token that every call shows; None for none.
        ca_file: PEM file of the authorities that may vouch for the server.
        certificate_file: PEM file of the client's certificate chain.
        key_file: PEM file of its private key.
        tls: encrypt; goes without saying where a file is given.

    Raises:
        ServiceError: an address or a timeout that cannot be (``INVALID_ADDRESS``,
            ``INVALID_TIMEOUT``), a file that cannot be read, or a token that would travel over a
            network in the clear (``INVALID_CREDENTIALS``).
    """

    address: str
    timeout: float | None
    max_message_bytes: int
    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    tls: bool = False

    def __post_init__(self) -> None:
        _check_address(self.address)
        object.__setattr__(self, "timeout", checked_timeout(self.timeout))
        files = (self.ca_file, self.certificate_file, self.key_file)
        object.__setattr__(self, "tls", self.tls or any(files))
        if (self.certificate_file is None) != (self.key_file is None):
            msg = "a certificate and its key go together: give both files, or neither"
            raise ServiceError(msg, reason="INVALID_CREDENTIALS")
        if self.token is not None and not self.tls and not is_local(self.address):
            msg = f"refusing to send a token to {self.address} in the clear; use TLS (tls=True)"
            raise ServiceError(msg, reason="INVALID_CREDENTIALS")

    @property
    def metadata(self) -> Metadata:
        """What a call carries beside its message: the token, and the trace that it belongs to."""
        headers: dict[str, str] = {}
        _PROPAGATOR.inject(headers)
        if self.token is not None:
            headers["authorization"] = f"Bearer {self.token}"
        return tuple(headers.items())

    @property
    def credentials(self) -> grpc.ChannelCredentials | None:
        """What the channel is made with; None for plaintext."""
        if not self.tls:
            return None
        return grpc.ssl_channel_credentials(
            root_certificates=_content(self.ca_file),
            private_key=_content(self.key_file),
            certificate_chain=_content(self.certificate_file),
        )

    @property
    def options(self) -> list[tuple[str, int | str]]:
        """The channel's options."""
        options: list[tuple[str, int | str]] = [
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.max_send_message_length", self.max_message_bytes),
            # A call whose request does not fit into this buffer (256 KiB by default) is never
            # retried.
            ("grpc.per_rpc_retry_buffer_size", self.max_message_bytes),
            ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
            # Sooner than the calls' last retries; gRPC's own is a second.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 20_000),
        ]
        if is_local(self.address):  # no proxy stands between a machine and itself
            options.append(("grpc.enable_http_proxy", 0))
        return options

    def limit(self, timeout: float | None) -> float | None:
        """Return the seconds a call may take, which may say otherwise itself."""
        return self.timeout if timeout is None else checked_timeout(timeout)


def is_local(address: str) -> bool:
    """Whether an address is this machine's own."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_timeout(timeout: float | None) -> float | None:
    """Return a timeout as gRPC takes it.

    Raises:
        ServiceError: it is not more than 0 seconds (``INVALID_TIMEOUT``).
    """
    if timeout is None or timeout > _LONGEST_SECONDS:
        return None  # gRPC cannot count that far and would give up at once
    if timeout > 0:
        return timeout
    msg = f"a timeout must be more than 0 seconds, got {timeout!r}"
    raise ServiceError(msg, reason="INVALID_TIMEOUT")


def _check_address(address: str) -> None:
    host, _, port = address.rpartition(":")
    named = bool(host) and not any(c.isspace() or c == "/" for c in host)
    if not (named and port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
        msg = f"the server's address must be written HOST:PORT, got {address!r}"
        raise ServiceError(msg, reason="INVALID_ADDRESS")


def _content(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}"
        raise ServiceError(msg, reason="INVALID_CREDENTIALS") from error
