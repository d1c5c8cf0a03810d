"""Policies, kill switches and decisions in the store: added, never changed.

Another tenant's are treated as if they did not exist.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from bayesrca.api.v1 import decision_pb2
from bayesrca.decision import Decision, Policy, Verdict, decide, parse_policy, policy_document
from bayesrca.posterior.result import Answer
from bayesrca.service.messages import CallFailedError, Failure
from bayesrca.service.store import Store
from bayesrca.service.store_schema import DECISIONS, KILL_SWITCHES, POLICIES
from bayesrca.wire import analysis_name
from bayesrca.wire.decisions import StoredDecision, decision_id, decision_name, encode_decision
from bayesrca.wire.moments import seconds_of, to_microsecond
from bayesrca.wire.policies import KillSwitch, StoredPolicy, policy_name

MOST_POLICIES, MOST_SWITCHES = 1000, 1000
"""Versions of policies and kill switches of single runbooks that a tenant may keep."""

_P, _D, _K = POLICIES.c, DECISIONS.c, KILL_SWITCHES.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a call to decide asks.

    Attributes:
        request_id: a UUID of the caller's making, in its one form.
        analysis: id of the analysis.
        version: version of the policy; empty to take the one in force.
        runbook: the runbook whose policy in force is meant; empty where the version says.
    """

    request_id: str
    analysis: str
    version: str
    runbook: str

    @property
    def content(self) -> str:
        """All but the request's id: two questions that agree in it are the same."""
        return json.dumps([self.analysis, self.version, self.runbook])


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed[T]:
    """Something listed, with the place that pages are counted by."""

    place: int
    content: T


