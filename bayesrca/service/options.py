"""Options of one server process: declared once, read from everywhere, validated once."""

from __future__ import annotations

import ipaddress
import math
import os
from dataclasses import dataclass, field, fields
from pathlib import Path

from bayesrca.config import DEFAULT_MAX_MESSAGE_BYTES
from bayesrca.errors import InvalidSettingsError


def _option[T](
    default: T,
    text: str,
    low: float | None = None,
    high: float = math.inf,
    *,
    hidden: bool = False,
) -> T:
    """Declare an option: its default, what it is for, its range if it is a number."""
    metadata = {"help": text, "low": low, "high": high, "hidden": hidden}
    declared: T = field(default=default, metadata=metadata)
    return declared


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """How to serve. Each option's meaning is its help text, which `bayesrca serve --help` shows.

    Raises:
        InvalidSettingsError: a value outside its range.
    """

    host: str = _option("127.0.0.1", "Address to listen on.")
    port: int = _option(50051, "TCP port; 0 picks a free one.", 0, 65535)
    workers: int = _option(1, "Worker processes; each runs one call at a time.", 1, 256)
    queue: int = _option(8, "Calls that may wait for a worker.", 0, 10_000)
    reflection: bool = _option(True, "Let clients list the services and their messages.")
    warm: bool = _option(True, "Compile the model before the server calls itself ready.")
    insecure: bool = _option(False, "Allow a host other than loopback, without encryption.")
    max_message_bytes: int = _option(
        DEFAULT_MAX_MESSAGE_BYTES, "Largest request and response.", 1 << 10, 1 << 30
    )
    max_metadata_bytes: int = _option(16 << 10, "Largest header of a call.", 1 << 10, 1 << 20)
    drain_seconds: float = _option(30.0, "What accepted calls may take after SIGTERM.", 0)
    grace_seconds: float = _option(1.0, "What a worker may take to obey a cancellation.", 0)
    prior: Path | None = _option(None, "Prior file that `bayesrca learn` wrote.")
    # What the workers run: for tests that must not wait for real analyses.
    analyzer: str = _option("bayesrca.analysis:analyze", "module:function that runs.", hidden=True)
    warmer: str = _option("bayesrca.model:warm", "module:function that warms up.", hidden=True)

    def __post_init__(self) -> None:
        for option in fields(self):
            value, low = getattr(self, option.name), option.metadata["low"]
            if low is not None and value is not None:
                _check_number(option.name, value, low, option.metadata["high"])
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


def _check_number(name: str, value: float, low: float, high: float) -> None:
    if math.isfinite(value) and low <= value <= high:
        return
    wanted = f"in [{low}, {high}]" if high < math.inf else f"a finite number >= {low}"
    msg = f"{name} must be {wanted}, got {value}"
    raise InvalidSettingsError(msg, field=name)
