"""Analyses in the store: accepted once, run at most twice, changed only along their states."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from bayesrca.service.artefacts import ArtefactLostError, is_no_space
from bayesrca.service.messages import CallFailedError, Failure
from bayesrca.service.records import Limits, NewAnalysis, Record, Result
from bayesrca.service.store import Store, StoreFullError
from bayesrca.service.store_schema import ANALYSES, PENDING
from bayesrca.wire import AnalysisState

MOST_ATTEMPTS = 2
"""How often an analysis is begun; one that ended two workers or servers may well end a third."""

_T = ANALYSES.c


class AnalysisTable:
    """The analyses of a store.

    Every method may raise `StoreFullError`, and has then changed nothing. Those that take a tenant
    treat another tenant's analysis as one that does not exist.

    Args:
        store: where.
        limits: how much.
    """

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._files = store.artefacts
        self._limits = limits

    async def accept(self, tenant: str, new: NewAnalysis) -> Record:
        """Store a request for good, once for each `request_id` of a tenant, and return what is.

        Raises:
            CallFailedError: the id came with another request before (``REQUEST_ID_REUSED``), or the
                tenant has too much waiting (``TOO_MANY_PENDING``) or stored (``STORAGE_QUOTA``).
        """
        sha256 = hashlib.sha256(new.request).hexdigest()

        def work(connection: sa.Connection) -> Record:
            mine = sa.and_(_T.tenant == tenant, _T.request_id == new.request_id)
            known = _one(connection, mine)
            if known is not None:
                if known.request != sha256:
                    raise CallFailedError(REUSED)
                return known
            self._check_quota(connection, tenant, len(new.request))
            self._put(tenant, new.request)
            identity = str(uuid.uuid4())
            row = {
                "id": identity,
                "tenant": tenant,
                "request_id": new.request_id,
                "incident": new.incident,
                "method": new.method,
                "state": AnalysisState.QUEUED,
                "attempt": 0,
                "created": self._store.clock.now(),
                "request": sha256,
                "draws_bytes": 0,
                "stored_bytes": len(new.request),
                "reason": "",
                "message": "",
                "field": "",
                "error_id": "",
            }
            connection.execute(ANALYSES.insert().values(row))
            return _existing(connection, identity)

        return await self._store.write(work)

    async def check_room(self, tenant: str) -> None:
        """Refuse a tenant that could store no further analysis, however small.

        Raises:
            CallFailedError: it has too much waiting or stored, as `accept` says.
        """
        await self._store.read(lambda connection: self._check_quota(connection, tenant, 0))

    async def get(self, tenant: str, identity: str) -> Record:
        """Return an analysis.

        Raises:
            CallFailedError: the tenant has none of that id (``NOT_FOUND``).
        """
        return await self._store.read(lambda connection: _find(connection, tenant, identity))

    async def find(self, tenant: str, request_id: str) -> Record | None:
        """Return the analysis that a tenant's request of this id opened, None for none."""
        query = ANALYSES.select().where(_T.tenant == tenant, _T.request_id == request_id)
        found = await self._store.read(lambda connection: _records(connection, query))
        return found[0] if found else None

    async def page(
        self, tenant: str, states: Sequence[AnalysisState], limit: int, before: int | None
    ) -> list[Record]:
        """Return a tenant's analyses, newest first.

        Args:
            tenant: whose.
            states: only these; all when empty.
            limit: at most so many.
            before: only those accepted before this number; None for all.
        """
        query = ANALYSES.select().where(_T.tenant == tenant)
        if states:
            query = query.where(_T.state.in_(states))
        if before is not None:
            query = query.where(_T.number < before)
        query = query.order_by(_T.number.desc()).limit(limit)
        return await self._store.read(lambda connection: _records(connection, query))

    async def read(self, record: Record, sha256: str) -> bytes:
        """Return one of an analysis's artefacts.

        Raises:
            ArtefactLostError: it is gone or damaged.
            CallFailedError: the analysis has been removed meanwhile (``NOT_FOUND``).
        """
        try:
            return await self._store.aside(lambda: self._files.read(record.tenant, sha256))
        except ArtefactLostError:
            await self.get(record.tenant, record.id)
            raise

    async def start(self, identity: str) -> Record | None:
        """Begin an attempt at a queued analysis; None when it is queued no more."""

        def work(connection: sa.Connection) -> Record | None:
            return _change(
                connection,
                sa.and_(_T.id == identity, _T.state == AnalysisState.QUEUED),
                state=AnalysisState.RUNNING,
                attempt=_T.attempt + 1,
                started=self._store.clock.now(),
            )

        return await self._store.write(work)

    async def succeed(self, record: Record, result: Result) -> Record | None:
        """Store the result of an attempt; None when the attempt counts no more."""

        def work(connection: sa.Connection) -> Record | None:
            if _one(connection, _attempt(record)) is None:
                return None
            answer = self._put(record.tenant, result.answer)
            try:
                self._files.adopt(record.tenant, result.draws, result.draws_sha256)
            except OSError as error:
                raise _told(error) from error
            return _change(
                connection,
                _attempt(record),
                state=AnalysisState.SUCCEEDED,
                finished=self._store.clock.now(),
                answer=answer,
                draws=result.draws_sha256,
                draws_bytes=result.draws_bytes,
                stored_bytes=_T.stored_bytes + len(result.answer) + result.draws_bytes,
            )

        return await self._store.write(work)

    async def fail(self, record: Record, failure: Failure) -> Record | None:
        """End an attempt without a result; None when the attempt counts no more."""
        return await self._store.write(lambda connection: self._fail(connection, record, failure))

    async def put_back(self, record: Record, *, counted: bool) -> Record | None:
        """Queue an analysis again, or fail it when it has had its attempts.

        Args:
            record: as it was begun.
            counted: whether the attempt that ended counts; one the server gave up itself does not.

        Returns:
            The analysis as it is now; None when the attempt counts no more.
        """

        def work(connection: sa.Connection) -> Record | None:
            if counted and record.attempt >= MOST_ATTEMPTS:
                return self._fail(connection, record, POISON)
            attempt = record.attempt - (0 if counted else 1)
            return _change(
                connection, _attempt(record), state=AnalysisState.QUEUED, attempt=attempt
            )

        return await self._store.write(work)

    async def cancel(self, tenant: str, identity: str) -> Record:
        """Cancel an analysis that has not ended; one that has is left as it is.

        Raises:
            CallFailedError: the tenant has none of that id (``NOT_FOUND``).
        """

        def work(connection: sa.Connection) -> Record:
            found = _find(connection, tenant, identity)
            changed = _change(
                connection,
                sa.and_(_T.id == identity, _T.state.in_(PENDING)),
                state=AnalysisState.CANCELLED,
                finished=self._store.clock.now(),
            )
            return changed or found

        return await self._store.write(work)

    async def delete(self, tenant: str, identity: str) -> Record:
        """Remove an analysis with its artefacts, in whatever state; return what it was.

        Raises:
            CallFailedError: the tenant has none of that id (``NOT_FOUND``).
        """

        def work(connection: sa.Connection) -> Record:
            found = _find(connection, tenant, identity)
            connection.execute(ANALYSES.delete().where(_T.number == found.number))
            return found

        found = await self._store.write(work)
        await self._forget([found])
        return found

    async def recover(self) -> list[Record]:
        """Queue what was running when the last server ended; return all that is to be run.

        What has had its attempts fails. Files that no analysis names are removed. To be called
        before anything else.
        """

        def work(connection: sa.Connection) -> list[Record]:
            running = ANALYSES.select().where(_T.state == AnalysisState.RUNNING)
            for record in _records(connection, running):
                if record.attempt >= MOST_ATTEMPTS:
                    self._fail(connection, record, POISON)
                else:
                    _change(connection, _attempt(record), state=AnalysisState.QUEUED)
            every = _records(connection, ANALYSES.select().order_by(_T.number))
            self._files.sweep((r.tenant, sha) for r in every for sha in r.artefacts)
            return [r for r in every if r.state is AnalysisState.QUEUED]

        return await self._store.write(work)

    async def expire(self) -> int:
        """Remove the finished analyses that are too old, and the oldest while there is too much.

        Returns:
            How many.
        """
        ended = ANALYSES.select().where(_T.state.not_in(PENDING))

        def work(connection: sa.Connection) -> list[Record]:
            oldest = self._store.clock.now() - self._limits.retain_seconds
            removed = _records(connection, ended.where(_T.finished < oldest))
            total = connection.execute(sa.select(sa.func.sum(_T.stored_bytes))).scalar() or 0
            excess = total - sum(r.stored_bytes for r in removed) - self._limits.retain_bytes
            if excess > 0:
                younger = ended.where(_T.finished >= oldest).order_by(_T.number)
                for record in _records(connection, younger):
                    removed.append(record)
                    excess -= record.stored_bytes
                    if excess <= 0:
                        break
            for record in removed:
                connection.execute(ANALYSES.delete().where(_T.number == record.number))
            return removed

        removed = await self._store.write(work)
        await self._forget(removed)
        return len(removed)

    def _put(self, tenant: str, content: bytes) -> str:
        try:
            return self._files.put(tenant, content)
        except OSError as error:
            raise _told(error) from error

    def _check_quota(self, connection: sa.Connection, tenant: str, size: int) -> None:
        mine = sa.select(sa.func.count()).where(_T.tenant == tenant, _T.state.in_(PENDING))
        pending = connection.execute(mine).scalar_one()
        held = sa.select(sa.func.sum(_T.stored_bytes)).where(_T.tenant == tenant)
        stored = connection.execute(held).scalar() or 0
        failure = None
        if pending >= self._limits.pending:
            failure = Failure(
                reason="TOO_MANY_PENDING",
                message=f"{pending} analyses of this tenant wait or run already, and "
                f"{self._limits.pending} may; come back when some have ended",
                retry_after=5.0,
            )
        elif stored + size > self._limits.tenant_bytes:
            failure = Failure(
                reason="STORAGE_QUOTA",
                message=f"this tenant's analyses hold {stored} bytes and may hold "
                f"{self._limits.tenant_bytes}; delete some (DeleteAnalysis)",
                retryable=False,
            )
        if failure is not None:
            raise CallFailedError(failure)

    def _fail(self, connection: sa.Connection, record: Record, why: Failure) -> Record | None:
        return _change(
            connection,
            _attempt(record),
            state=AnalysisState.FAILED,
            finished=self._store.clock.now(),
            reason=why.reason,
            message=why.message,
            field=why.field,
            error_id=why.error_id,
        )

    async def _forget(self, records: Sequence[Record]) -> None:
        """Remove the files of analyses that are gone for good, but those that others name too.

        A transaction of its own: were they removed in the one that removes the rows, a commit that
        fails would leave rows without files.
        """

        def work(connection: sa.Connection) -> None:
            for record in records:
                for sha256 in record.artefacts:
                    names = sa.or_(_T.request == sha256, _T.answer == sha256, _T.draws == sha256)
                    if _one(connection, sa.and_(_T.tenant == record.tenant, names)) is None:
                        self._files.remove(record.tenant, sha256)

        await self._store.write(work)