class DecisionTable:
    """The policies, kill switches and decisions of a store.

    Every method may raise `StoreFullError`, and has then changed nothing.

    Args:
        store: where.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create_policy(self, tenant: str, policy: Policy, creator: str) -> StoredPolicy:
        """Store a policy, unless it is, and put it in force for its runbook.

        Raises:
            CallFailedError: the tenant has `MOST_POLICIES` others (``STORAGE_QUOTA``).
        """

        def work(connection: sa.Connection) -> StoredPolicy:
            last = sa.select(sa.func.max(_P.place)).where(_P.tenant == tenant)
            place = (connection.execute(last).scalar() or 0) + 1
            again = POLICIES.update().where(_P.tenant == tenant, _P.version == policy.version)
            if connection.execute(again.values(place=place)).rowcount == 0:
                _check_room(connection, _P.tenant == tenant, MOST_POLICIES, "policies")
                row = {
                    "tenant": tenant,
                    "version": policy.version,
                    "runbook": policy.runbook,
                    "document": json.dumps(policy_document(policy), allow_nan=False),
                    "created": self._store.clock.now(),
                    "creator": creator,
                    "place": place,
                }
                connection.execute(POLICIES.insert().values(row))
            return _find_policy(connection, tenant, policy.version, "policy")

        return await self._store.write(work)

    async def get_policy(self, tenant: str, version: str) -> StoredPolicy:
        """Return a policy.

        Raises:
            CallFailedError: the tenant has none of that version (``NOT_FOUND``).
        """

        def work(connection: sa.Connection) -> StoredPolicy:
            return _find_policy(connection, tenant, version, "name")

        return await self._store.read(work)

    async def page_policies(
        self, tenant: str, runbook: str, limit: int, before: int | None
    ) -> list[Placed[StoredPolicy]]:
        """Return a tenant's policies, that created last first.

        Args:
            tenant: whose.
            runbook: only this runbook's; all when empty.
            limit: at most so many.
            before: only those of a lower place; None for all.
        """
        where = [_P.tenant == tenant]
        where += [_P.runbook == runbook] if runbook else []
        where += [] if before is None else [_P.place < before]
        return await self._store.read(lambda connection: _policies(connection, where, limit))

    async def set_switch(
        self, tenant: str, runbook: str, *, engaged: bool, reason: str, updater: str
    ) -> KillSwitch:
        """Engage or release the kill switch of a runbook, or that of all (empty).

        Raises:
            CallFailedError: the tenant has `MOST_SWITCHES` of other runbooks (``STORAGE_QUOTA``);
                that of all runbooks always has room.
        """
        switch = KillSwitch(
            runbook=runbook,
            engaged=engaged,
            reason=reason,
            updated=to_microsecond(self._store.clock.now()),
            updater=updater,
        )
        values = {"tenant": tenant, **asdict(switch)}

        def work(connection: sa.Connection) -> KillSwitch:
            mine = sa.and_(_K.tenant == tenant, _K.runbook == runbook)
            if connection.execute(KILL_SWITCHES.update().where(mine).values(values)).rowcount == 0:
                if runbook:
                    named = sa.and_(_K.tenant == tenant, _K.runbook != "")
                    _check_room(connection, named, MOST_SWITCHES, "kill switches of runbooks")
                connection.execute(KILL_SWITCHES.insert().values(values))
            return switch

        return await self._store.write(work)

    async def switches(self, tenant: str) -> list[KillSwitch]:
        """Return a tenant's switches that were ever engaged or released, by runbook."""
        query = KILL_SWITCHES.select().where(_K.tenant == tenant).order_by(_K.runbook)

        def work(connection: sa.Connection) -> list[KillSwitch]:
            rows = [dict(row) for row in connection.execute(query).mappings()]
            return [KillSwitch(**{k: v for k, v in r.items() if k != "tenant"}) for r in rows]

        return await self._store.read(work)

    async def recall(self, tenant: str, question: Question) -> bytes | None:
        """Return the decision that was made on a question; None when there is none.

        Raises:
            CallFailedError: its id came with another question (``REQUEST_ID_REUSED``), or it let
                the runbook run, which may not be any more (``RUN_WITHDRAWN``): its analysis has
                expired, or a kill switch is engaged.
        """
        now = self._store.clock.now()
        return await self._store.read(lambda connection: _recall(connection, tenant, question, now))

    async def decide(
        self, tenant: str, caller: str, question: Question, answer: Answer, analyzed: float
    ) -> tuple[bytes, Decision | None]:
        """Decide and store the decision in one transaction: no run goes uncounted.

        Args:
            tenant: whose.
            caller: name of the credential that asks.
            question: what is asked.
            answer: of the analysis.
            analyzed: when the analysis was created, in seconds of Unix time.

        Returns:
            The `Decision` message, serialised, and the decision; None where it had been made
            before.

        Raises:
            CallFailedError: there is no such policy (``NOT_FOUND``), or the id came with another
                question (``REQUEST_ID_REUSED``), or with a run that may not be any more
                (``RUN_WITHDRAWN``), as `recall`.
        """

        def work(connection: sa.Connection) -> tuple[bytes, Decision | None]:
            now = to_microsecond(self._store.clock.now())
            known = _recall(connection, tenant, question, now)
            if known is not None:
                return known, None
            policy = _asked_policy(connection, tenant, question)
            decision = decide(
                answer,
                policy,
                now=now,
                analyzed_at=to_microsecond(analyzed),
                history=_runs(connection, tenant, policy, now),
                kill_switch=_is_held(connection, tenant, policy.runbook),
            )
            stored = StoredDecision(
                name=decision_name(str(uuid.uuid4())),
                request_id=question.request_id,
                analysis=analysis_name(question.analysis),
                policy=policy_name(policy.version),
                caller=caller,
                decision=decision,
            )
            message = encode_decision(stored).SerializeToString()
            connection.execute(DECISIONS.insert().values(_row(tenant, question, stored, message)))
            return message, decision

        return await self._store.write(work)

    async def get(self, tenant: str, identity: str) -> bytes:
        """Return a decision's message, serialised.

        Raises:
            CallFailedError: the tenant has none of that id (``NOT_FOUND``).
        """
        query = sa.select(_D.message).where(_D.tenant == tenant, _D.id == identity)

        def work(connection: sa.Connection) -> bytes:
            found: bytes | None = connection.execute(query).scalar()
            if found is None:
                raise CallFailedError(_not_found(decision_name(identity), "name"))
            return found

        return await self._store.read(work)

    async def page(
        self,
        tenant: str,
        runbook: str,
        verdicts: Sequence[Verdict],
        limit: int,
        before: int | None,
    ) -> list[Placed[bytes]]:
        """Return a tenant's decisions as messages, serialised, newest first.

        Args:
            tenant: whose.
            runbook: only those about this runbook; all when empty.
            verdicts: only with one of these; all when empty.
            limit: at most so many.
            before: only those of a lower place; None for all.
        """
        query = sa.select(_D.number, _D.message).where(_D.tenant == tenant)
        if runbook:
            query = query.where(_D.runbook == runbook)
        if verdicts:
            query = query.where(_D.verdict.in_(verdicts))
        if before is not None:
            query = query.where(_D.number < before)
        query = query.order_by(_D.number.desc()).limit(limit)

        def work(connection: sa.Connection) -> list[Placed[bytes]]:
            return [Placed(place=n, content=m) for n, m in connection.execute(query)]

        return await self._store.read(work)


