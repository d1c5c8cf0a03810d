"""One way of asking a server over HTTP: bounded in time, size and attempts, secrets kept."""

from __future__ import annotations

import json
import random
import time
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import NoReturn, Self
from urllib.parse import urlsplit

import httpx

from bayesrca.errors import InvalidSettingsError, SourceError
from bayesrca.ingest.connectors.credentials import Credentials
from bayesrca.ingest.connectors.patience import TOLD, Limits, Patience, TryAgainError

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_BUSY = frozenset({429, 502})
"""Statuses that are about the server rather than about the question."""
_DENIED = frozenset({401, 403, 407})
_ERROR_BYTES = 64 << 10


class HttpSource:
    """A server that answers in JSON.

    Redirects are not followed, for credentials would travel with them. Proxies and additional
    authorities come from the environment (``HTTPS_PROXY``, ``NO_PROXY``, ``SSL_CERT_FILE``);
    certificates are always verified.

    Args:
        name: the source's name in messages.
        url: address of the server, ``http://`` or ``https://``, perhaps with a path in front of the
            API's own; without user, query or fragment.
        credentials: headers to send; never part of a message.
        limits: what asking may cost.
        pause: waits the given seconds.
        clock: seconds that only grow.
        jitter: factors in [0, 1) for the pauses.

    Raises:
        InvalidSettingsError: the address will not do.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        credentials: Credentials | None = None,
        limits: Limits | None = None,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self._base = _checked(name, url)
        self._credentials = credentials or Credentials()
        self._patience = Patience(name, limits, pause=pause, clock=clock, jitter=jitter)
        self._client: httpx.Client | None = None

    def __enter__(self) -> Self:
        # One encoding, which is unpacked here: a client that unpacks by itself has unpacked a
        # bomb before anybody counts.
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
        self._client = httpx.Client(headers={**headers, **self._credentials.headers})
        self._patience.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        form: Mapping[str, str] | None = None,
        body: object = None,
        told: Callable[[object], str] = lambda _: "",
        absent: Collection[int] = (),
    ) -> object:
        """Ask a question that changes nothing, as often as it takes, and return the parsed JSON.

        Args:
            method: GET, POST or DELETE.
            path: relative to the server's address.
            params: of the address.
            form: sent as a form instead.
            body: sent as JSON instead.
            told: the server's own reason in a parsed answer of an error status.
            absent: statuses that mean there is nothing, returned as None.

        Raises:
            SourceError: no answer within the limits, one with an error status, or one that is too
                large or no JSON; ``lost`` when every other question would fail too.
        """
        question = _Question(method, path, params, form, body, told, absent)
        return self._patience.persist(lambda seconds: self._attempt(question, seconds))

    def _attempt(self, question: _Question, seconds: float) -> object:
        assert self._client is not None
        limits = self._patience.limits
        ends = self._patience.clock() + seconds
        timeout = httpx.Timeout(
            min(limits.read_seconds, seconds), connect=min(limits.connect_seconds, seconds)
        )
        try:
            with self._client.stream(
                question.method,
                self._base + question.path,
                params=None if question.params is None else dict(question.params),
                data=None if question.form is None else dict(question.form),
                json=question.body,
                timeout=timeout,
            ) as response:
                if response.status_code in question.absent:
                    return None
                return self._answer(response, ends, question.told)
        except httpx.ConnectTimeout as error:
            msg = "does not accept the connection in time"
            raise TryAgainError(msg, lost=True) from error
        except httpx.ConnectError as error:
            msg = f"cannot be reached ({_reason(error)})"
            raise TryAgainError(msg, lost=True) from error
        except httpx.TimeoutException as error:
            msg = f"did not go on answering within {limits.read_seconds:.0f} s"
            raise TryAgainError(msg) from error
        except httpx.TransportError as error:
            msg = f"broke off its answer ({_reason(error)})"
            raise TryAgainError(msg) from error
        except httpx.InvalidURL as error:
            self._patience.fail(f"has an address that cannot be asked ({error})", lost=True)

    def _answer(
        self, response: httpx.Response, ends: float, told: Callable[[object], str]
    ) -> object:
        status = response.status_code
        if response.is_success:
            return self._parse(self._read(response, ends, self._patience.limits.max_bytes))
        if response.is_redirect:
            # Where to is the server's to say and may hold anything: it is not repeated.
            self._patience.fail(
                f"answers with a redirect (HTTP {status}), which is not followed; give the "
                "address it leads to",
                lost=True,
            )
        words = self._own_words(response, ends, told)
        if status in _AGAIN:
            msg = f"answers HTTP {status}{words}"
            raise TryAgainError(msg, after=_retry_after(response), lost=status in _BUSY)
        remedy = "; check its credentials" if status in _DENIED else ""
        self._patience.fail(f"answers HTTP {status}{words}{remedy}", lost=status in _DENIED)

    def _own_words(
        self, response: httpx.Response, ends: float, told: Callable[[object], str]
    ) -> str:
        try:
            content = self._read(response, ends, _ERROR_BYTES)
            words = told(json.loads(content))
        except (SourceError, TryAgainError, httpx.TransportError, ValueError, RecursionError):
            return ""  # the status says enough
        words = self._credentials.redact(" ".join(words.split()))
        words = words.encode(errors="replace").decode()  # JSON may hold lone surrogates
        return f" ({words[:TOLD]})" if words else ""

    def _read(self, response: httpx.Response, ends: float, most: int) -> bytes:
        """Read a whole body, counting what it unpacks to."""
        most = self._patience.room(most)
        content = bytearray()
        try:
            unpack = _Unpacker(response.headers.get("Content-Encoding", ""))
            for piece in response.iter_raw():
                if self._patience.clock() >= ends:
                    msg = "did not finish its answer in time"
                    raise TryAgainError(msg)
                content += unpack(piece, most - len(content))
            unpack.finish()
        except _TooLargeError:
            self._patience.refuse_size(most)
        except zlib.error as error:
            msg = f"sends a body that cannot be unpacked ({error})"
            raise TryAgainError(msg) from error
        self._patience.spend(len(content))
        return bytes(content)

    def _parse(self, content: bytes) -> object:
        try:
            answer: object = json.loads(content, parse_constant=_refuse_constant)
        except RecursionError:
            self._patience.fail("answers with JSON that is nested too deeply to be read")
        except ValueError as error:
            self._patience.fail(
                f"answers with something that is not JSON ({error}); is the address right?"
            )
        return answer


@dataclass(frozen=True, slots=True)
class _Question:
    """The arguments of `HttpSource.ask`."""

    method: str
    path: str
    params: Mapping[str, str | int] | None
    form: Mapping[str, str] | None
    body: object
    told: Callable[[object], str]
    absent: Collection[int]


class _TooLargeError(Exception):
    pass


class _Unpacker:
    """Unpacks a body piece by piece, and never more than may still come."""

    def __init__(self, encoding: str) -> None:
        encoding = encoding.strip().lower()
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            msg = f"it is in {encoding[:20]!r}, which was not asked for"
            raise zlib.error(msg)
        self._inflate = zlib.decompressobj(31) if "gzip" in encoding else None

    def __call__(self, piece: bytes, left: int) -> bytes:
        if self._inflate is None:
            if len(piece) > left:
                raise _TooLargeError
            return piece
        out = bytearray()
        while piece:
            if self._inflate.eof:  # gzip bodies may be several, one behind the other
                self._inflate = zlib.decompressobj(31)
            # One byte more than may come tells that there is one.
            out += self._inflate.decompress(piece, left - len(out) + 1)
            if len(out) > left:
                raise _TooLargeError
            piece = self._inflate.unconsumed_tail or self._inflate.unused_data
        return bytes(out)

    def finish(self) -> None:
        """Raise `zlib.error` when the body was cut short."""
        if self._inflate is not None and not self._inflate.eof:
            msg = "it is cut short"
            raise zlib.error(msg)


def _checked(name: str, url: str) -> str:
    """Return the address with one slash at its end; the message does not repeat it."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or "@" in url or parts.query or parts.fragment:
        msg = (
            f"the address of {name} must be written http://HOST:PORT or https://HOST:PORT, perhaps "
            "with a path, and without user, password or query; credentials come from the "
            "environment (docs/connectors.md)"
        )
        raise InvalidSettingsError(msg, field=name)
    return url.rstrip("/") + "/"


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds that the server asks to wait, given as a number or as a date; None if it does not."""
    # Datadog tells it by a header of its own.
    headers = response.headers
    text = headers.get("Retry-After", headers.get("X-RateLimit-Reset", "")).strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:TOLD]


def _refuse_constant(word: str) -> NoReturn:
    msg = f"it holds the bare word {word}"
    raise ValueError(msg)
