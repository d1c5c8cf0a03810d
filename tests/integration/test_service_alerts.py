"""Alertmanager's webhook: who may notify, what opens an analysis, and how often."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bayesrca.client import Client
from bayesrca.service import Scope
from bayesrca.service.credentials import new_token
from bayesrca.wire import AnalysisState
from tests.integration.kit import Server, eventually
from tests.unit.ingest.connectors.stub import Asked, Reply, Stub
from tests.unit.ingest.connectors.test_prometheus import FakePrometheus, Series

pytestmark = pytest.mark.grpc
COUNT = "http_server_request_duration_seconds_count"


def notification(
    *fingerprints: str, group: str = "{}:{}", status: str = "firing"
) -> dict[str, Any]:
    """A webhook body as Alertmanager 0.25 sends it."""
    begun = datetime.fromtimestamp(time.time() - 60, UTC).isoformat()
    alerts = [
        {
            "status": status,
            "labels": {"alertname": "Slow", "service": "front", "instance": fingerprint},
            "annotations": {"summary": "front is slow"},
            "startsAt": begun,
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.test/graph",
            "fingerprint": fingerprint,
        }
        for fingerprint in fingerprints
    ]
    return {
        "version": "4",
        "groupKey": group,
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "bayesrca",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.test",
        "alerts": alerts,
    }


def post(
    address: str, body: object, token: str = "", path: str = "/alertmanager"
) -> tuple[int, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(address + path, content, method="POST")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode()
            return error.code, json.loads(text) if text.startswith("{") else text


def shop() -> FakePrometheus:
    names = ("front", "cart")
    counts: Series = [({"service_name": name}, lambda t: t % 7) for name in names]
    graph: Series = [({"client": "front", "server": "cart"}, lambda _: 1.0)]
    return FakePrometheus({COUNT: counts, "traces_service_graph_request_total": graph})


class Watched:
    """A server that takes alerts, and where."""

    def __init__(self, server: Server) -> None:
        self.server = server
        line = server.wait_for(lambda line: "alerts are taken on " in line)
        self.address = line.rpartition(" ")[2].removesuffix("/alertmanager")

    def analyses(self, token: str | None = None) -> list[Any]:
        with Client(self.server.address, token=token) as client:
            return list(client.list_analyses())


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Stub]:
    with Stub(shop()) as stub:
        yield stub


@pytest.fixture(scope="module")
def open_server(prometheus: Stub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("alerts") / "data"
    with Server(
        "--data-dir", str(folder), "--alert-port", "0", "--prometheus", prometheus.url,
        "--alert-method", "screen",
    ) as server:  # fmt: skip
        yield Watched(server.until_ready())


def test_a_group_opens_one_analysis_however_often_it_is_told(open_server: Watched) -> None:
    first = notification("a1", group="one")
    code, told = post(open_server.address, first)
    assert (code, told["state"]) == (202, "waiting")

    def mine() -> list[Any]:
        return [a for a in open_server.analyses() if a.request_id == told["request_id"]]

    assert eventually(lambda: bool(mine()), 60)
    assert mine()[0].incident.startswith("Slow ")
    later = json.loads(json.dumps(first))
    other = notification("b2")["alerts"][0]
    later["alerts"].append(other)  # the same group with one more alert
    for body in (first, later, later):
        code, known = post(open_server.address, body)
        assert (code, known["state"]) == (200, "known")
        assert known["request_id"] == told["request_id"]
    assert len(mine()) == 1


def test_the_analysis_has_what_the_sources_and_the_alert_say(
    open_server: Watched, prometheus: Stub
) -> None:
    body = notification("e5", group="evidence")
    _, told = post(open_server.address, body)
    found: list[Any] = []

    def done() -> bool:
        found[:] = [a for a in open_server.analyses() if a.request_id == told["request_id"]]
        return bool(found) and found[0].state is AnalysisState.SUCCEEDED

    assert eventually(done, 60)
    with Client(open_server.server.address) as client:
        answer = client.get_analysis(found[0].name).answer
    assert answer is not None
    assert {cause.component for cause in answer.posterior.causes} == {"front", "cart"}
    # Addresses in a notification are nobody's to call.
    assert not any("test" in asked.headers["host"] for asked in prometheus.asked)


def test_an_alert_that_is_over_opens_nothing(open_server: Watched) -> None:
    before = len(open_server.analyses())
    code, told = post(open_server.address, notification("c3", group="two", status="resolved"))
    assert (code, told) == (200, {"state": "resolved"})
    assert len(open_server.analyses()) == before


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        ([], "must be an object"),
        ({"version": "3"}, "version must be '4'"),
        ({"version": "4", "groupKey": 1}, "groupKey must be text"),
        (notification("x") | {"alerts": [{}]}, "alerts[0].status"),
        (notification("x") | {"truncatedAlerts": "many"}, "truncatedAlerts"),
        (notification(""), "fingerprint is empty"),
    ],
)
def test_what_is_no_notification(open_server: Watched, body: object, words: str) -> None:
    code, told = post(open_server.address, body)
    assert code == 400
    assert words in told["error"]


def test_other_pages_methods_and_sizes(open_server: Watched) -> None:
    assert post(open_server.address, {}, path="/elsewhere")[0] == 404
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(open_server.address + "/alertmanager", timeout=10)
    with caught.value:
        assert caught.value.code == 405
    host, _, port = open_server.address.removeprefix("http://").partition(":")
    for header, status in (("Content-Length: 99999999999", b"413"), ("X: y", b"411")):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(f"POST /alertmanager HTTP/1.1\r\n{header}\r\n\r\n".encode())
            assert status in connection.recv(100)


def test_a_body_that_drips_is_given_up(open_server: Watched) -> None:
    host, _, port = open_server.address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = b"POST /alertmanager HTTP/1.1\r\nContent-Length: 100\r\n\r\n"
        connection.sendall(head)
        begun = time.monotonic()
        answer = b""
        connection.settimeout(0.5)
        while not answer and time.monotonic() < begun + 20:
            connection.sendall(b" ")
            try:
                answer = connection.recv(100)
            except TimeoutError:
                continue
        assert b"400" in answer


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--prometheus", "prometheus:9090"), "the address of prometheus must be written http"),
        (("--prometheus", "http://x", "--prometheus-queries", "gone.toml"), "gone.toml"),
        (("--prometheus", "http://x", "--graph", "gone.json"), "gone.json"),
        (("--loki", "http://x"), "no source is"),
    ],
)
def test_a_configuration_that_will_not_do_ends_the_server(
    tmp_path: Path, flags: tuple[str, ...], words: str
) -> None:
    common = ("--data-dir", str(tmp_path / "data"), "--alert-port", "0")
    with Server(*common, *flags, until=words) as server:
        assert server.wait() in (2, 4)
        assert not any("Traceback" in line for line in server.lines)


def test_tokens_and_tenants(prometheus: Stub, tmp_path: Path) -> None:
    tokens, lines = {}, []
    for subject, scopes in (("am", [Scope.ANALYZE, Scope.READ]), ("reader", [Scope.READ])):
        tokens[subject], line = new_token(subject, f"{subject}-tenant", scopes, None)
        lines.append(line)
    file = tmp_path / "credentials.toml"
    file.write_text("\n".join(lines))
    with Server(
        "--data-dir", str(tmp_path / "data"), "--alert-port", "0", "--prometheus", prometheus.url,
        "--credentials-file", str(file), "--alert-method", "screen",
    ) as server:  # fmt: skip
        watched = Watched(server.until_ready())
        body = notification("d4")
        assert post(watched.address, body)[0] == 401
        assert post(watched.address, body, "brca_wrong")[0] == 401
        assert post(watched.address, body, tokens["reader"])[0] == 403
        assert post(watched.address, body, tokens["am"])[0] == 202
        assert eventually(lambda: len(watched.analyses(tokens["am"])) == 1, 60)
        assert not watched.analyses(tokens["reader"])
        assert not any(token in line for token in tokens.values() for line in server.lines)


def test_a_source_that_is_away_is_told_and_holds_nothing_up(tmp_path: Path) -> None:
    def away(_: Asked) -> Reply:
        return Reply(b"", 403)

    with Stub(away) as stub, Server(
        "--data-dir", str(tmp_path / "data"), "--alert-port", "0", "--prometheus", stub.url,
    ) as server:  # fmt: skip
        watched = Watched(server.until_ready())
        body = notification("f6")
        assert post(watched.address, body)[0] == 202
        server.wait_for(lambda line: "no series and no span came from prometheus" in line)
        assert post(watched.address, body)[1]["state"] == "waiting"
        assert not watched.analyses()
        begun = time.monotonic()
        server.signal(15)
        assert server.wait() == 0
        assert time.monotonic() - begun < 30
