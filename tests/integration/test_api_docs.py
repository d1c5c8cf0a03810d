"""What docs/grpc.md shows works as it is written."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from google.protobuf import json_format

from bayesrca import client
from bayesrca.api.v1 import attribution_service_pb2 as attribution
from bayesrca.api.v1 import attribution_service_pb2_grpc as attribution_grpc
from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.api.v1 import root_cause_service_pb2_grpc as pb_grpc
from bayesrca.config import DEFAULT_MAX_MESSAGE_BYTES
from bayesrca.service.handlers import MAX_NUTS_DRAWS, MAX_SCREEN_POINTS, MAX_SHARE_WORK
from bayesrca.service.status import CODES
from bayesrca.wire import attribution_arrays, attribution_settings
from tests.integration.kit import ROOT, Server

pytestmark = pytest.mark.grpc
PAGE = (ROOT / "docs" / "grpc.md").read_text(encoding="utf-8")


def snippet(language: str, holding: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    (text,) = (text for text in found if holding in text)
    return str(text)


def test_the_python_example_runs(
    service: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    code = snippet("python", "none of these").replace("127.0.0.1:50051", service.address)
    exec(compile(ast.parse(code), "docs/grpc.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "none of these: " in printed
    assert "may act: True" in printed


def test_the_python_example_of_a_stored_analysis_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    with Server("--no-warm", "--data-dir", str(tmp_path / "data"), analyzer="") as server:
        address = server.until_ready().address
        code = snippet("python", "watch_analysis").replace("127.0.0.1:50051", address)
        code = code.replace('"results"', repr(str(tmp_path / "results")))
        exec(compile(ast.parse(code), "docs/grpc.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "SUCCEEDED" in printed
    assert "may act: True" in printed
    assert {p.name for p in (tmp_path / "results").iterdir()} == {"draws.nc", "causes.svg"}


def test_the_python_example_of_an_attribution_runs(
    service: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    code = snippet("python", "CallTreeGame").replace("127.0.0.1:50051", service.address)
    exec(compile(ast.parse(code), "docs/grpc.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "stock" in printed
    assert "explained: 5.0 converged: True" in printed


def json_sent_to(rpc: str) -> str:
    """The JSON that the grpcurl examples send, by a stand-in for grpcurl."""
    shell = shutil.which("sh")
    assert shell is not None
    script = f"grpcurl() {{ for last; do :; done; case $last in *{rpc}) cat;; esac; }}\n"
    return subprocess.run(
        [shell, "-c", script + snippet("sh", "grpcurl")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def test_the_grpcurl_examples_are_requests_that_the_server_answers(service: Server) -> None:
    request = json_format.Parse(json_sent_to("Analyze"), pb.AnalyzeRequest())
    with service.channel() as channel:
        response = pb_grpc.RootCauseServiceStub(channel).Analyze(request, timeout=30)
    assert response.answer.incident == "slow checkout"
    game = json_format.Parse(
        json_sent_to("AttributeAnomaly"), attribution.AttributeAnomalyRequest()
    )
    with service.channel() as channel:
        stub = attribution_grpc.AttributionServiceStub(channel)
        estimate = stub.AttributeAnomaly(game, timeout=30).estimate
    assert list(estimate.players) == ["redis", "cart", "checkout"]
    assert estimate.rule == "enumeration"


def test_the_service_config_is_the_clients_own() -> None:
    assert json.loads(snippet("json", "methodConfig")) == client.SERVICE_CONFIG


def test_every_reason_and_limit_is_named() -> None:
    for reason, code in CODES.items():
        assert f"`{reason}`" in PAGE
        assert f"`{code.name}`" in PAGE
    for limit in (
        MAX_NUTS_DRAWS,
        MAX_SCREEN_POINTS,
        MAX_SHARE_WORK,
        attribution_arrays.MAX_PLAYERS,
        attribution_arrays.MAX_PLAYER_EDGES,
        attribution_arrays.MAX_BASELINE_VALUES,
        attribution_arrays.MAX_NOISY_OR_WORK,
        attribution_arrays.MAX_NONLINEAR_WORK,
        attribution_settings.MAX_BUDGET,
        attribution_settings.MAX_RESAMPLES,
        int(attribution_settings.MAX_ATTRIBUTION_SECONDS),
    ):
        assert f"{limit:,}".replace(",", " ") in PAGE
    assert f"{DEFAULT_MAX_MESSAGE_BYTES >> 20} MiB" in PAGE
