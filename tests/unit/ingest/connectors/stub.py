"""A server on the loopback interface that answers as scripted, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from bayesrca.ingest.connectors.http import HttpSource
from bayesrca.ingest.connectors.patience import Limits

QUICK = Limits(
    connect_seconds=2.0,
    read_seconds=0.5,
    attempt_seconds=1.0,
    source_seconds=20.0,
    attempts=3,
    first_pause=0.001,
    longest_pause=2.0,
    max_bytes=1 << 20,
    max_total_bytes=2 << 20,
)

ROOMY = replace(QUICK, read_seconds=5.0, attempt_seconds=10.0)
"""For what is about content, on a machine that may be busy."""


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self) -> Any:  # noqa: ANN401
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """One answer: whole, or as pieces with pauses, or cut off."""

    content: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: int = 1
    pause: float = 0.0
    missing: int = 0  # bytes that the length promises and that never come


def of(document: object, status: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(json.dumps(document).encode(), status, named)


Answer = Callable[[Asked], Reply]


class Stub:
    """Answers each path by a function; unknown paths get 404."""

    def __init__(self, routes: Mapping[str, Answer] | Answer) -> None:
        self.asked: list[Asked] = []
        self.routes = routes
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                stub.serve(self)

            do_POST = do_DELETE = do_GET  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        asked = Asked(
            handler.command,
            parts.path,
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            {name.lower(): value for name, value in handler.headers.items()},
            body,
        )
        self.asked.append(asked)
        answer = self.routes if callable(self.routes) else self.routes.get(parts.path)
        reply = Reply(b"{}", 404) if answer is None else answer(asked)
        try:
            handler.send_response(reply.status)
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", str(len(reply.content) + reply.missing))
            handler.end_headers()
            size = max(1, -(-len(reply.content) // reply.pieces))
            for i in range(0, len(reply.content), size):
                handler.wfile.write(reply.content[i : i + size])
                handler.wfile.flush()
                time.sleep(reply.pause)
        except OSError:  # the client has left, as some tests want it to
            pass
        if reply.missing:
            handler.close_connection = True

    def source(self, name: str = "prometheus", **settings: Any) -> HttpSource:  # noqa: ANN401
        return HttpSource(name, self.url, **{"limits": QUICK} | settings)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def in_turn(*replies: Reply) -> Answer:
    """Answer with each reply once, and with the last for ever."""
    left = list(replies)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]
