"""What those who watch an analysis are told while others end it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from bayesrca.config import Method
from bayesrca.service.jobs import Jobs
from bayesrca.service.pool import Ticket, WorkerPool
from bayesrca.service.records import Limits, NewAnalysis, Record
from bayesrca.service.store import Store
from bayesrca.service.store_analyses import AnalysisTable
from bayesrca.wire import AnalysisState

LIMITS = Limits(pending=3, tenant_bytes=10_000, retain_seconds=100.0, retain_bytes=10_000)


class Pool:
    """A pool whose workers are free when the test says so."""

    closed = False

    def __init__(self) -> None:
        self.tickets: asyncio.Queue[Ticket] = asyncio.Queue()

    def enter(self, ticket: Ticket) -> None:
        self.tickets.put_nowait(ticket)

    async def hand_back(self) -> None:
        """Nothing runs."""


class SlowTable(AnalysisTable):
    """Its rows are gone some time before who removed them hears of it."""

    gone: asyncio.Event
    told: asyncio.Event

    async def cancel(self, tenant: str, identity: str) -> Record:
        return await self._late(await super().cancel(tenant, identity))

    async def delete(self, tenant: str, identity: str) -> Record:
        return await self._late(await super().delete(tenant, identity))

    async def _late(self, record: Record) -> Record:
        self.gone.set()
        await self.told.wait()
        return record


@pytest.fixture
def table(tmp_path: Path) -> Iterator[SlowTable]:
    store = Store(tmp_path / "data")
    yield SlowTable(store, LIMITS)
    store.close()


@pytest.mark.parametrize("way", ["cancel", "delete"])
def test_a_watch_ends_in_what_became_of_it_when_it_ends_as_it_begins(
    table: SlowTable, way: str
) -> None:
    async def scene() -> list[AnalysisState]:
        pool = Pool()
        table.gone, table.told = asyncio.Event(), asyncio.Event()
        jobs = Jobs(table._store, table, cast(WorkerPool, pool), cores=1, prior=None)
        made = await jobs.accept(
            "a", NewAnalysis(request_id="1", incident="it", method=Method.AUTO, request=b"body")
        )
        seen: list[AnalysisState] = []

        async def watch() -> None:
            seen.extend([now.record.state async for now in jobs.watch("a", made.id)])

        watching: asyncio.Task[Any] = asyncio.create_task(watch())
        ticket = await pool.tickets.get()
        ending = asyncio.create_task(getattr(jobs, way)("a", made.id))
        await table.gone.wait()
        assert await ticket.prepare() is None  # a worker is free, and there is nothing to do
        ticket.response.cancel()
        await asyncio.sleep(0.1)
        table.told.set()
        await asyncio.wait_for(asyncio.gather(watching, ending), 10)
        await jobs.stop()
        return seen

    assert asyncio.run(scene()) == [AnalysisState.QUEUED, AnalysisState.CANCELLED]
