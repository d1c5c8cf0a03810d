"""gRPC server reflection that also finds methods."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]


class _Pool:
    """The pool of all descriptors, as the reflection service uses it."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def __getattr__(self, name: str) -> object:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802
        """Return the file of a message, a service or a method; the real pool knows no methods.

        Clients ask for the method they are about to call.

        Raises:
            KeyError: there is no such thing.
        """
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            name, _, method = symbol.rpartition(".")
            service = self._pool.FindServiceByName(name)
            if method not in service.methods_by_name:
                raise
            return service.file


def add_reflection(services: Sequence[str], server: grpc.aio.Server) -> None:
    """Let clients list services, and ask for the messages of their methods.

    Args:
        services: full names.
        server: gets one service more.
    """
    names = (*services, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool=_Pool())
