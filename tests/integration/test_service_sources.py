"""Requests that name a source: the incident is made of what the server received or collects."""

from __future__ import annotations

import ast
import asyncio
import json
import math
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.api.v1 import root_cause_service_pb2_grpc as pb_grpc
from bayesrca.client import AsyncClient, Client
from bayesrca.config import Method, Settings
from bayesrca.errors import ServiceError
from bayesrca.incident import Component, ComponentKind, Edge, Event, Origin, TimeWindow
from bayesrca.service import Scope
from bayesrca.service.credentials import new_token
from bayesrca.wire import AnalysisState, AnalyzeCall, encode_request
from tests.integration.kit import ROOT, SCREEN, Server, eventually, make_incident
from tests.integration.shop import (
    FAULT_SECONDS,
    NORMAL_SECONDS,
    SLOW,
    STEP,
    Shop,
    by_grpc,
    ranked,
)
from tests.unit.ingest.connectors.stub import Stub
from tests.unit.ingest.connectors.test_prometheus import FakePrometheus, Series

pytestmark = pytest.mark.grpc


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two tenants, the first of which has sent the shop's telemetry; one source that is dead."""
    folder = tmp_path_factory.mktemp("sources")
    with (folder / "credentials.toml").open("w") as file:
        for name in ("shop", "other"):
            scopes = [Scope.INGEST, Scope.READ, Scope.ANALYZE]
            token, line = new_token(name, name, scopes, None)
            (folder / name).write_text(token)
            file.write(f"{line}\n")
    with Server(
        "--receive-telemetry", "--no-warm", "--data-dir", str(folder / "data"),
        "--credentials-file", str(folder / "credentials.toml"),
        "--jaeger", "http://127.0.0.1:9", analyzer="",
    ) as running:  # fmt: skip
        running.tokens = {name: (folder / name).read_text() for name in ("shop", "other")}  # type: ignore[attr-defined]
        yield running


@pytest.fixture(scope="module")
def shop(server: Server) -> Shop:
    made = Shop()
    made.send(by_grpc(server.address, token_of(server, "shop")))
    return made


def token_of(server: Server, tenant: str) -> str:
    return str(server.tokens[tenant])  # type: ignore[attr-defined]


def client(server: Server, tenant: str = "shop") -> Client:
    return Client(server.address, timeout=120, token=token_of(server, tenant))


def test_what_the_sdk_sent_is_analysed_by_reference(server: Server, shop: Shop) -> None:
    with client(server) as caller:
        answer = caller.analyze(shop.source(), seed=1, settings=SCREEN)
    assert ranked(answer.posterior.causes)[0] == SLOW
    assert answer.posterior.causes[0].probability.value > 0.5
    assert answer.incident.startswith("front 20")
    # Whoever logs only in distress has lost nothing.
    assert not [note for note in answer.notes if "missing" in note]

    async def ask() -> Any:  # noqa: ANN401
        token = token_of(server, "shop")
        async with AsyncClient(server.address, timeout=120, token=token) as other:
            return await other.analyze(shop.source(), seed=1, settings=SCREEN)

    again = asyncio.run(ask())
    assert [c.probability for c in again.posterior.causes] == [
        c.probability for c in answer.posterior.causes
    ]


