"""Options of one server process, validated once."""

from __future__ import annotations

import ipaddress
import math
import os
from dataclasses import dataclass
from pathlib import Path

from bayesrca.config import LearnedPrior
from bayesrca.errors import InvalidSettingsError
from bayesrca.wire import DEFAULT_MAX_MESSAGE_BYTES

DEFAULT_PORT = 50051


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """How to serve.

    Attributes:
        host: name or address to listen on.
        port: TCP port, 0 for any free one.
        workers: worker processes, 1 to 256; each runs one call at a time.
        queue: calls that may wait for a worker, 0 to 10 000.
        reflection: offer gRPC server reflection.
        warm: warm a worker's model before it counts as ready.
        insecure: allow plaintext service on an address that is not loopback.
        max_message_bytes: largest request and response, 1 KiB to 1 GiB.
        drain_seconds: how long running and waiting calls may take after SIGTERM, >= 0.
        grace_seconds: how long a worker may take to obey a cancellation before it is killed, > 0.
        prior: a learned prior that every analysis uses, or None for the built-in one.
        data_dir: folder of stored analyses, used by one server at a time; None to store none.
        tenant_pending: stored analyses of one tenant that may wait or run, 1 to 1 000 000.
        tenant_bytes: bytes a tenant's stored analyses may take before it can create no more, >= 1.
        retain_seconds: how long a stored analysis stays after it has ended, > 0.
        retain_bytes: bytes of all stored analyses, above which the oldest that have ended are
            removed, >= 1.
        analyzer: ``module:function`` that a worker calls like `bayesrca.analysis.analyze`.
        warmer: ``module:function`` that a worker calls, without arguments, to warm up.

    Raises:
        InvalidSettingsError: a value outside its range.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    workers: int = 1
    queue: int = 8
    reflection: bool = True
    warm: bool = True
    insecure: bool = False
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    drain_seconds: float = 30.0
    grace_seconds: float = 1.0
    prior: LearnedPrior | None = None
    data_dir: Path | None = None
    tenant_pending: int = 100
    tenant_bytes: int = 4 << 30
    retain_seconds: float = 30 * 86_400.0
    retain_bytes: int = 16 << 30
    analyzer: str = "bayesrca.analysis:analyze"
    warmer: str = "bayesrca.model:warm"

    def __post_init__(self) -> None:
        for name, low, high in (
            ("port", 0, 65535),
            ("workers", 1, 256),
            ("queue", 0, 10_000),
            ("max_message_bytes", 1 << 10, 1 << 30),
            ("tenant_pending", 1, 1_000_000),
            ("tenant_bytes", 1, 1 << 60),
            ("retain_bytes", 1, 1 << 60),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                msg = f"{name} must be in [{low}, {high}], got {value}"
                raise InvalidSettingsError(msg, field=name)
        for name in ("drain_seconds", "grace_seconds", "retain_seconds"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                msg = f"{name} must be a finite number of seconds >= 0, got {value}"
                raise InvalidSettingsError(msg, field=name)
        for name in ("analyzer", "warmer"):
            module, _, function = getattr(self, name).partition(":")
            if not (module and function):
                msg = f"{name} must be written module:function, got {getattr(self, name)!r}"
                raise InvalidSettingsError(msg, field=name)
        if not (self.insecure or is_loopback(self.host)):
            msg = (
                f"refusing to serve on {self.host}: the service has no encryption and no "
                "authentication yet, so anyone who reaches the port could use it; listen on "
                "127.0.0.1, or pass --insecure if the network in front of it is trusted"
            )
            raise InvalidSettingsError(msg, field="host")

    @property
    def cores(self) -> int:
        """Threads one analysis may use, >= 1: the machine shared out among the workers."""
        return max(1, (os.cpu_count() or 1) // self.workers)

    def address(self, port: int) -> str:
        """Return ``HOST:PORT`` with an IPv6 host in brackets."""
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether a host can be reached from this machine only; names but localhost count as not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
