"""A small HTTP server in threads: pages to get, and forms of work to post, on a port of its own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from bayesrca.errors import ServiceError
from bayesrca.service.options import join_address

PATIENCE_SECONDS = 5.0
"""What a client may take for its request."""
LINGER_SECONDS = 1.0
"""How long a body that is not read is let come, so that its sender reads the answer."""
TEXT = "text/plain; charset=utf-8"
MAX_THREADS = 32


@dataclass(frozen=True, slots=True)
class Page:
    """An answer to a request."""

    status: HTTPStatus
    content: bytes
    kind: str = TEXT
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What was posted.

    Attributes:
        authorization: the header of that name, one entry for each time it was sent.
        kind: the header ``Content-Type``, empty for none, like the next.
        encoding: the header ``Content-Encoding``.
        read: returns the body, or what to answer where there is none that will do; to be called
            once it is known who sends it, and once only.
    """

    authorization: tuple[str, ...]
    kind: str = ""
    encoding: str = ""
    read: Callable[[], bytes | Page] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """What is served.

    Attributes:
        get: pages by path.
        post: what takes a body, by path.
        max_bytes: of a body.
    """

    get: Mapping[str, Callable[[], Page]] = field(default_factory=dict)
    post: Mapping[str, Callable[[Posted], Page]] = field(default_factory=dict)
    max_bytes: int = 0


class HttpServer:
    """Answers one request a connection, each in a thread.

    Args:
        host: address to listen on.
        port: TCP port, 0 for any free one.
        routes: what is served.
        what: what it is for, for messages.
        shared: let another server that shares it too listen on the same port.

    Raises:
        ServiceError: the port cannot be listened on (reason ``CANNOT_LISTEN``).
    """

    def __init__(
        self, host: str, port: int, routes: Routes, *, what: str, shared: bool = False
    ) -> None:
        class Handler(_Handler):
            served: ClassVar = routes

        try:
            self._server = _Server((host, port), Handler, shared=shared)
        except OSError as error:
            msg = f"cannot listen on {join_address(host, port)} for {what}: {error.strerror}"
            raise ServiceError(msg, reason="CANNOT_LISTEN") from error
        self.address = join_address(host, self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="http", daemon=True).start()

    def stop(self) -> None:
        """Close the port; to be called once."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], *, shared: bool
    ) -> None:
        self.allow_reuse_port = shared
        self._places = threading.BoundedSemaphore(MAX_THREADS)
        super().__init__(address, handler)

    def process_request(self, request: object, client_address: object) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)  # type: ignore[arg-type]
            return
        try:
            super().process_request(request, client_address)  # type: ignore[arg-type]
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._places.release()


class _Handler(BaseHTTPRequestHandler):
    """Answers one request and closes the connection."""

    served: ClassVar[Routes]
    timeout = PATIENCE_SECONDS
    server_version = "bayesrca"
    _whole = False  # whether the body was read
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        # A head that drips is never late by `timeout`, which is for each piece.
        self._patience = threading.Timer(PATIENCE_SECONDS, self._give_up)
        self._patience.daemon = True
        self._patience.start()

    def parse_request(self) -> bool:
        try:
            return super().parse_request()
        finally:
            self._patience.cancel()

    def finish(self) -> None:
        self._patience.cancel()
        super().finish()

    def _give_up(self) -> None:
        with suppress(OSError):  # it has gone already
            self.connection.shutdown(socket.SHUT_RD)

    def do_GET(self) -> None:
        page = self.served.get.get(self._path)
        if page is None:
            known = self._path in self.served.post
            self._send(_NOT_ALLOWED if known else _NO_PAGE)
        else:
            self._send(page())

    def do_POST(self) -> None:
        take = self.served.post.get(self._path)
        if take is None:
            self._send(_NOT_ALLOWED if self._path in self.served.get else _NO_PAGE)
            return
        shown = tuple(self.headers.get_all("Authorization") or ())
        posted = Posted(
            authorization=shown,
            kind=self.headers.get("Content-Type", ""),
            encoding=self.headers.get("Content-Encoding", ""),
            read=self._body,
        )
        self._send(take(posted))
        if not self._whole:
            self._linger()

    @property
    def _path(self) -> str:
        return self.path.partition("?")[0]

    def _body(self) -> bytes | Page:
        """Return the body, or what to answer where there is none that will do."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            return Page(HTTPStatus.LENGTH_REQUIRED, b"send the body's Content-Length\n")
        if len(length) > 12 or int(length) > self.served.max_bytes:
            text = f"the body may hold {self.served.max_bytes} bytes\n"
            return Page(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text.encode())
        content, ends = bytearray(), time.monotonic() + PATIENCE_SECONDS
        while len(content) < int(length):
            # Piece by piece: a drip that is never late must end too.
            piece = self.rfile.read1(int(length) - len(content))
            if not piece or time.monotonic() > ends:
                return Page(HTTPStatus.BAD_REQUEST, b"the body did not come in time\n")
            content += piece
        self._whole = True
        return bytes(content)

    def _linger(self) -> None:
        """Take what still comes: closed at once, the connection would be reset, answer and all."""
        ends = time.monotonic() + LINGER_SECONDS
        with suppress(OSError):  # it has gone already
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(LINGER_SECONDS)
            while time.monotonic() < ends and self.rfile.read1(1 << 16):
                pass

    def _send(self, page: Page) -> None:
        self.send_response(page.status)
        self.send_header("Content-Type", page.kind)
        self.send_header("Content-Length", str(len(page.content)))
        for name, value in page.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page.content)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: probes come every few seconds."""


_NO_PAGE = Page(HTTPStatus.NOT_FOUND, b"no such page\n")
_NOT_ALLOWED = Page(HTTPStatus.METHOD_NOT_ALLOWED, b"not by this method\n")
