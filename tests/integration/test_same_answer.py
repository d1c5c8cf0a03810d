"""The served answer is the local one: every number but the timings, to the last bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from bayesrca.analysis import analyze
from bayesrca.client import Client
from bayesrca.config import Method, Settings
from bayesrca.incident import Incident
from bayesrca.ingest import load_incident
from tests.integration.kit import ROOT, Server

pytestmark = [pytest.mark.grpc, pytest.mark.pymc]


@pytest.fixture(scope="module")
def incident() -> Incident:
    return load_incident(ROOT / "examples" / "search_delay")


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        Server(analyzer="") as server,
        Client(server.until_ready().address, timeout=300) as client,
    ):
        yield client


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
