"""A worker that is told to stop stops by itself, whatever the real analysis is doing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bayesrca.client import Client
from bayesrca.config import Method, Settings
from bayesrca.wire import AnalysisState
from tests.integration.kit import SCREEN, Server, make_incident

pytestmark = pytest.mark.grpc
LONG = {
    "screen": Settings(method=Method.SCREEN, screen_scrambles=64, screen_points=1 << 16),
    "nuts": Settings(method=Method.NUTS, draws=200_000, tune=50_000),
}
"""Minutes of work for each step, were it not cancelled."""


def test_a_cancelled_analysis_frees_its_worker_without_a_kill(tmp_path: Path) -> None:
    with (
        # Who does not stop is killed after that, and the log says so.
        Server("--data-dir", str(tmp_path), "--grace-seconds", "5", analyzer="") as server,
        Client(server.until_ready().address, timeout=120) as client,
    ):
        for step, settings in LONG.items():
            made = client.create_analysis(make_incident(), seed=1, settings=settings)
            for update in client.watch_analysis(made.name):
                if update.step == step:
                    break
            assert client.cancel_analysis(made.name).state is AnalysisState.CANCELLED
            # The only worker takes it when it is free.
            client.analyze(make_incident(), seed=1, settings=SCREEN)
        assert not any("worker ended" in line for line in server.lines)
