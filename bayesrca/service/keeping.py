"""Stored analyses as one part of a server: opened, served, drained, closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc

from bayesrca.config import LearnedPrior
from bayesrca.decision import Verdict
from bayesrca.errors import ServiceError
from bayesrca.service.analyses import AnalysisHandlers
from bayesrca.service.decisions import DecisionHandlers
from bayesrca.service.inspections import InspectionHandlers
from bayesrca.service.jobs import Jobs
from bayesrca.service.messages import CallFailedError
from bayesrca.service.options import ServiceOptions
from bayesrca.service.pool import WorkerPool
from bayesrca.service.records import Limits, NewAnalysis, Record
from bayesrca.service.saved_files import SavedFiles, SavingLimits
from bayesrca.service.sourcing import NO_STORE, Sourcing
from bayesrca.service.store import Store
from bayesrca.service.store_analyses import AnalysisTable
from bayesrca.service.store_decisions import DecisionTable


class Keeping:
    """The store of a server with the analyses in it, or their absence.

    Args:
        options: where and how much to store; nothing without a ``data_dir``.
        pool: computes the analyses.
        prior: the learned prior they use; None for the built-in one.
        lock: the folder's lock, if it has been taken already.

    Attributes:
        store: the open store; None without a ``data_dir``.

    Raises:
        ServiceError: the store cannot be used (``STORE_IN_USE``, ``STORE_UNUSABLE``).
    """

    def __init__(
        self,
        options: ServiceOptions,
        pool: WorkerPool,
        prior: LearnedPrior | None,
        lock: int | None = None,
    ) -> None:
        self._pool = pool
        self.store: Store | None = None
        self._table: AnalysisTable | None = None
        self._decisions: DecisionTable | None = None
        self._jobs: Jobs | None = None
        if options.data_dir is None:
            return
        limits = Limits(
            pending=options.tenant_pending,
            tenant_bytes=options.tenant_bytes,
            retain_seconds=options.retain_seconds,
            retain_bytes=options.retain_bytes,
        )
        self.store = Store(options.data_dir, lock=lock)
        self._table = AnalysisTable(self.store, limits)
        self._decisions = DecisionTable(self.store)
        self._jobs = Jobs(self.store, self._table, pool, cores=options.cores, prior=prior)

    def rpcs(self, sourcing: Sourcing) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
        """Return the handlers of the rpcs about stored analyses, by name.

        Args:
            sourcing: makes the incidents of requests that name a source.
        """
        stored = AnalysisHandlers(self._table, self._jobs, self._pool, sourcing)
        draws = InspectionHandlers(self.store, self._table, self._pool)
        return stored.rpcs() | draws.rpcs()

    def decision_rpcs(
        self, decided: Callable[[Verdict], None]
    ) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
        """Return the handlers of the rpcs about decisions, by name.

        Args:
            decided: told the verdict of every decision that is made.
        """
        return DecisionHandlers(self._decisions, self._table, decided).rpcs()

    async def find(self, tenant: str, request_id: str) -> Record | None:
        """Return the analysis that a tenant's request of this id opened; None when there is none.

        Raises:
            CallFailedError: this server keeps nothing (``NO_STORE``).
        """
        return await self._kept()[0].find(tenant, request_id)

    async def accept(self, tenant: str, new: NewAnalysis) -> Record:
        """Store a request and see it through; as `Jobs.accept`.

        Raises:
            CallFailedError: likewise, or this server keeps nothing (``NO_STORE``).
        """
        return await self._kept()[1].accept(tenant, new)

    def _kept(self) -> tuple[AnalysisTable, Jobs]:
        if self._table is None or self._jobs is None:
            raise CallFailedError(NO_STORE)
        return self._table, self._jobs

    def saved_files(self, options: ServiceOptions) -> SavedFiles | None:
        """Return what holds saved telemetry; None where this server keeps nothing.

        Raises:
            ServiceError: its folder cannot be used (``STORE_UNUSABLE``).
        """
        if self.store is None:
            return None
        limits = SavingLimits(
            tenant_bytes=options.telemetry_saved_bytes, retain_seconds=options.retain_seconds
        )
        try:
            return SavedFiles(self.store.folder, limits, self.store.clock)
        except OSError as error:
            msg = f"the data directory {self.store.folder} cannot be used: {error}"
            raise ServiceError(msg, reason="STORE_UNUSABLE") from error

    async def start(self) -> str:
        """Put in order what an earlier server left, before any call; return a line for people."""
        if self.store is None or self._jobs is None:
            return "no data directory: analyses are answered, not stored"
        left = await self._jobs.start()
        return f"analyses are stored in {self.store.folder}; {left} are taken up again"

    async def stop(self) -> None:
        """Queue for the next server what the pool has not finished; may be called twice."""
        if self._jobs is not None:
            await self._jobs.stop()

    async def close(self) -> None:
        """Close the store; calls that need it get ``DRAINING``. May be called twice."""
        if self.store is not None:
            await asyncio.to_thread(self.store.close)
