"""`bayesrca collect`, and `analyze` from sources, in this process."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bayesrca.cli import main
from bayesrca.ingest import load_incident
from tests.unit.ingest.connectors.stub import Reply, Stub
from tests.unit.ingest.connectors.test_collect import slow_cart
from tests.unit.ingest.connectors.test_jaeger import FakeJaeger
from tests.unit.ingest.connectors.test_loki import FakeLoki
from tests.unit.ingest.connectors.test_prometheus import START

Call = Callable[..., tuple[object, str, str]]
TIME = ("--start", START + 3660, "--end", START + 5400, "--target", "front")


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["bayesrca", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return stop.value.code or 0, said.out, said.err

    return run


@pytest.fixture
def prometheus() -> Iterator[str]:
    with Stub(slow_cart()) as stub:
        yield stub.url


def test_a_folder_with_its_gap_report(call: Call, prometheus: str, tmp_path: Path) -> None:
    folder = tmp_path / "outage"
    gone = tmp_path / "gone.json"
    code, out, err = call(
        "collect", "--prometheus", prometheus, "--events", gone, *TIME, "--output", folder
    )
    assert (code, err) == (0, "")
    assert out.endswith(
        f"{folder}: 3 components, 2 edges, 9 series, 0 spans, 0 log records, 0 events\n"
    )
    assert "http_latency_mean" in out
    assert "gone.json cannot be read" in out
    incident = load_incident(folder)
    assert incident.name == "front 2023-11-14 23:14:20"
    no_buckets, no_changes = incident.notes
    assert "http_latency_p95 (every series: none answers the query)" in no_buckets
    assert "gone.json" in no_changes
    report = json.loads((folder / "gaps.json").read_text())
    assert {line["source"] for line in report["asked"]} == {"prometheus", "events"}


def test_spans_and_lines_join_the_series(call: Call, prometheus: str, tmp_path: Path) -> None:
    folder = tmp_path / "outage"
    lines = FakeLoki([(int((START + 4000) * 1e9), {"service_name": "cart"}, "no such key")])
    with Stub(FakeJaeger(60.0)) as jaeger, Stub(lines) as loki:
        code, out, _ = call(
            "collect", "--prometheus", prometheus, "--jaeger", jaeger.url, "--loki", loki.url,
            "--start", START + 600, "--end", START + 4200, "--baseline", "10m",
            "--output", folder,
        )  # fmt: skip
    assert code == 0
    assert "80 spans, 1 log records" in out
    incident = load_incident(folder)
    assert incident.topology.names == ("cart", "front", "pay", "cache")
    assert incident.logs is not None
    assert incident.logs.texts == ("no such key",)


def test_an_analysis_at_once(call: Call, prometheus: str) -> None:
    code, out, _ = call(
        "analyze", "--prometheus", prometheus, *TIME, "--method", "screen", "--json"
    )
    assert code == 0
    assert json.loads(out)["causes"][0]["component"] == "cart"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("collect", "--output", "x"), 2, "nothing to collect from"),
        (("collect", "--prometheus", "http://x", "--output", "x"), 2, "give --start"),
        (("collect", "--prometheus", "x:9090", "--start", "0", "--output", "x"), 2, "http://HOST"),
        (
            ("collect", "--prometheus", "http://x", "--start", "soon", "--output", "x"),
            2,
            "start must be",
        ),
        (
            ("collect", "--prometheus", "http://x", "--start", "0", "--step", "0", "--output", "x"),
            2,
            "step must be",
        ),
        (
            ("collect", "--prometheus", "http://x", "--start", "0", "--target", "|a",
             "--output", "x"),
            2,
            "--target must be",
        ),
        (("collect", "--events", "x", "--start", "0", "--output", "gone/x"), 2, "does not exist"),
        (("analyze",), 2, "either an incident folder or sources"),
        (("analyze", "examples/search_delay", "--events", "x"), 2, "one of the two"),
        (("analyze", "--prometheus", "http://x", "--families", "x"), 2, "is for folders"),
        (("analyze", "examples/search_delay", "--target", "x"), 2, "--target is for sources"),
        (
            ("collect", "--events", "x", "--loki-query", "{a='b'}", "--start", "0",
             "--output", "x"),
            2,
            "--loki-query is of use only with a server: give --loki too",
        ),
        (
            ("collect", "--prometheus", "http://x", "--start", "1700000000000", "--output", "x"),
            2,
            "give seconds, not milliseconds",
        ),
    ],
)  # fmt: skip
def test_wrong_usage(
    call: Call, arguments: tuple[str, ...], code: int, words: str, tmp_path: Path
) -> None:
    with contextlib.chdir(tmp_path):
        found, _, err = call(*arguments)
    assert (found, words in err) == (code, True), err
    assert not any(tmp_path.iterdir())


def test_nothing_is_written_where_nothing_came(call: Call, tmp_path: Path) -> None:
    with Stub(lambda _: Reply(b"", 401)) as stub:
        code, _, err = call(
            "collect", "--prometheus", stub.url, *TIME, "--output", tmp_path / "outage"
        )
    assert code == 4
    assert "no series and no span came from prometheus" in err
    assert "HTTP 401; check its credentials" in err
    assert not any(tmp_path.iterdir())