def _records(connection: sa.Connection, query: sa.Select[Any]) -> list[Record]:
    rows = connection.execute(query).mappings()
    return [Record(**{**row, "state": AnalysisState(row["state"])}) for row in rows]


def _one(connection: sa.Connection, where: sa.ColumnElement[bool]) -> Record | None:
    found = _records(connection, ANALYSES.select().where(where).limit(1))
    return found[0] if found else None


def _existing(connection: sa.Connection, identity: str) -> Record:
    (record,) = _records(connection, ANALYSES.select().where(_T.id == identity))
    return record


def _find(connection: sa.Connection, tenant: str, identity: str) -> Record:
    found = _one(connection, sa.and_(_T.tenant == tenant, _T.id == identity))
    if found is None:
        raise CallFailedError(not_found(identity))
    return found


def _attempt(record: Record) -> sa.ColumnElement[bool]:
    """The row, as long as this attempt at it is the one that counts."""
    return sa.and_(
        _T.number == record.number,
        _T.attempt == record.attempt,
        _T.state == AnalysisState.RUNNING,
    )


def _change(
    connection: sa.Connection,
    where: sa.ColumnElement[bool],
    **values: Any,  # noqa: ANN401  whatever the columns hold
) -> Record | None:
    """Change one row, if it is as it should be, and return it."""
    changed = connection.execute(ANALYSES.update().where(where).values(values).returning(_T.id))
    identity = changed.scalar_one_or_none()
    return None if identity is None else _existing(connection, identity)


def _told(error: OSError) -> Exception:
    return StoreFullError(str(error)) if is_no_space(error) else error


def not_found(identity: str) -> Failure:
    """Return the failure that also hides another tenant's analysis."""
    return Failure(
        reason="NOT_FOUND", message=f"there is no analysis analyses/{identity}", field="name"
    )


POISON = Failure(
    reason="WORKER_LOST",
    message=f"the worker or the server ended in the middle of each of {MOST_ATTEMPTS} attempts; "
    "the analysis may need more memory than there is",
)
REUSED = Failure(
    reason="REQUEST_ID_REUSED",
    message="an analysis was created with this request_id from another request; make a new id",
    field="request_id",
    retryable=False,
)
