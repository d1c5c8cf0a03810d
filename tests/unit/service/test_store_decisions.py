"""Policies, kill switches and decisions in the store."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bayesrca.api.v1 import decision_pb2
from bayesrca.decision import Policy, Verdict, decide, parse_policy
from bayesrca.service.messages import CallFailedError
from bayesrca.service.store import Clock, Store, StoreFullError
from bayesrca.service.store_decisions import DecisionTable, Question
from bayesrca.wire.decisions import StoredDecision, decode_decision
from bayesrca.wire.policies import policy_name
from tests.unit.decision.kit import make_answer, policy_table

ANSWER = make_answer({"a": 0.9375, "b": 0.03125})


class Hand:
    """A clock's hand, moved by the test."""

    def __init__(self) -> None:
        self.steady = 50.0

    def clock(self) -> Clock:
        return Clock(lambda: 1e9, lambda: self.steady)


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def store(tmp_path: Path, hand: Hand) -> Iterator[Store]:
    store = Store(tmp_path / "data", hand.clock())
    yield store
    store.close()


@pytest.fixture
def table(store: Store) -> DecisionTable:
    return DecisionTable(store)


def run[T](work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def policy(**changes: Any) -> Policy:  # noqa: ANN401
    return parse_policy(policy_table(**changes))


def create(table: DecisionTable, tenant: str = "t", **changes: Any) -> Policy:  # noqa: ANN401
    return run(table.create_policy(tenant, policy(**changes), "ops")).policy


def question(runbook: str = "restart", version: str = "", request_id: str = "") -> Question:
    return Question(
        request_id=request_id or str(uuid.uuid4()),
        analysis="1",
        version=version,
        runbook="" if version else runbook,
    )


def ask(
    table: DecisionTable, asked: Question | None = None, tenant: str = "t", analyzed: float = 1e9
) -> StoredDecision:
    work = table.decide(tenant, "bot", asked or question(), ANSWER, analyzed)
    return decode_decision(decision_pb2.Decision.FromString(run(work)[0]))


def verdict(table: DecisionTable, **given: Any) -> Verdict:  # noqa: ANN401
    return ask(table, **given).decision.verdict


def failure_of(work: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(CallFailedError) as caught:
        work()
    return caught.value.failure.reason, caught.value.failure.field


def test_a_policy_is_stored_once(table: DecisionTable, hand: Hand) -> None:
    first = run(table.create_policy("t", policy(), "ops"))
    assert first.name == policy_name(policy().version)
    assert (first.created, first.creator, first.in_force) == (1e9, "ops", True)
    hand.steady += 5.0
    assert run(table.create_policy("t", policy(), "others")) == first
    assert run(table.get_policy("t", policy().version)) == first


def test_the_policy_created_last_is_in_force(table: DecisionTable) -> None:
    old, new, other = (
        create(table), create(table, reversible=False), create(table, runbook="scale"),
    )  # fmt: skip

    def in_force() -> set[str]:
        return {p.content.name for p in run(table.page_policies("t", "", 9, None))
                if p.content.in_force}  # fmt: skip

    assert in_force() == {policy_name(new.version), policy_name(other.version)}
    assert ask(table).policy == policy_name(new.version)
    assert ask(table).decision.verdict is Verdict.REVIEW
    assert verdict(table, asked=question(version=old.version)) is Verdict.RUN
    create(table)
    assert in_force() == {policy_name(old.version), policy_name(other.version)}
    assert verdict(table) is Verdict.RUN


def test_policies_are_listed_last_created_first(table: DecisionTable) -> None:
    made = [create(table, max_age_seconds=n) for n in (10, 20, 30)]
    create(table, runbook="scale")
    create(table, tenant="u", max_age_seconds=40)
    create(table, max_age_seconds=10)

    def page(limit: int, before: int | None) -> list[tuple[int, str]]:
        found = run(table.page_policies("t", "restart", limit, before))
        return [(p.place, p.content.policy.version) for p in found]

    first = page(2, None)
    assert [version for _, version in first] == [made[0].version, made[2].version]
    assert [version for _, version in page(9, first[-1][0])] == [made[1].version]


def test_a_decision_is_that_of_the_gate(table: DecisionTable, hand: Hand) -> None:
    p = create(table)
    hand.steady += 100.0
    stored = ask(table)
    d = stored.decision
    assert d == decide(ANSWER, p, now=1e9 + 100.0, analyzed_at=1e9, history=(), kill_switch=False)
    assert (stored.caller, stored.analysis) == ("bot", "analyses/1")
    hand.steady += 3.0
    second = ask(table).decision
    assert second.recent_runs == (1e9 + 100.0,)
    third = ask(table).decision
    assert third.verdict is Verdict.HOLD
    assert [c.name for c in third.reasons] == ["rate_limit"]


def test_the_rate_is_of_the_runbook_whatever_its_policy(table: DecisionTable, hand: Hand) -> None:
    create(table)
    assert [verdict(table) for _ in range(3)] == ["run", "run", "hold"]
    other = create(table, max_age_seconds=1023)
    assert verdict(table, asked=question(version=other.version)) is Verdict.HOLD
    create(table, runbook="scale")
    assert verdict(table, asked=question("scale")) is Verdict.RUN
    create(table, tenant="u")
    assert verdict(table, tenant="u") is Verdict.RUN
    # The window's end counts.
    hand.steady += 4096.0
    assert verdict(table, analyzed=1e9 + 4000) is Verdict.HOLD
    hand.steady += 0.001
    assert verdict(table, analyzed=1e9 + 4000) is Verdict.RUN


def test_what_did_not_run_does_not_count(table: DecisionTable) -> None:
    create(table)
    run(table.set_switch("t", "", engaged=True, reason="", updater="me"))
    assert {verdict(table) for _ in range(4)} == {Verdict.HOLD}
    run(table.set_switch("t", "", engaged=False, reason="", updater="me"))
    assert verdict(table) is Verdict.RUN


def test_a_question_is_answered_once(table: DecisionTable) -> None:
    create(table)
    asked = question(request_id="r")
    first = ask(table, asked)
    again, decision = run(table.decide("t", "other bot", asked, ANSWER, 5.0))
    assert decision is None
    assert decode_decision(decision_pb2.Decision.FromString(again)) == first
    assert run(table.recall("t", asked)) == again
    assert run(table.recall("u", asked)) is None
    other = question("scale", request_id="r")
    for work in (table.decide("t", "bot", other, ANSWER, 1e9), table.recall("t", other)):
        assert failure_of(lambda work=work: run(work)) == ("REQUEST_ID_REUSED", "request_id")  # type: ignore[misc]


@pytest.mark.parametrize("runbook", ["restart", ""])
def test_a_run_is_not_told_again_while_a_switch_holds(table: DecisionTable, runbook: str) -> None:
    create(table)
    asked = question()
    first = ask(table, asked)
    assert first.decision.verdict is Verdict.RUN
    switch = partial(table.set_switch, "t", runbook, reason="", updater="ops")
    run(switch(engaged=True))
    for work in (table.decide("t", "bot", asked, ANSWER, 1e9), table.recall("t", asked)):
        assert failure_of(lambda work=work: run(work)) == ("RUN_WITHDRAWN", "request_id")  # type: ignore[misc]
    run(switch(engaged=False))
    assert ask(table, asked) == first


def test_a_run_is_not_told_again_when_its_analysis_has_expired(
    table: DecisionTable, hand: Hand
) -> None:
    create(table, max_age_seconds=64)
    ran, held = question(), question()
    first = ask(table, ran)
    assert ask(table, held, analyzed=0.0).decision.verdict is Verdict.HOLD
    hand.steady += 64.0  # exactly: it still may
    assert ask(table, ran) == first
    hand.steady += 1.0
    for work in (table.decide("t", "bot", ran, ANSWER, 1e9), table.recall("t", ran)):
        assert failure_of(lambda work=work: run(work)) == ("RUN_WITHDRAWN", "request_id")  # type: ignore[misc]
    assert ask(table, held, analyzed=0.0).decision.verdict is Verdict.HOLD


def test_calls_at_once_do_not_exceed_the_rate(table: DecisionTable) -> None:
    create(table)

    async def many() -> list[Verdict]:
        asked = [table.decide("t", "bot", question(), ANSWER, 1e9) for _ in range(12)]
        made = await asyncio.gather(*asked)
        return [decision.verdict for _, decision in made if decision is not None]

    assert sorted(run(many())) == ["hold"] * 10 + ["run"] * 2


@pytest.mark.parametrize(
    ("held", "asked", "expected"),
    [
        ("", "restart", Verdict.HOLD),
        ("restart", "restart", Verdict.HOLD),
        ("scale", "restart", Verdict.RUN),
    ],
)
def test_a_switch_holds_its_runbook_or_all(
    table: DecisionTable, held: str, asked: str, expected: Verdict
) -> None:
    create(table)
    run(table.set_switch("t", held, engaged=True, reason="drill", updater="me"))
    found = ask(table, question(asked)).decision
    assert (found.verdict, found.kill_switch) == (expected, expected is Verdict.HOLD)


def test_both_switches_have_to_be_released(table: DecisionTable, hand: Hand) -> None:
    create(table)
    for runbook in ("", "restart"):
        run(table.set_switch("t", runbook, engaged=True, reason="drill", updater="me"))
    hand.steady += 1.0
    run(table.set_switch("t", "", engaged=False, reason="over", updater="you"))
    assert verdict(table) is Verdict.HOLD
    every, one = run(table.switches("t"))
    assert (every.runbook, every.engaged, every.reason) == ("", False, "over")
    assert (every.updated, every.updater) == (1e9 + 1.0, "you")
    assert (one.runbook, one.engaged, one.updated) == ("restart", True, 1e9)
    run(table.set_switch("t", "restart", engaged=False, reason="", updater="you"))
    assert verdict(table) is Verdict.RUN


def refused(work: Coroutine[Any, Any, object]) -> str:
    with pytest.raises(CallFailedError) as caught:
        run(work)
    return caught.value.failure.reason


def test_policies_and_switches_have_limits(
    table: DecisionTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bayesrca.service.store_decisions.MOST_POLICIES", 2)
    monkeypatch.setattr("bayesrca.service.store_decisions.MOST_SWITCHES", 2)
    for seconds in (60, 120):
        create(table, max_age_seconds=seconds)
    third = policy(max_age_seconds=180)
    assert refused(table.create_policy("t", third, "ops")) == "STORAGE_QUOTA"
    create(table, max_age_seconds=60)  # one that is there needs no room
    create(table, "u", max_age_seconds=180)

    def engage(runbook: str) -> Coroutine[Any, Any, object]:
        return table.set_switch("t", runbook, engaged=True, reason="", updater="me")

    for runbook in ("one", "two"):
        run(engage(runbook))
    assert refused(engage("three")) == "STORAGE_QUOTA"
    run(engage("two"))
    run(engage(""))  # the one that stops everything


def test_what_is_another_tenants_does_not_exist(table: DecisionTable) -> None:
    p = create(table)
    stored = ask(table)
    run(table.set_switch("t", "", engaged=True, reason="", updater="me"))
    identity = stored.name.removeprefix("decisions/")
    assert failure_of(lambda: run(table.get("u", identity))) == ("NOT_FOUND", "name")
    assert failure_of(lambda: run(table.get_policy("u", p.version))) == ("NOT_FOUND", "name")
    assert failure_of(lambda: ask(table, tenant="u")) == ("NOT_FOUND", "runbook")
    version = question(version=p.version)
    assert failure_of(lambda: ask(table, version, tenant="u")) == ("NOT_FOUND", "policy")
    assert run(table.page("u", "", (), 9, None)) == []
    assert run(table.page_policies("u", "", 9, None)) == []
    assert run(table.switches("u")) == []
    create(table, tenant="u")
    assert verdict(table, tenant="u") is Verdict.RUN


def test_decisions_are_listed_newest_first(table: DecisionTable) -> None:
    create(table)
    create(table, runbook="scale")
    made = [ask(table), ask(table, question("scale")), ask(table), ask(table)]

    def names(runbook: str, *verdicts: Verdict, limit: int = 9, before: int | None = None) -> Any:  # noqa: ANN401
        found = run(table.page("t", runbook, verdicts, limit, before))
        return [decode_decision(decision_pb2.Decision.FromString(p.content)) for p in found]

    assert names("") == made[::-1]
    assert names("scale") == [made[1]]
    assert names("restart", Verdict.HOLD) == [made[3]]
    assert names("", Verdict.HOLD, Verdict.RUN) == made[::-1]
    (newest, second) = run(table.page("t", "", (), 2, None))
    assert names("", before=second.place) == made[1::-1]
    assert newest.place > second.place
    assert run(table.get("t", made[0].name.removeprefix("decisions/")))


def test_all_of_it_outlives_the_server(store: Store, table: DecisionTable, hand: Hand) -> None:
    create(table)
    kept = [ask(table), ask(table)]
    run(table.set_switch("t", "x", engaged=True, reason="", updater="me"))
    store.close()
    again = Store(store.folder, hand.clock())
    after = DecisionTable(again)
    assert verdict(after) is Verdict.HOLD
    found = run(after.page("t", "", (Verdict.RUN,), 9, None))
    assert [decode_decision(decision_pb2.Decision.FromString(p.content)) for p in found] == kept[
        ::-1
    ]
    assert len(run(after.switches("t"))) == 1
    again.close()


def test_a_full_disk_decides_nothing(store: Store, table: DecisionTable) -> None:
    create(table)

    def limit(pages: str) -> Callable[[sa.Connection], None]:
        def work(connection: sa.Connection) -> None:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

        return work

    run(store.write(limit("1")))  # what there is stays
    made: list[str] = []
    asked = question()
    with pytest.raises(StoreFullError):
        for _ in range(99):  # until the last page is full
            asked = question()
            made.append(ask(table, asked).name)
    run(store.write(limit("1000000")))
    listed = run(table.page("t", "", (), 99, None))
    assert len(listed) == len(made)
    assert run(table.recall("t", asked)) is None
    assert ask(table, asked).name not in made
