"""What the documentation shows works as it is written."""

import re
from pathlib import Path

import pytest

from bayesrca.incident import Edge, Family
from bayesrca.ingest import FamilyRules, load_incident
from bayesrca.ingest.connectors.prometheus_file import read_plan
from bayesrca.service.configuration import configure

DOCS = Path(__file__).parents[3] / "docs"

CSV = """when,checkout|latency_ms,db|cpu_pct
2023-11-14 22:13:20,1.0,20
2023-11-15 22:13:20,9.0,
"""


def snippets(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_a_folder_made_of_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("metrics.csv").write_text(CSV)
    (code,) = (code for code in snippets("incident-folder.md", "python") if "pandas" in code)
    exec(code, {})
    incident = load_incident("outage")
    assert incident.topology.edges == (Edge("checkout", "db"),)
    assert incident.signals[0].timestamps.tolist() == [1.7e9, 1.7e9 + 86400]
    assert [(s.family, s.unit) for s in incident.signals] == [
        (Family.LATENCY, "ms"),
        (Family.CPU, "%"),
    ]
    assert incident.baseline is not None
    assert incident.window is not None


def test_the_topology_map(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(DOCS.parent)
    (code,) = snippets("topology.md", "python")
    exec(code, {})
    assert "(<Provenance.DECLARED: 'declared'>,) 0 0.9" in capsys.readouterr().out


def test_the_rules_file(tmp_path: Path) -> None:
    (text,) = snippets("families.md", "toml")
    file = tmp_path / "rules.toml"
    file.write_text(text)
    rules = FamilyRules.from_toml(file)
    assert rules.classify("ct_ms").family is Family.LATENCY
    assert rules.classify("ErrorRate").unit == "1"


def test_the_queries_file(tmp_path: Path) -> None:
    text, _ = snippets("connectors.md", "toml")
    file = tmp_path / "queries.toml"
    file.write_text(text, encoding="utf-8")
    plan = read_plan(file)
    assert [query.name for query in plan.queries] == ["checkout_ct", "replication_lag"]
    assert plan.mapping.component("app", "cart-svc") == "cart"
    assert plan.rate_window == 120.0


def test_the_servers_file(tmp_path: Path) -> None:
    _, text = snippets("connectors.md", "toml")
    file = tmp_path / "serve.toml"
    file.write_text(text, encoding="utf-8")
    options = configure({}, {}, file).options
    assert options.alert_port == 9095
    assert options.prometheus == "http://127.0.0.1:9090"


def test_connectors_from_python() -> None:
    (code,) = snippets("connectors.md", "python")
    exec(code, {})
