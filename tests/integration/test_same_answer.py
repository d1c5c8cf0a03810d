"""The served answer is the local one: every number but the timings, to the last bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from bayesrca.analysis import analyze
from bayesrca.client import Client
from bayesrca.config import Method, Settings
from bayesrca.incident import Event, Incident, Logs, Run, Spans
from bayesrca.ingest import load_incident
from tests.integration.kit import ROOT, Server

pytestmark = [pytest.mark.grpc, pytest.mark.pymc]


@pytest.fixture(scope="module")
def incident() -> Incident:
    return load_incident(ROOT / "examples" / "search_delay")


def add_traces(incident: Incident) -> Incident:
    """Give an incident traces of two calls, the callee slower and failing in the window."""
    assert incident.baseline is not None
    assert incident.window is not None
    edge = incident.topology.edges[0]
    rng = np.random.default_rng(3)
    starts = np.concatenate(
        [rng.uniform(w.start, w.end - 1.0, 40) for w in (incident.baseline, incident.window)]
    )
    n = 2 * len(starts)
    bad: Any = np.repeat(incident.window.contains(starts), 2) & (np.arange(n) % 2 == 1)
    trace: Any = np.repeat(np.arange(len(starts)), 2)
    own: Any = np.arange(n) % 2
    none: Any = np.full(n, -1)
    spans = Spans(
        components=(edge.source, edge.target),
        operations=("front", "back"),
        codes=(),
        trace_ids=tuple(f"{i:032x}" for i in range(len(starts))),
        component=own,
        operation=own,
        code=none,
        trace=trace,
        parent=np.where(own == 1, np.arange(n) - 1, -1),
        start_ns=(np.repeat(starts, 2) * 1e9).astype(np.int64) + own,
        duration_ns=(rng.lognormal(-4.0, 0.1, n) * np.where(bad, 9.0, 1.0) * 1e9).astype(np.int64),
        kind=np.full(n, 2),
        status=np.where(bad, 2, 0),
        peer=none,
        notes=("told",),
    )
    texts = np.where(bad, 1, 0)
    logs = Logs(
        (edge.target,),
        ("done", "failed"),
        (),
        np.zeros(n, dtype=np.int32),
        texts,
        spans.start_ns,
        np.where(bad, 17, 9),
        np.arange(n),
        none,
    )
    change = Event(incident.window.start - 60.0, "deploy", edge.target, "v2", "c0ffee")
    return dataclasses.replace(
        incident,
        spans=spans,
        logs=logs,
        events=(*incident.events, change),
        normal_runs=(Run("normal", (), spans, logs),),
    )


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        Server(analyzer="") as server,
        Client(server.until_ready().address, timeout=300) as client,
    ):
        yield client


def test_spans_logs_and_changes_are_served_too(incident: Incident, client: Client) -> None:
    traced = add_traces(incident)
    settings = Settings(method=Method.SCREEN)
    local = analyze(traced, seed=11, settings=settings).answer
    served = client.analyze(traced, seed=11, settings=settings)
    assert dataclasses.replace(served, timings={}) == dataclasses.replace(local, timings={})
    # They spoke: without them the answer is another one.
    bare = analyze(incident, seed=11, settings=settings).answer
    assert local.posterior != bare.posterior
    assert "told" in local.notes


@pytest.mark.parametrize("method", [Method.SCREEN, Method.NUTS])
def test_served_equals_local(
    incident: Incident, method: Method, request: pytest.FixtureRequest
) -> None:
    settings = Settings(method=method, chains=2, draws=50, tune=100)
    local = analyze(incident, seed=11, settings=settings).answer
    client: Client = request.getfixturevalue("client")
    for _ in range(2):
        served = client.analyze(incident, seed=11, settings=settings)
        # A warm server compiles nothing, so even the steps that were timed may differ.
        ours = dataclasses.replace(local, timings={})
        theirs = dataclasses.replace(served, timings={})
        assert theirs == ours
        assert repr(theirs) == repr(ours)
