"""The telemetry that was received, held in memory: by tenant, bounded in bytes and in time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from bayesrca.columns.otlp import Kind, Table
from bayesrca.service.messages import CallFailedError, Failure

_TABLE_BYTES = 2048
"""What a table takes besides its columns: so that many small requests count for what they cost."""
_LONGEST_WAIT = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much is held of each tenant.

    Attributes:
        seconds: what arrived longer ago is evicted.
        n_bytes: most bytes; to make room the oldest is evicted first.
        spared_seconds: what arrived so recently is never evicted to make room: who sends more must
            wait, so that no flood can push out what there is.
    """

    seconds: float
    n_bytes: int
    spared_seconds: float


@dataclass(slots=True)
class Counts:
    """What became of a tenant's records of one kind.

    Attributes:
        received: records that were taken.
        rejected: records that were left out for what they are.
        evicted: records that were held and no longer are.
    """

    received: int = 0
    rejected: int = 0
    evicted: int = 0


@dataclass(slots=True)
class _Tenant:
    tables: deque[tuple[float, Table]] = field(default_factory=deque)
    n_bytes: int = 0
    refused: int = 0
    counts: dict[Kind, Counts] = field(default_factory=lambda: {kind: Counts() for kind in Kind})


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is held of a tenant at some moment.

    Attributes:
        tables: in the order of their arrival.
        n_bytes: what they take.
        refused: requests that had to wait for room.
        counts: of each kind, since the server began.
    """

    tables: tuple[Table, ...]
    n_bytes: int
    refused: int
    counts: dict[Kind, Counts]

    def of(self, kind: Kind) -> tuple[Table, ...]:
        """Return the tables of one kind."""
        return tuple(table for table in self.tables if table.kind is kind)


class HeldTelemetry:
    """What is held of every tenant; belongs to one thread.

    Args:
        bounds: how much.
        evicted: told how many records of a kind were evicted.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        bounds: Bounds,
        evicted: Callable[[Kind, int], None] = lambda _kind, _count: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bounds = bounds
        self._evicted = evicted
        self._clock = clock
        self._tenants: dict[str, _Tenant] = {}
        self._n_bytes = 0

    @property
    def n_bytes(self) -> int:
        """What is held of all tenants together; may be read in any thread."""
        return self._n_bytes

    def check(self, tenant: str) -> None:
        """Refuse a request before it is read, where there is no room for anything.

        Raises:
            CallFailedError: as `add`.
        """
        self._make_room(self._tenant(tenant), 1)

    def add(self, tenant: str, table: Table) -> None:
        """Hold a table; evicts what is too old, and the oldest where there is no room.

        Raises:
            CallFailedError: what would have to go arrived too recently (``TELEMETRY_FULL``), or the
                table alone is more than may be held (``TELEMETRY_TOO_LARGE``).
        """
        held = self._tenant(tenant)
        size = table.n_bytes + _TABLE_BYTES
        if size > self._bounds.n_bytes:
            message = (
                f"the request takes {size} bytes in memory, this server holds "
                f"{self._bounds.n_bytes} of a tenant; send smaller ones"
            )
            failure = Failure(reason="TELEMETRY_TOO_LARGE", message=message, retryable=False)
            raise CallFailedError(failure)
        self._make_room(held, size)
        held.tables.append((self._clock(), table))
        held.n_bytes += size
        self._n_bytes += size
        counts = held.counts[table.kind]
        counts.received += len(table)
        counts.rejected += sum(table.rejected.values())

    def look(self, tenant: str) -> Held:
        """Return what is held of a tenant."""
        held = self._tenant(tenant)
        self._expire()
        return Held(
            tables=tuple(table for _, table in held.tables),
            n_bytes=held.n_bytes,
            refused=held.refused,
            counts={
                kind: Counts(c.received, c.rejected, c.evicted) for kind, c in held.counts.items()
            },
        )

    def _tenant(self, name: str) -> _Tenant:
        # Tenants come from credentials, so nobody can invent them.
        return self._tenants.setdefault(name, _Tenant())

    def _expire(self) -> None:
        # Of all tenants: one that has gone quiet would else keep what it sent for ever.
        oldest = self._clock() - self._bounds.seconds
        for held in self._tenants.values():
            while held.tables and held.tables[0][0] < oldest:
                self._evict(held)

    def _make_room(self, held: _Tenant, size: int) -> None:
        self._expire()
        spared = self._clock() - self._bounds.spared_seconds
        while held.n_bytes + size > self._bounds.n_bytes:
            if held.tables[0][0] > spared:
                held.refused += 1
                wait = min(max(held.tables[0][0] - spared, 1.0), _LONGEST_WAIT)
                message = (
                    f"{held.n_bytes} bytes of telemetry are held and all of it arrived within the "
                    f"last {self._bounds.spared_seconds:g} s; try again later, or send less"
                )
                raise CallFailedError(
                    Failure(reason="TELEMETRY_FULL", message=message, retry_after=wait)
                )
            self._evict(held)

    def _evict(self, held: _Tenant) -> None:
        _, table = held.tables.popleft()
        size = table.n_bytes + _TABLE_BYTES
        held.n_bytes -= size
        self._n_bytes -= size
        held.counts[table.kind].evicted += len(table)
        self._evicted(table.kind, len(table))
