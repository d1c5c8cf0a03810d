from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.kit import Server


@pytest.fixture(scope="session")
def service() -> Iterator[Server]:
    """One worker, two places in the queue, stand-in analyses."""
    with Server("--queue", "2") as server:
        yield server.until_ready()
