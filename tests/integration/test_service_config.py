"""`bayesrca config` and the flags, the environment and the file of a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bayesrca.service import configure
from tests.integration.kit import ROOT, Server


def bayesrca(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bayesrca.cli", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_config_prints_what_serve_would_run_with(tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    path.write_text("queue = 3\nport = 1\n", encoding="utf-8")
    done = bayesrca("config", "--config", str(path), "--no-warm", BAYESRCA_SERVE_PORT="0")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert f"queue = 3  # {path}" in lines
    assert "port = 0  # BAYESRCA_SERVE_PORT" in lines
    assert "warm = false  # --no-warm" in lines
    assert 'host = "127.0.0.1"  # default' in lines
    assert "# prior is not set" in lines
    assert "analyzer" not in done.stdout
    again = tmp_path / "again.toml"
    again.write_text(done.stdout, encoding="utf-8")
    options = configure({}, {}, again).options
    assert (options.queue, options.port, options.warm) == (3, 0, False)


@pytest.mark.parametrize("command", ["config", "serve"])
def test_what_is_unknown_is_wrong_usage(command: str) -> None:
    done = bayesrca(command, BAYESRCA_SERVE_PROT="1")
    assert done.returncode == 2
    assert done.stderr == (
        "bayesrca: unknown variable BAYESRCA_SERVE_PROT; did you mean 'BAYESRCA_SERVE_PORT'? "
        "(BAYESRCA_SERVE_PROT)\n"
    )
    assert "--port" in bayesrca(command, "--prot", "1").stderr


@pytest.mark.grpc
def test_a_server_says_where_its_options_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "serve.toml"
    path.write_text("queue = 3\n", encoding="utf-8")
    monkeypatch.setenv("BAYESRCA_SERVE_CONFIG", str(path))
    monkeypatch.setenv("BAYESRCA_SERVE_WORKERS", "2")
    with Server() as server:
        server.wait_for(lambda line: line.startswith("2 worker(s)") and "queue 3" in line)
        told = server.wait_for(lambda line: line.startswith("configuration: "))
    assert "BAYESRCA_SERVE_WORKERS" in told
    assert str(path) in told
