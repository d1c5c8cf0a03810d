"""One way of asking a server over gRPC: bounded in time, size and attempts, secrets kept."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn, Self

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from bayesrca.errors import InvalidSettingsError
from bayesrca.ingest.connectors.credentials import Credentials
from bayesrca.ingest.connectors.patience import TOLD, Limits, Patience, TryAgainError

SCHEMES = ("grpc", "grpcs")
_ADDRESS = re.compile(r"(grpcs?)://((?:[\w.-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5}))/?", re.ASCII)
# By https://grpc.github.io/grpc/core/md_doc_statuscodes.html those that another try may not meet;
# RESOURCE_EXHAUSTED is one of them only where the server tells when, as OTLP has it.
_AGAIN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)
_DENIED = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})
_METADATA_KEY = re.compile(r"(?!grpc-)[0-9a-z_.-]+(?<!-bin)")


class GrpcSource:
    """A server that answers in messages, which are left as bytes.

    Proxies come from the environment as gRPC reads it (``https_proxy``, ``no_proxy``); certificates
    are always verified.

    Args:
        name: the source's name in messages.
        url: ``grpc://HOST:PORT``, or ``grpcs://HOST:PORT`` with TLS.
        credentials: sent as metadata; never part of a message.
        roots: authorities to trust in PEM, None for those that gRPC brings.
        insecure: whether credentials may travel without TLS.
        limits: what asking may cost.
        pause: waits the given seconds.
        clock: seconds that only grow.
        jitter: factors in [0, 1) for the pauses.

    Raises:
        InvalidSettingsError: the address or the credentials will not do.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        credentials: Credentials | None = None,
        roots: bytes | None = None,
        insecure: bool = False,
        limits: Limits | None = None,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self._tls, self._address = _checked(name, url)
        self._credentials = credentials or Credentials()
        self._metadata = _metadata(name, self._credentials)
        if self._metadata and not self._tls and not insecure:
            msg = (
                f"the credentials of {name} would travel unencrypted: use grpcs://, or set "
                f"BAYESRCA_{name.upper()}_INSECURE=1 to send them all the same"
            )
            raise InvalidSettingsError(msg, field=name)
        self._roots = roots
        self._patience = Patience(name, limits, pause=pause, clock=clock, jitter=jitter)
        self._channel: grpc.Channel | None = None

    def __enter__(self) -> Self:
        limits = self._patience.limits
        options = [
            # gRPC counts a message after it is unpacked.
            ("grpc.max_receive_message_length", limits.max_bytes),
            ("grpc.enable_retries", 0),
            # The time to connect, by its name; and a new try may come as soon as ours does.
            ("grpc.min_reconnect_backoff_ms", round(1000 * limits.connect_seconds)),
            ("grpc.initial_reconnect_backoff_ms", round(1000 * limits.first_pause / 2)),
            # Sources of one process share no connection: each shows its own credentials.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if self._tls:
            trusted = grpc.ssl_channel_credentials(self._roots)
            self._channel = grpc.secure_channel(self._address, trusted, options)
        else:
            self._channel = grpc.insecure_channel(self._address, options)
        self._patience.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def ask(self, method: str, request: bytes) -> list[bytes]:
        """Ask a question that changes nothing, as often as it takes; return the messages.

        Args:
            method: ``package.Service/Method``, unary or streaming answers.
            request: a serialised message.

        Returns:
            The serialised messages of the answer, none where the server says NOT_FOUND.

        Raises:
            SourceError: no answer within the limits, one with an error status, or one that is too
                large; ``lost`` when every other question would fail too.
        """
        return self._patience.persist(lambda seconds: self._attempt(method, request, seconds))

    def _attempt(self, method: str, request: bytes, seconds: float) -> list[bytes]:
        assert self._channel is not None
        most = self._patience.room(self._patience.limits.max_bytes)
        # To a client a unary answer is a stream of one message.
        ask: grpc.UnaryStreamMultiCallable[bytes, bytes] = self._channel.unary_stream(f"/{method}")
        call: Any = ask(request, timeout=seconds, metadata=self._metadata)
        messages: list[bytes] = []
        size = 0
        with _Watch(call, self._patience.limits.read_seconds) as watch:
            try:
                for message in call:
                    watch.heard()
                    size += len(message)
                    if size > most:
                        call.cancel()
                        self._patience.refuse_size(most)
                    messages.append(message)
            except grpc.RpcError:
                if call.code() is grpc.StatusCode.NOT_FOUND:
                    return []
                self._refused(call, most, silent=watch.silent)
        self._patience.spend(size)
        return messages

    def _refused(self, call: Any, most: int, *, silent: bool) -> NoReturn:  # noqa: ANN401  gRPC's own
        """Raise what an answer that ended in an error means."""
        code = call.code()
        if silent:
            msg = f"did not go on answering within {self._patience.limits.read_seconds:.0f} s"
            raise TryAgainError(msg)
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            msg = "did not finish its answer in time"
            raise TryAgainError(msg)
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in call.details():
            self._patience.refuse_size(most)
        after = _retry_after(call)
        words = self._credentials.redact(" ".join((call.details() or "").split()))
        said = f"answers {code.name}" + (f" ({words[:TOLD]})" if words else "")
        if words.startswith("failed to connect"):  # gRPC's own words, no server's
            said = f"cannot be reached ({words.partition('last error: ')[2][:TOLD]})"
        if code in _AGAIN or after is not None:
            lost = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
            raise TryAgainError(said, after=after, lost=lost)
        remedy = ""
        if code is grpc.StatusCode.UNIMPLEMENTED:
            remedy = "; is it another version or another server?"
        if code in _DENIED:
            remedy = "; check its credentials"
        self._patience.fail(said + remedy, lost=bool(remedy))


class _Watch:
    """Cancels a call that has been silent for too long; its deadline alone would wait longer.

    Args:
        call: the call.
        seconds: of silence.
    """

    def __init__(self, call: grpc.Call, seconds: float) -> None:
        self.silent = False
        self._call, self._seconds = call, seconds
        self._heard = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def heard(self) -> None:
        self._heard = time.monotonic()

    def _run(self) -> None:
        wait = self._seconds
        while not self._over.wait(wait):
            wait = self._heard + self._seconds - time.monotonic()
            if wait <= 0.0:
                self.silent = True
                self._call.cancel()
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()


def _checked(name: str, url: str) -> tuple[bool, str]:
    """Return whether an address means TLS, and its host and port; the message repeats neither."""
    found = _ADDRESS.fullmatch(url)
    if found is None or not 0 < int(found[3]) < 1 << 16:
        msg = (
            f"the address of {name} must be written grpc://HOST:PORT or grpcs://HOST:PORT (TLS), "
            "without path, user or password; credentials come from the environment "
            "(docs/connectors.md)"
        )
        raise InvalidSettingsError(msg, field=name)
    return found[1] == "grpcs", found[2]


def _metadata(name: str, credentials: Credentials) -> tuple[tuple[str, str], ...]:
    pairs = tuple((key.lower(), value) for key, value in credentials.headers.items())
    for key, _ in pairs:
        if not _METADATA_KEY.fullmatch(key):
            msg = f"the credentials of {name} have a header that gRPC cannot carry as metadata"
            raise InvalidSettingsError(msg, field=name)
    return pairs


def _retry_after(call: grpc.Call) -> float | None:
    """Seconds that the server asks to wait by a RetryInfo in its status; None if it does not."""
    # https://google.aip.dev/193: the details travel as a google.rpc.Status in the trailers.
    for key, value in call.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            info = error_details_pb2.RetryInfo()
            try:
                details = status_pb2.Status.FromString(value).details
                if any(detail.Unpack(info) for detail in details):
                    delay = info.retry_delay
                    return max(0.0, float(delay.seconds + delay.nanos / 1e9))
            except DecodeError:
                return None
    return None