def test_the_example_of_the_documents_runs(
    server: Server, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "grpc.md").read_text(encoding="utf-8")
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "Origin" in c)
    for told, here in (
        ('"127.0.0.1:50051"', f'"{server.address}", token="{token_of(server, "shop")}"'),
        ("checkout", "front"),
        ("900", str(FAULT_SECONDS)),
        ("3600", str(NORMAL_SECONDS)),
    ):
        assert told in code
        code = code.replace(told, here)
    exec(compile(ast.parse(code), "docs/grpc.md", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.startswith(SLOW)
    assert "jaeger" in printed  # which is dead


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bayesrca.cli", *arguments]
    environment = {**os.environ, "COLUMNS": "300", "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command_line_asks_for_it(server: Server, shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(token_of(server, "shop"))
    (tmp_path / "graph.json").write_text('{"nodes": ["warehouse"]}')
    change = {"time": shop.fault, "kind": "deploy", "component": SLOW, "id": "abc"}
    (tmp_path / "events.json").write_text(json.dumps([change]))
    asked = [
        "--server", server.address, "--token-file", str(tmp_path / "token"), "--method", "screen",
        "--from", "received", "--start", str(shop.fault), "--end", str(shop.end),
        "--baseline", f"{NORMAL_SECONDS}s", "--step", f"{STEP}s", "--target", "front", "--json",
        "--graph", str(tmp_path / "graph.json"), "--events", str(tmp_path / "events.json"),
    ]  # fmt: skip
    done = run(["analyze", *asked])
    assert done.returncode in (0, 3), done.stderr
    answer = json.loads(done.stdout)
    causes = [cause["component"] for cause in answer["causes"]]
    assert causes[0] == SLOW
    assert "warehouse" in causes
    for wrong, hint in (
        (["--from", "received", "--start", "-5m"], "--server"),
        ([*asked, "--from", "elsewhere"], "received, configured, or one savedTelemetry/ID"),
        ([*asked, "--families", "x.toml"], "--families"),
        ([*asked, "examples/search_delay"], "PATH"),
    ):
        refused = run(["analyze", *wrong])
        assert refused.returncode == 2
        assert hint in refused.stderr
    # What the server is to ask is not the caller's to say.
    own = run(["analyze", *asked, "--prometheus", "http://127.0.0.1:1"])
    assert own.returncode == 2
    assert "--prometheus is for sources that this machine asks" in own.stderr


def test_a_stored_analysis_is_found_again_whatever_came_since(server: Server, shop: Shop) -> None:
    request_id = str(uuid.uuid4())
    with client(server) as caller:
        made = caller.create_analysis(shop.source(), seed=1, settings=SCREEN, request_id=request_id)
        done = caller.wait_for_analysis(made.name)
        assert done.state is AnalysisState.SUCCEEDED
        assert done.answer is not None
        assert ranked(done.answer.posterior.causes)[0] == SLOW
        # The incident would be another one by now.
        Shop(seed=8).send(by_grpc(server.address, token_of(server, "shop")))
        again = caller.create_analysis(
            shop.source(), seed=1, settings=SCREEN, request_id=request_id
        )
        assert again.name == made.name
        for other in (shop.source(target="cart"), make_incident()):
            with pytest.raises(ServiceError) as caught:
                caller.create_analysis(other, seed=1, settings=SCREEN, request_id=request_id)
            assert caught.value.reason == "REQUEST_ID_REUSED"


def test_what_an_origin_lacks_is_told_in_the_answer(server: Server, shop: Shop) -> None:
    early = shop.source(Origin.RECEIVED, Origin.CONFIGURED)
    early = replace(early, baseline=TimeWindow(shop.begin - 3600, shop.fault))
    with client(server) as caller:
        answer = caller.analyze(early, seed=1, settings=SCREEN)
    assert ranked(answer.posterior.causes)[0] == SLOW
    notes = [note for note in answer.notes if "missing" in note]
    assert [n for n in notes if "spans from jaeger" in n and "cannot be reached" in n]
    assert [n for n in notes if "spans from received" in n and "nothing was received before" in n]


def test_what_is_declared_is_used(server: Server, shop: Shop) -> None:
    source = replace(
        shop.source(),
        name="with a graph",
        components=(Component("warehouse", ComponentKind.DATASTORE),),
        edges=(Edge("stock", "warehouse"),),
        aliases={"search": "finder"},
        events=(Event(shop.fault, "deploy", SLOW, "v2", "abc"), Event(shop.fault, "flag", "nix")),
    )
    with client(server) as caller:
        answer = caller.analyze(source, seed=1, settings=SCREEN)
    names = ranked(answer.posterior.causes)
    assert names[0] == SLOW
    assert {"finder", "warehouse"} <= set(names)
    assert "search" not in names
    assert answer.incident == "with a graph"


def test_a_tenant_has_only_its_own(server: Server, shop: Shop) -> None:
    with client(server, "other") as caller, pytest.raises(ServiceError) as caught:
        caller.analyze(shop.source(), seed=1, settings=SCREEN)
    assert caught.value.reason == "NO_EVIDENCE"
    assert caught.value.violations[0][0] == "source.window"


def send(server: Server, request: pb.AnalyzeRequest) -> tuple[str, str, str]:
    """Code, reason and field of a request that is refused."""
    metadata = (("authorization", f"Bearer {token_of(server, 'shop')}"),)
    with server.channel() as channel:
        stub = pb_grpc.RootCauseServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Analyze(request, timeout=60, metadata=metadata)
    info = error_details_pb2.ErrorInfo()
    rpc_status.from_call(caught.value).details[0].Unpack(info)
    return caught.value.code().name, info.reason, info.metadata.get("field", "")


def later(request: pb.AnalyzeRequest) -> None:
    request.source.window.start_seconds += 40_000
    request.source.window.end_seconds += 40_000
    request.source.baseline_seconds = 60


def both(request: pb.AnalyzeRequest) -> None:
    call = AnalyzeCall(incident=make_incident(), seed=1, settings=SCREEN)
    request.incident.CopyFrom(encode_request(call).incident)


def setting(path: str, value: object) -> Callable[[pb.AnalyzeRequest], None]:
    def change(request: pb.AnalyzeRequest) -> None:
        owner: Any = request.source
        *above, last = path.split(".")
        for name in above:
            owner = getattr(owner, name)
        setattr(owner, last, value)

    return change


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        (lambda r: r.ClearField("source"), "INVALID_INCIDENT", "incident"),
        (both, "INVALID_INCIDENT", "incident"),
        (lambda r: r.source.ClearField("origins"), "INVALID_INCIDENT", "source.origins"),
        (lambda r: r.source.origins.append(0), "INVALID_INCIDENT", "source.origins[1]"),
        (lambda r: r.source.origins.append(99), "INVALID_INCIDENT", "source.origins[1]"),
        (lambda r: r.source.ClearField("window"), "INVALID_INCIDENT", "source.window"),
        (setting("window.end_seconds", 1.0), "INVALID_INCIDENT", "source.window.end_seconds"),
        (setting("window.start_seconds", -5.0), "INVALID_INCIDENT", "source.window"),
        (setting("window.end_seconds", 1e300), "INVALID_INCIDENT", "source.window"),
        (
            setting("window.start_seconds", math.nan),
            "INVALID_INCIDENT",
            "source.window.start_seconds",
        ),
        (setting("baseline_seconds", 0.0), "INVALID_INCIDENT", "source.baseline_seconds"),
        (setting("baseline_seconds", math.inf), "INVALID_INCIDENT", "source.baseline_seconds"),
        (setting("baseline_seconds", 1e12), "INVALID_INCIDENT", "source.baseline_seconds"),
        (setting("step_seconds", 0.0), "INVALID_INCIDENT", "source.step_seconds"),
        (setting("step_seconds", math.nan), "INVALID_INCIDENT", "source.step_seconds"),
        (setting("step_seconds", 0.002), "INVALID_INCIDENT", "source.step_seconds"),
        (setting("target.component", ""), "INVALID_INCIDENT", "source.target.component"),
        (setting("target.component", "nobody"), "INVALID_INCIDENT", "source.target.component"),
        (setting("target.signal", "nothing"), "INVALID_INCIDENT", "source.target.signal"),
        (lambda r: r.source.aliases.update({"": "x"}), "INVALID_INCIDENT", "source.aliases"),
        (lambda r: r.source.events.add(kind=""), "INVALID_INCIDENT", "source.events[0].kind"),
        (lambda r: r.source.edges.add(source="a", kind=77), "INVALID_INCIDENT", None),
        (setting("baseline.end_seconds", 0.0), "INVALID_INCIDENT", "source.baseline.end_seconds"),
        (later, "NO_EVIDENCE", "source.window"),
        (lambda r: r.ClearField("seed"), "INVALID_SETTINGS", "seed"),
    ],
)
def test_a_source_that_cannot_be_is_refused(
    server: Server,
    shop: Shop,
    change: Callable[[pb.AnalyzeRequest], object],
    reason: str,
    field: str | None,
) -> None:
    call = AnalyzeCall(incident=shop.source(), seed=1, settings=SCREEN)
    request = encode_request(call)
    change(request)
    code, why, where = send(server, request)
    assert (code, why) == ("INVALID_ARGUMENT", reason)
    if field is not None:
        assert where == field


def test_a_normal_period_of_which_nothing_came_is_refused(server: Server, shop: Shop) -> None:
    early = TimeWindow(shop.begin - 5000, shop.begin - 4000)
    call = AnalyzeCall(incident=replace(shop.source(), baseline=early), seed=1, settings=SCREEN)
    assert send(server, encode_request(call)) == (
        "INVALID_ARGUMENT",
        "INVALID_INCIDENT",
        "source.baseline",
    )


def test_a_server_without_telemetry_says_what_it_lacks() -> None:
    with Server() as server, Client(server.address, timeout=60) as caller:
        for origin, reason in (
            (Origin.RECEIVED, "NO_TELEMETRY"),
            (Origin.CONFIGURED, "NO_SOURCES"),
        ):
            with pytest.raises(ServiceError) as caught:
                caller.analyze(Shop().source(origin), seed=1, settings=SCREEN)
            assert caught.value.reason == reason


def test_the_back_ends_of_the_configuration_are_asked(tmp_path: Path) -> None:
    latency = "http_server_request_duration_seconds"
    shop = Shop()

    def mean(service: str) -> Callable[[float], float]:
        return lambda t: 8.0 if service == "cart" and t > shop.fault else 1.0 + t % 7 / 50

    names = ("front", "cart")
    busy: Series = [({"service_name": name}, lambda t: 5 + t % 3) for name in names]
    slow: Series = [({"service_name": name}, mean(name)) for name in names]
    graph: Series = [({"client": "front", "server": "cart"}, lambda _: 1.0)]
    fake = FakePrometheus(
        {
            f"{latency}_count": busy,
            f"{latency}_sum": slow,
            "traces_service_graph_request_total": graph,
        }
    )
    with Stub(fake) as stub:
        arguments = ("--prometheus", stub.url, "--data-dir", str(tmp_path / "data"))
        with Server(*arguments) as server, Client(server.address, timeout=60) as caller:
            source = shop.source(Origin.CONFIGURED)
            made = caller.create_analysis(source, seed=1, settings=SCREEN)
            done = caller.wait_for_analysis(made.name)
            assert done.state is AnalysisState.SUCCEEDED, done.failure
            assert done.answer is not None
            assert set(ranked(done.answer.posterior.causes)) == {"front", "cart"}
            asked = [(a.query | a.form).get("query", "") for a in stub.asked]
            assert any(f"{latency}_count" in query for query in asked)


def test_what_was_accepted_survives_the_server(tmp_path: Path) -> None:
    """The server that follows one killed at once has received nothing, and needs nothing."""
    arguments = ("--receive-telemetry", "--data-dir", str(tmp_path / "data"), "--no-warm")
    auto = Settings(method=Method.NUTS)  # no worker is ever warm, so it waits
    with Server(*arguments, analyzer="") as server:
        shop = Shop()
        shop.send(by_grpc(server.address))
        with Client(server.address, timeout=60) as caller:
            made = caller.create_analysis(shop.source(), seed=1, settings=SCREEN)
            caller.create_analysis(shop.source(), seed=1, settings=auto)
        server.signal(signal.SIGKILL)
        server.wait()
    with Server(*arguments, analyzer="") as server, Client(server.address, timeout=120) as caller:
        done = caller.wait_for_analysis(made.name)
        assert done.answer is not None
        assert ranked(done.answer.posterior.causes)[0] == SLOW
        states = {a.state for a in caller.list_analyses()}
        assert states <= {AnalysisState.SUCCEEDED, AnalysisState.QUEUED, AnalysisState.RUNNING}
        assert eventually(lambda: len(list(caller.list_analyses())) == 2, 10)
