"""docs/operations.md names what there is."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

from opentelemetry.trace import NoOpTracer

from bayesrca.service import Scope, ServiceOptions, configure
from bayesrca.service.credentials import read_credentials
from bayesrca.service.pool import WorkerPool
from bayesrca.service.telemetry import Metrics
from bayesrca.service.telemetry_jobs import JobTelemetry
from tests.integration.kit import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_limits_and_their_defaults() -> None:
    rows = re.findall(r"^\| .* \| `(\w+)` \| (\d+)( [KM]iB)? \|$", PAGE, re.MULTILINE)
    assert len(rows) == 4
    for name, number, unit in rows:
        scale = {"": 1, " KiB": 1 << 10, " MiB": 1 << 20}[unit]
        assert getattr(ServiceOptions(), name) == int(number) * scale


def test_every_option_named_exists() -> None:
    known = {option.name for option in fields(ServiceOptions)}
    for name in re.findall(
        r"`((?!bayesrca|request_)\w+_(?:file|seconds|host|port|endpoint|ratio|bytes|calls))`", PAGE
    ):
        assert name in known
    for flag in re.findall(r"`?bayesrca serve ([^`\n]*)", PAGE):
        for name in re.findall(r"--([a-z-]+)", flag):
            assert name == "config" or name.removeprefix("no-").replace("-", "_") in known


def test_every_scope_and_metric_is_told() -> None:
    for scope in Scope:
        assert f"| `{scope}` |" in PAGE
    metrics = Metrics("1")
    metrics.rpc_unknown()
    metrics.follow(WorkerPool(ServiceOptions(), lambda: None, JobTelemetry(metrics, NoOpTracer())))
    metrics.follow_telemetry(lambda: 0)
    told = {*re.findall(r"^\| `(bayesrca_\w+)` \|", PAGE, re.MULTILINE)}
    shown = re.findall(r"^# TYPE (\w+) (\w+)$", metrics.render().decode(), re.MULTILINE)
    made = {name if kind != "info" else f"{name}_info" for name, kind in shown}
    assert told == {name for name in made if name.startswith("bayesrca")}


def test_the_files_shown_are_read(tmp_path: Path) -> None:
    (credentials,) = snippets("toml")
    path = tmp_path / "credentials.toml"
    path.write_text(credentials.replace("...", "0" * 64, 1), encoding="utf-8")
    assert read_credentials(path).summary == "1 token(s), 1 certificate(s), 1 tenant(s)"
    (shell,) = (text for text in snippets("sh") if "<<'END'" in text)
    written = tmp_path / "serve.toml"
    written.write_text(shell.partition("<<'END'\n")[2].partition("END\n")[0], encoding="utf-8")
    assert tomllib.loads(written.read_text(encoding="utf-8"))
    assert configure({}, {}, written).options.workers == 2
