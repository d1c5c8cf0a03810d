"""The gRPC server: a front that never computes, and worker processes that do."""

from __future__ import annotations

from bayesrca.service.caller import Caller, Scope, current_caller
from bayesrca.service.configuration import Configuration, configure
from bayesrca.service.options import LogFormat, ServiceOptions

__all__ = [
    "Caller",
    "Configuration",
    "LogFormat",
    "Scope",
    "ServiceOptions",
    "configure",
    "current_caller",
    "serve",
]


def serve(configuration: Configuration) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return.

    Prints ``listening on HOST:PORT`` to stderr as soon as it accepts connections and ``ready`` once
    a worker is warm. Must be called from the main thread.

    Args:
        configuration: the options, from `configure`.

    Raises:
        InvalidSettingsError: a file that an option names cannot be used.
        ServiceError: a port cannot be listened on (reason ``CANNOT_LISTEN``).
    """
    # Imported here: gRPC takes a while to load, and the command line's help needs none of it.
    from bayesrca.service.app import run  # noqa: PLC0415

    run(configuration)
