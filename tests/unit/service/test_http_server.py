"""The small HTTP server: pages, bodies, and no more connections than it can serve."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from bayesrca.errors import ServiceError
from bayesrca.service import http_server
from bayesrca.service.http_server import HttpServer, Page, Posted, Routes
from tests.integration.kit import eventually


def echo(posted: Posted) -> Page:
    body = posted.read()
    if isinstance(body, Page):
        return body
    return Page(HTTPStatus.OK, body + repr(posted.authorization).encode())


def refuse(posted: Posted) -> Page:
    return Page(HTTPStatus.UNAUTHORIZED, b"who are you?\n")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    monkeypatch.setattr(http_server, "MAX_THREADS", 2)
    routes = Routes(
        get={"/page": lambda: Page(HTTPStatus.OK, b"yes")},
        post={"/take": echo, "/refuse": refuse},
        max_bytes=10,
    )
    running = HttpServer("127.0.0.1", 0, routes, what="tests")
    yield running
    running.stop()


def connect(server: HttpServer) -> socket.socket:
    host, _, port = server.address.partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def ask(server: HttpServer, text: str) -> str:
    with connect(server) as connection:
        connection.sendall(text.encode())
        answer = b""
        try:
            while piece := connection.recv(4096):
                answer += piece
        except ConnectionResetError:
            pass
    return answer.decode()


def test_pages_and_bodies(server: HttpServer) -> None:
    assert "200 OK" in ask(server, "GET /page?x=1 HTTP/1.0\r\n\r\n")
    assert "404" in ask(server, "GET /other HTTP/1.0\r\n\r\n")
    assert "405" in ask(server, "GET /take HTTP/1.0\r\n\r\n")
    assert "405" in ask(server, "POST /page HTTP/1.0\r\nContent-Length: 0\r\n\r\n")
    answer = ask(server, "POST /take HTTP/1.0\r\nAuthorization: a\r\nContent-Length: 3\r\n\r\nabc")
    assert answer.endswith("abc('a',)")


@pytest.mark.parametrize(
    ("length", "status"), [("11", "413"), ("1" * 40, "413"), ("-1", "411"), ("x", "411")]
)
def test_bodies_that_are_refused(server: HttpServer, length: str, status: str) -> None:
    assert status in ask(server, f"POST /take HTTP/1.0\r\nContent-Length: {length}\r\n\r\n")


def test_who_is_refused_is_answered_before_the_body_has_come(server: HttpServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"POST /refuse HTTP/1.0\r\nContent-Length: 9\r\n\r\n")
        assert b"401" in connection.recv(4096)
        connection.sendall(b"x" * 9)  # it is let come, and nobody reads it


def test_a_long_body_that_nobody_reads_does_not_cost_its_sender_the_answer(
    server: HttpServer,
) -> None:
    head = f"POST /refuse HTTP/1.0\r\nContent-Length: {1 << 22}\r\n\r\n"
    assert "who are you?" in ask(server, head + "x" * (1 << 22))


def test_connections_beyond_the_limit_are_closed_at_once(server: HttpServer) -> None:
    page = "GET /page HTTP/1.0\r\n\r\n"
    idle = [connect(server), connect(server)]
    assert eventually(lambda: "200" not in ask(server, page), 10)
    for connection in idle:
        connection.close()
    assert eventually(lambda: "200" in ask(server, page), 10)


def test_a_head_that_drips_gives_its_place_back(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "PATIENCE_SECONDS", 0.5)
    begun = time.monotonic()
    with connect(server) as slow:
        slow.settimeout(0.05)
        ended = False
        while not ended and time.monotonic() - begun < 10:
            try:
                slow.sendall(b"G")
                ended = slow.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
    assert ended
    assert time.monotonic() - begun < 5


def test_a_port_that_is_taken(server: HttpServer) -> None:
    port = int(server.address.partition(":")[2])
    with pytest.raises(ServiceError, match=r"cannot listen on .* for more tests"):
        HttpServer("127.0.0.1", port, Routes(), what="more tests")
