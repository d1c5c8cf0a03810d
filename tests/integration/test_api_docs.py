"""What docs/api.md shows works as it is written."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess

import pytest

from bayesrca import client
from bayesrca.service.handlers import MAX_NUTS_DRAWS, MAX_SCREEN_POINTS
from bayesrca.service.status import CODES
from bayesrca.wire import DEFAULT_MAX_MESSAGE_BYTES
from tests.integration.kit import ROOT, Server

pytestmark = pytest.mark.grpc
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def snippet(language: str, holding: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    (text,) = (text for text in found if holding in text)
    return str(text)


def test_the_python_example_runs(
    service: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    code = snippet("python", "Client").replace("127.0.0.1:50051", service.address)
    exec(compile(ast.parse(code), "docs/api.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "none of these: " in printed
    assert "healthy: True" in printed


def test_the_grpcurl_example_runs(service: Server) -> None:
    """With a stand-in for grpcurl: the JSON is a request that the server answers."""
    from google.protobuf import json_format

    from bayesrca.api.v1 import root_cause_service_pb2 as pb
    from bayesrca.api.v1 import root_cause_service_pb2_grpc as pb_grpc

    shell = shutil.which("sh")
    assert shell is not None
    script = "grpcurl() { for last; do :; done; case $last in *Analyze) cat;; esac; }\n"
    printed = subprocess.run(
        [shell, "-c", script + snippet("sh", "grpcurl")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    request = json_format.Parse(printed, pb.AnalyzeRequest())
    with service.channel() as channel:
        response = pb_grpc.RootCauseServiceStub(channel).Analyze(request, timeout=30)
    assert response.answer.incident == "slow checkout"


def test_the_service_config_is_the_clients_own() -> None:
    assert json.loads(snippet("json", "methodConfig")) == client.SERVICE_CONFIG


def test_every_reason_and_limit_is_named() -> None:
    for reason, code in CODES.items():
        assert f"`{reason}`" in PAGE
        assert f"`{code.name}`" in PAGE
    assert f"{MAX_NUTS_DRAWS:,}".replace(",", " ") in PAGE
    assert f"{MAX_SCREEN_POINTS:,}".replace(",", " ") in PAGE
    assert f"{DEFAULT_MAX_MESSAGE_BYTES >> 20} MiB" in PAGE
