"""Real Prometheus and Alertmanager: an injected fault, an alert, an analysis that names it.

`scripts/fetch_servers.sh` puts the two programs into target/servers where apt has their packages;
elsewhere install them, or name their folder with BAYESRCA_SERVERS. Without them these tests are
skipped, and say why.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bayesrca.client import Client
from bayesrca.incident import Target, TimeWindow
from bayesrca.ingest.connectors.collect import Wanted, collect
from bayesrca.ingest.connectors.sources import Sources, make_connectors
from bayesrca.service import Scope
from bayesrca.service.credentials import new_token
from bayesrca.wire import AnalysisState
from tests.integration.kit import Server, eventually
from tests.integration.real_servers import Shop, find_servers, free_port, running

pytestmark = pytest.mark.grpc
CALM_SECONDS = 25.0
RULES = """
groups:
  - name: shop
    interval: 1s
    rules:
      - alert: FrontIsSlow
        expr: >
          rate(http_server_request_duration_seconds_sum{service_name="front"}[4s])
          / rate(http_server_request_duration_seconds_count{service_name="front"}[4s]) > 0.2
        for: 2s
        labels: {severity: page}
        annotations: {summary: "front takes {{ $value }} s"}
"""
PROMETHEUS = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
alerting:
  alertmanagers: [{{static_configs: [{{targets: ["{alertmanager}"]}}]}}]
scrape_configs:
  - job_name: shop
    static_configs: [{{targets: ["{shop}"]}}]
"""
ALERTMANAGER = """
route: {{receiver: rca, group_by: [alertname], group_wait: 1s, group_interval: 2s}}
receivers:
  - name: rca
    webhook_configs:
      - url: {webhook}
        http_config: {{authorization: {{credentials_file: "{token}"}}}}
"""


@dataclass(frozen=True)
class Site:
    shop: Shop
    prometheus: str
    server: Server
    token: str
    queries: Path

    def analyses(self) -> list[Any]:
        with Client(self.server.address, token=self.token) as client:
            return list(client.list_analyses())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    prometheus, alertmanager = find_servers()
    folder = tmp_path_factory.mktemp("site")
    token, line = new_token("alertmanager", "shop", [Scope.ANALYZE, Scope.READ], None)
    ports = {name: free_port() for name in ("prometheus", "alertmanager")}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    write = {"token": token, "credentials.toml": line, "rules.yml": RULES}
    write["queries.toml"] = 'rate_window = "3s"\n'
    with ExitStack() as stack:
        shop = stack.enter_context(Shop().serving())
        write["prometheus.yml"] = PROMETHEUS.format(
            rules=folder / "rules.yml",
            alertmanager=f"127.0.0.1:{ports['alertmanager']}",
            shop=shop.address,
        )
        for name, text in write.items():
            (folder / name).write_text(text, encoding="utf-8")
        server = stack.enter_context(serve(folder, urls["prometheus"]))
        line = server.wait_for(lambda line: "alerts are taken on " in line)
        text = ALERTMANAGER.format(webhook=line.rpartition(" ")[2], token=folder / "token")
        (folder / "alertmanager.yml").write_text(text, encoding="utf-8")
        stack.enter_context(
            running(
                urls["alertmanager"],
                alertmanager,
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'am'}",
                f"--web.listen-address=127.0.0.1:{ports['alertmanager']}",
                "--cluster.listen-address=",
            )
        )
        stack.enter_context(
            running(
                urls["prometheus"],
                prometheus,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
                "--log.level=warn",
            )
        )
        yield Site(shop, urls["prometheus"], server, token, folder / "queries.toml")


def serve(folder: Path, prometheus: str) -> Server:
    return Server(
        "--no-warm", "--data-dir", str(folder / "data"),
        "--credentials-file", str(folder / "credentials.toml"),
        "--prometheus", prometheus, "--prometheus-queries", str(folder / "queries.toml"),
        "--alert-port", "0", "--alert-method", "screen", "--alert-step-seconds", "1",
        "--alert-lead-seconds", "8", "--alert-baseline-seconds", str(CALM_SECONDS - 8),
        analyzer="",
    )  # fmt: skip


def test_an_injected_fault_becomes_an_analysis_that_names_it(site: Site) -> None:
    time.sleep(CALM_SECONDS)
    assert not site.analyses()
    site.shop.slow = "stock"
    finished: list[Any] = []

    def done() -> bool:
        finished[:] = [a for a in site.analyses() if a.state.final]
        return bool(finished)

    assert eventually(done, 90), site.server.lines
    (analysis,) = finished
    assert analysis.state is AnalysisState.SUCCEEDED, analysis
    assert analysis.incident.startswith("FrontIsSlow ")
    with Client(site.server.address, token=site.token) as client:
        answer = client.get_analysis(analysis.name).answer
    assert answer is not None
    first = answer.posterior.causes[0]
    assert (first.component, first.probability.value > 0.5) == ("stock", True), answer
    # A notification that comes again, as after `group_interval`, opens no other.
    time.sleep(4.0)
    assert len(site.analyses()) == 1


def test_what_is_collected_is_what_prometheus_holds(site: Site) -> None:
    """Series, calls and the alert, straight from the server."""
    now = time.time()
    window = TimeWindow(now - 20, now - 2)
    wanted = Wanted(name="shop", window=window, baseline=None, step=1.0, target=Target("front"))
    sources = Sources(prometheus=site.prometheus, prometheus_queries=site.queries)
    collected = collect(make_connectors(sources, {}), wanted)
    incident = collected.incident
    assert {(e.source, e.target) for e in incident.topology.edges} == {
        ("front", "cart"), ("front", "pay"), ("cart", "stock"),
    }  # fmt: skip
    assert {s.name for s in incident.signals_of("cart")} >= {
        "http_request_rate", "http_error_ratio", "http_latency_mean", "http_latency_p95",
    }  # fmt: skip
    assert incident.notes == ()
    assert not [line for line in collected.asked if line.missing]
    (rate,) = (s for s in incident.signals_of("front") if s.name == "http_request_rate")
    assert 30.0 < rate.values[-1] < 50.0
    assert any(event.kind == "alert" for event in incident.events) == any(
        line.came for line in collected.asked if line.what == "events"
    )
