"""Clients that know nothing of bayesrca: grpcurl, by reflection, and grpc-health-probe.

Both are Go modules. Where they are not installed but Go is, they are built into a folder of the
clone; where that cannot be these tests are skipped and say why.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from google.protobuf import json_format

from bayesrca.service import Scope
from bayesrca.service.credentials import new_token
from tests.integration.certificates import Authority
from tests.integration.kit import ATTRIBUTION, SERVICE, Server, make_request

pytestmark = pytest.mark.grpc
REQUEST = json_format.MessageToJson(make_request())
BUILT = Path(__file__).parents[2] / "target" / "go"
GO_MODULES = {
    "grpcurl": "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3",
    "grpc-health-probe": "github.com/grpc-ecosystem/grpc-health-probe@v0.4.61",
}


@cache
def find(tool: str) -> str:
    # `go install` puts programs into a folder that need not be searched.
    places = (None, str(Path.home() / "go" / "bin"), str(BUILT))
    found = next(filter(None, (shutil.which(tool, path=place) for place in places)), None)
    if found is not None:
        return found
    if shutil.which("go") is None:
        pytest.skip(f"{tool} is not installed, nor is Go: go install {GO_MODULES[tool]}")
    done = subprocess.run(
        ["go", "install", GO_MODULES[tool]],
        env={**os.environ, "GOBIN": str(BUILT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode != 0:  # no network, or a Go too old for the module
        pytest.skip(f"go install {GO_MODULES[tool]}: {done.stderr[-300:]}")
    return str(BUILT / tool)


def run(tool: str, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [find(tool), *arguments],
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestGrpcurl:
    def test_it_lists_and_describes(self, service: Server) -> None:
        listed = run("grpcurl", "-plaintext", service.address, "list")
        assert {SERVICE, ATTRIBUTION, "grpc.health.v1.Health"} <= {*listed.stdout.split()}
        described = run("grpcurl", "-plaintext", service.address, "describe", f"{SERVICE}.Analyze")
        assert "rpc Analyze ( .bayesrca.api.v1.AnalyzeRequest )" in described.stdout
        unknown = run("grpcurl", "-plaintext", service.address, "describe", f"{SERVICE}.Nothing")
        assert unknown.returncode != 0

    def test_it_calls(self, service: Server) -> None:
        arguments = ["-plaintext", "-d", "@", service.address, f"{SERVICE}/Analyze"]
        done = run("grpcurl", *arguments, typed=REQUEST)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["answer"]["incident"] == "slow checkout"

    def test_it_shows_why_a_call_was_refused(self, service: Server) -> None:
        arguments = ["-plaintext", "-d", "{}", service.address, f"{SERVICE}/Analyze"]
        done = run("grpcurl", *arguments)
        assert done.returncode != 0
        assert "Code: InvalidArgument" in done.stderr
        assert '"reason": "INVALID_INCIDENT"' in done.stderr

    def test_over_tls_with_a_token(self, secured: tuple[Server, Authority, str]) -> None:
        server, authority, token = secured
        trust = ["-cacert", str(authority.cert)]
        shown = ["-H", f"authorization: Bearer {token}"]
        listed = run("grpcurl", *trust, *shown, server.address, "list")
        assert SERVICE in listed.stdout.split()
        call = [server.address, f"{SERVICE}/Analyze"]
        done = run("grpcurl", *trust, *shown, "-d", "@", *call, typed=REQUEST)
        assert done.returncode == 0, done.stderr
        refused = run("grpcurl", *trust, server.address, "list")
        assert refused.returncode != 0
        assert "Unauthenticated" in refused.stderr


class TestHealthProbe:
    """Exit codes of the probe: 0 serving, 2 no connection, 3 no such service, 4 not serving."""

    def test_what_serves(self, service: Server) -> None:
        for name in ("", SERVICE, ATTRIBUTION):
            done = run("grpc-health-probe", f"-addr={service.address}", f"-service={name}")
            assert done.returncode == 0, done.stderr

    def test_what_does_not(self, service: Server) -> None:
        unknown = run("grpc-health-probe", f"-addr={service.address}", "-service=made.Up")
        assert unknown.returncode == 3
        nobody = run("grpc-health-probe", "-addr=127.0.0.1:1", "-connect-timeout=500ms")
        assert nobody.returncode == 2

    def test_a_server_that_is_not_ready_is_alive(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BAYESRCA_TEST_WARM_FILE", str(tmp_path / "never"))
        with Server(warmer="warm_when_told") as server:
            ready = run("grpc-health-probe", f"-addr={server.address}", f"-service={SERVICE}")
            alive = run("grpc-health-probe", f"-addr={server.address}")
        assert (ready.returncode, alive.returncode) == (4, 0)

    def test_over_tls_without_a_token(self, secured: tuple[Server, Authority, str]) -> None:
        server, authority, _ = secured
        tls = ["-tls", f"-tls-ca-cert={authority.cert}", f"-addr={server.address}"]
        assert run("grpc-health-probe", *tls).returncode == 0
        assert run("grpc-health-probe", f"-addr={server.address}").returncode != 0


@pytest.fixture(scope="module")
def secured(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Server, Authority, str]]:
    """A server with TLS and credentials, its authority, and a token."""
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority(folder)
    own = authority.issue("server", "IP:127.0.0.1")
    token, line = new_token("bot", "t", [Scope.ANALYZE, Scope.READ], None)
    credentials = folder / "credentials.toml"
    credentials.write_text(line, encoding="utf-8")
    files = ["--tls-cert-file", own.cert, "--tls-key-file", own.key]
    with Server(*map(str, files), "--credentials-file", str(credentials)) as server:
        yield server.until_ready(), authority, token