def _policies(
    connection: sa.Connection, where: Sequence[sa.ColumnElement[bool]], limit: int
) -> list[Placed[StoredPolicy]]:
    newer = POLICIES.alias()
    same = sa.and_(newer.c.tenant == _P.tenant, newer.c.runbook == _P.runbook)
    last = sa.select(sa.func.max(newer.c.place)).where(same).scalar_subquery()
    query = sa.select(POLICIES, (_P.place == last).label("in_force")).where(*where)
    rows = connection.execute(query.order_by(_P.place.desc()).limit(limit)).mappings()
    return [
        Placed(
            place=row["place"],
            content=StoredPolicy(
                name=policy_name(row["version"]),
                policy=parse_policy(json.loads(row["document"])),
                created=row["created"],
                creator=row["creator"],
                in_force=bool(row["in_force"]),
            ),
        )
        for row in rows
    ]


def _find_policy(connection: sa.Connection, tenant: str, version: str, field: str) -> StoredPolicy:
    found = _policies(connection, [_P.tenant == tenant, _P.version == version], 1)
    if not found:
        raise CallFailedError(_not_found(policy_name(version), field))
    return found[0].content


def _asked_policy(connection: sa.Connection, tenant: str, question: Question) -> Policy:
    if question.version:
        return _find_policy(connection, tenant, question.version, "policy").policy
    found = _policies(connection, [_P.tenant == tenant, _P.runbook == question.runbook], 1)
    if not found:
        raise CallFailedError(_not_found(f"policy for the runbook {question.runbook!r}", "runbook"))
    return found[0].content.policy


def _runs(connection: sa.Connection, tenant: str, policy: Policy, now: float) -> list[float]:
    query = sa.select(_D.decided).where(
        _D.tenant == tenant,
        _D.runbook == policy.runbook,
        _D.verdict == Verdict.RUN,
        _D.decided >= now - policy.rate_limit.window_seconds,
    )
    return list(connection.execute(query).scalars())


def _is_held(connection: sa.Connection, tenant: str, runbook: str) -> bool:
    query = sa.select(sa.func.count()).where(
        _K.tenant == tenant, _K.runbook.in_(["", runbook]), _K.engaged
    )
    return connection.execute(query).scalar_one() > 0


def _recall(connection: sa.Connection, tenant: str, question: Question, now: float) -> bytes | None:
    query = sa.select(_D.request, _D.message).where(
        _D.tenant == tenant, _D.request_id == question.request_id
    )
    found = connection.execute(query).one_or_none()
    if found is None:
        return None
    request, content = str(found[0]), bytes(found[1])
    if request != question.content:
        raise CallFailedError(_REUSED)
    message = decision_pb2.Decision.FromString(content)
    over = now > seconds_of(message.expire_time) or _is_held(connection, tenant, message.runbook)
    # Whoever asks again has not acted yet, and must not any more.
    if over and message.verdict == decision_pb2.VERDICT_RUN:
        raise CallFailedError(_WITHDRAWN)
    return content


def _row(tenant: str, question: Question, stored: StoredDecision, message: bytes) -> dict[str, Any]:
    decision = stored.decision
    return {
        "id": decision_id(stored.name),
        "tenant": tenant,
        "request_id": question.request_id,
        "request": question.content,
        "runbook": decision.runbook,
        "verdict": decision.verdict,
        "decided": decision.now,
        "analysis": question.analysis,
        "answer_hash": decision.answer_hash,
        "policy": decision.policy_version,
        "caller": stored.caller,
        "message": message,
    }


def _check_room(
    connection: sa.Connection, where: sa.ColumnElement[bool], most: int, what: str
) -> None:
    if connection.execute(sa.select(sa.func.count()).where(where)).scalar_one() >= most:
        failure = Failure(
            reason="STORAGE_QUOTA",
            message=f"this tenant keeps {most} {what}, and may keep no more",
            retryable=False,
        )
        raise CallFailedError(failure)


def _not_found(what: str, field: str) -> Failure:
    return Failure(reason="NOT_FOUND", message=f"there is no {what}", field=field)


_REUSED = Failure(
    reason="REQUEST_ID_REUSED",
    message="something else was decided with this request_id; make a new id",
    field="request_id",
    retryable=False,
)
_WITHDRAWN = Failure(
    reason="RUN_WITHDRAWN",
    message="this question was decided with RUN, but its analysis has expired since, or a kill "
    "switch is engaged: do not act",
    field="request_id",
    retryable=False,
)
