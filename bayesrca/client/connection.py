"""A connection of the client whose calls return when there is an answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from bayesrca.client.calls import Call
from bayesrca.client.channel import PAUSES, READY_SECONDS, SERVICE, Target
from bayesrca.client.failures import closed_error, is_unavailable, read_response, service_error
from bayesrca.config import DEFAULT_MAX_MESSAGE_BYTES


class Connection:
    """What `bayesrca.client.Client` sends its calls through; its arguments are described there."""

    def __init__(
        self,
        address: str,
        *,
        timeout: float | None = None,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        token: str | None = None,
        tls: bool = False,
        ca_file: Path | None = None,
        certificate_file: Path | None = None,
        key_file: Path | None = None,
    ) -> None:
        self._target = Target(
            address=address,
            timeout=timeout,
            max_message_bytes=max_message_bytes,
            token=token,
            tls=tls,
            ca_file=ca_file,
            certificate_file=certificate_file,
            key_file=key_file,
        )
        options, credentials = self._target.options, self._target.credentials
        if credentials is None:
            self._channel = grpc.insecure_channel(address, options=options)
        else:
            self._channel = grpc.secure_channel(address, credentials, options=options)
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

    def ready(self, *, timeout: float | None = None) -> bool:
        """Return whether the server has a warm worker and takes calls.

        A server that cannot be reached, or does not answer in time, is not ready; nothing is
        raised for it.

        Args:
            timeout: seconds to wait; None takes the client's own, or 5 s if it has none.
        """
        limit = self._target.limit(timeout) or READY_SECONDS
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        try:
            reply = self._health.Check(request, timeout=limit, metadata=self._target.metadata)
        except (grpc.RpcError, ValueError):
            return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    def call[A](self, call: Call[A], timeout: float | None) -> A:
        """Send a request and read the response."""
        send: Any = self._channel.unary_unary(
            call.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.response.FromString,
        )
        address = self._target.address
        try:
            response = send(
                call.request, timeout=self._target.limit(timeout), metadata=self._target.metadata
            )
        except grpc.RpcError as error:
            raise service_error(error, address) from None
        except ValueError as error:  # what gRPC raises on a closed channel
            raise closed_error(address) from error
        return read_response(call.read, response, address)

    def follow[A](self, call: Callable[[], Call[A]], timeout: float | None) -> Iterator[A]:
        """Read a stream to its end, opening it again when the server goes away."""
        limit = self._target.limit(timeout)
        end = None if limit is None else time.monotonic() + limit
        pauses = iter(PAUSES)
        while True:
            left = None if end is None else max(end - time.monotonic(), 1e-3)
            try:
                for message in self._open(call(), left):
                    pauses = iter(PAUSES)
                    yield message
            except grpc.RpcError as error:
                pause = next(pauses, None) if is_unavailable(error) else None
                if pause is None or (end is not None and time.monotonic() + pause > end):
                    raise service_error(error, self._target.address) from None
                time.sleep(pause)
            else:
                return

    def _open[A](self, call: Call[A], timeout: float | None) -> Iterator[A]:
        """Send a request and read a stream of responses; gRPC's errors get out."""
        send: Any = self._channel.unary_stream(
            call.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.response.FromString,
        )
        address = self._target.address
        try:
            responses = send(call.request, timeout=timeout, metadata=self._target.metadata)
        except ValueError as error:
            raise closed_error(address) from error
        try:
            for response in responses:
                yield read_response(call.read, response, address)
        finally:
            responses.cancel()
