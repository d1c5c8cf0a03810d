"""The gRPC server: a front that never computes, and worker processes that do."""

from __future__ import annotations

from pathlib import Path

from bayesrca.config import LearnedPrior
from bayesrca.service.options import DEFAULT_PORT, ServiceOptions
from bayesrca.wire import DEFAULT_MAX_MESSAGE_BYTES

__all__ = ["ServiceOptions", "serve"]


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    workers: int = 1,
    queue: int = 8,
    reflection: bool = True,
    warm: bool = True,
    insecure: bool = False,
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
    prior: LearnedPrior | None = None,
    data_dir: Path | None = None,
) -> None:
    """Serve both services until SIGTERM or SIGINT, then drain and return.

    Prints ``listening on HOST:PORT`` to stderr as soon as it accepts connections and ``ready`` once
    a worker is warm. Must be called from the main thread.

    Args:
        host: name or address to listen on; one that is not loopback needs `insecure`.
        port: TCP port, 0 for any free one.
        workers: worker processes (1 to 256); each runs one call at a time.
        queue: calls that may wait for a worker (0 to 10 000); the next one is refused.
        reflection: offer gRPC server reflection.
        warm: compile the model before saying ready; without it, the first NUTS call pays for it.
        insecure: allow plaintext, unauthenticated service beyond this machine.
        max_message_bytes: largest request accepted and response sent, 1 KiB to 1 GiB.
        prior: a learned prior that every analysis uses (`bayesrca.model.prior_file.load_prior`);
            None for the built-in one.
        data_dir: folder of stored analyses, used by one server at a time; None to store none.

    Raises:
        InvalidSettingsError: an option outside its range.
        ServiceError: the port cannot be listened on (reason ``CANNOT_LISTEN``), or the data
            directory cannot be used (``STORE_IN_USE``, ``STORE_UNUSABLE``).
    """
    # Imported here: gRPC takes a while to load, and the command line's help needs none of it.
    from bayesrca.service.app import run  # noqa: PLC0415

    run(
        ServiceOptions(
            host=host,
            port=port,
            workers=workers,
            queue=queue,
            reflection=reflection,
            warm=warm,
            insecure=insecure,
            max_message_bytes=max_message_bytes,
            prior=prior,
            data_dir=data_dir,
        )
    )
