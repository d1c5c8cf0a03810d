"""The store: what was accepted stays, and nothing is half there."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bayesrca.config import Method
from bayesrca.errors import ServiceError
from bayesrca.service import store_schema
from bayesrca.service.artefacts import ArtefactLostError, write_through
from bayesrca.service.messages import CallFailedError, Failure
from bayesrca.service.records import Limits, NewAnalysis, Record, Result
from bayesrca.service.store import Clock, Store, StoreFullError
from bayesrca.service.store_analyses import AnalysisTable
from bayesrca.service.store_schema import METADATA, STEPS
from bayesrca.wire import AnalysisState

LIMITS = Limits(pending=3, tenant_bytes=10_000, retain_seconds=100.0, retain_bytes=10_000)


class Hand:
    """A clock's hand, moved by the test."""

    def __init__(self) -> None:
        self.wall, self.steady = 1e9, 50.0

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.steady)


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def store(tmp_path: Path, hand: Hand) -> Iterator[Store]:
    store = Store(tmp_path / "data", hand.clock())
    yield store
    store.close()


@pytest.fixture
def table(store: Store) -> AnalysisTable:
    return AnalysisTable(store, LIMITS)


def run[T](work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def new(request: str, body: bytes = b"body") -> NewAnalysis:
    return NewAnalysis(request_id=request, incident="an incident", method=Method.AUTO, request=body)


def accept(table: AnalysisTable, request: str, body: bytes = b"body", tenant: str = "a") -> Record:
    return run(table.accept(tenant, new(request, body)))


def started(table: AnalysisTable, record: Record) -> Record:
    begun = run(table.start(record.id))
    assert begun is not None
    return begun


def result(store: Store, answer: bytes = b"answer", draws: bytes = b"draws") -> Result:
    draft = store.artefacts.draft()
    write_through(draft, draws)
    sha256 = hashlib.sha256(draws).hexdigest()
    return Result(answer=answer, draws=draft, draws_sha256=sha256, draws_bytes=len(draws))


def reason_of(work: Callable[[], object]) -> str:
    with pytest.raises(CallFailedError) as caught:
        work()
    return caught.value.failure.reason


def files(store: Store) -> set[str]:
    return {p.name for p in (store.folder / "artefacts").rglob("*") if p.is_file()}


def test_the_steps_make_what_the_tables_declare(store: Store) -> None:
    def compare(connection: sa.Connection) -> None:
        seen = sa.MetaData()
        seen.reflect(connection)
        for name, table in METADATA.tables.items():
            made = seen.tables[name]
            assert {(c.name, str(c.type), c.nullable) for c in made.columns} == {
                (c.name, str(c.type), c.nullable) for c in table.columns
            }
            assert {i.name for i in made.indexes} == {i.name for i in table.indexes}

    run(store.read(compare))
    assert store.version == len(STEPS)


def test_it_is_durable_and_can_be_read_while_written(store: Store) -> None:
    def pragma(name: str) -> object:
        return run(store.read(lambda c: c.exec_driver_sql(f"PRAGMA {name}").scalar()))

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2  # FULL: a commit is on the disk


def test_an_older_store_is_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(tmp_path).close()
    further = (*STEPS, ("CREATE TABLE later (x INTEGER)",))
    monkeypatch.setattr(store_schema, "STEPS", further)
    store = Store(tmp_path)
    assert store.version == len(further)
    assert run(store.read(lambda c: c.exec_driver_sql("SELECT count(*) FROM later").scalar())) == 0
    store.close()
    monkeypatch.setattr(store_schema, "STEPS", STEPS)
    with pytest.raises(ServiceError, match="run the program that wrote it") as caught:
        Store(tmp_path)
    assert caught.value.reason == "STORE_UNUSABLE"


def test_a_step_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path).close()
    broken = (*STEPS, ("CREATE TABLE later (x INTEGER)", "NOT SQL"))
    monkeypatch.setattr(store_schema, "STEPS", broken)
    with pytest.raises(ServiceError):
        Store(tmp_path)
    monkeypatch.setattr(store_schema, "STEPS", STEPS)
    store = Store(tmp_path)
    assert "later" not in run(store.read(lambda c: sa.inspect(c).get_table_names()))
    store.close()


def test_two_servers_cannot_share_a_folder(store: Store) -> None:
    with pytest.raises(ServiceError, match="another server uses") as caught:
        Store(store.folder)
    assert caught.value.reason == "STORE_IN_USE"
    store.close()
    Store(store.folder).close()


def test_a_folder_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"something else " * 100)
    with pytest.raises(ServiceError, match="not a database"):
        Store(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ServiceError, match="cannot be used"):
        Store(tmp_path / "file")


def test_a_request_is_accepted_once(table: AnalysisTable, store: Store) -> None:
    first = accept(table, "one")
    assert accept(table, "one") == first
    assert reason_of(lambda: accept(table, "one", b"other")) == "REQUEST_ID_REUSED"
    # Another tenant's ids are its own.
    assert accept(table, "one", b"other", tenant="b").id != first.id
    assert files(store) == {hashlib.sha256(b).hexdigest() for b in (b"body", b"other")}


def test_another_tenants_analysis_does_not_exist(table: AnalysisTable) -> None:
    record = accept(table, "one")
    for work in (table.get, table.cancel, table.delete):
        assert reason_of(lambda work=work: run(work("b", record.id))) == "NOT_FOUND"  # type: ignore[misc]
    assert run(table.page("b", (), 10, None)) == []
    assert run(table.get("a", record.id)) == record


def test_an_analysis_from_its_request_to_its_answer(
    table: AnalysisTable, store: Store, hand: Hand
) -> None:
    record = started(table, accept(table, "one"))
    assert (record.state, record.attempt) == (AnalysisState.RUNNING, 1)
    assert run(table.start(record.id)) is None
    hand.steady += 2.5
    done = run(table.succeed(record, result(store)))
    assert done is not None
    assert (done.state, done.finished) == (AnalysisState.SUCCEEDED, 1e9 + 2.5)
    assert done.answer is not None
    assert run(table.read(done, done.answer)) == b"answer"
    assert done.stored_bytes == len(b"bodyanswerdraws")
    # Nothing changes what is final.
    assert run(table.cancel("a", done.id)) == done
    assert run(table.fail(record, Failure(reason="X", message="x"))) is None
    assert run(table.put_back(record, counted=True)) is None
    assert run(table.succeed(record, result(store, b"other"))) is None
    run(table.delete("a", done.id))
    assert reason_of(lambda: run(table.get("a", done.id))) == "NOT_FOUND"
    run(table.recover())
    assert files(store) == set()


def test_a_late_result_of_an_earlier_attempt_is_not_taken(
    table: AnalysisTable, store: Store
) -> None:
    first = started(table, accept(table, "one"))
    run(table.put_back(first, counted=True))
    second = started(table, first)
    assert run(table.succeed(first, result(store, b"late"))) is None
    done = run(table.succeed(second, result(store, b"right")))
    assert done is not None
    assert done.answer is not None
    assert run(table.read(done, done.answer)) == b"right"


def test_two_attempts_are_all(table: AnalysisTable) -> None:
    record = started(table, accept(table, "one"))
    record = run(table.put_back(record, counted=False)) or record
    assert (record.state, record.attempt) == (AnalysisState.QUEUED, 0)
    record = started(table, record)
    record = run(table.put_back(record, counted=True)) or record
    assert (record.state, record.attempt) == (AnalysisState.QUEUED, 1)
    record = started(table, record)
    record = run(table.put_back(record, counted=True)) or record
    assert (record.state, record.reason, record.attempt) == (AnalysisState.FAILED, "WORKER_LOST", 2)


def test_what_ran_when_the_server_ended_is_queued_again_once(tmp_path: Path) -> None:
    attempts = []
    store = Store(tmp_path)
    table = AnalysisTable(store, LIMITS)
    waiting, running = accept(table, "waiting"), accept(table, "running", b"other")
    for _ in range(3):
        if running.id in [r.id for r in run(table.recover())]:
            attempts.append(started(table, running).attempt)
        store.close()
        store = Store(tmp_path)
        table = AnalysisTable(store, LIMITS)
    assert attempts == [1, 2]
    assert run(table.get("a", running.id)).reason == "WORKER_LOST"
    assert [r.id for r in run(table.recover())] == [waiting.id]
    store.close()


def test_what_a_cut_write_left_behind_is_removed(table: AnalysisTable, store: Store) -> None:
    record = accept(table, "one")
    store.artefacts.draft().write_bytes(b"half a dr")
    store.artefacts.put("a", b"a result whose row was never written")
    assert len(files(store)) == 3
    run(table.recover())
    assert files(store) == {record.request}


def test_a_file_that_others_name_too_outlives_an_analysis(
    table: AnalysisTable, store: Store
) -> None:
    one, two = accept(table, "one"), accept(table, "two")
    run(table.delete("a", one.id))
    assert run(table.read(two, two.request)) == b"body"
    run(table.delete("a", two.id))
    assert files(store) == set()
    assert reason_of(lambda: run(table.read(two, two.request))) == "NOT_FOUND"


def test_a_file_that_was_changed_is_not_believed(table: AnalysisTable, store: Store) -> None:
    record = accept(table, "one")
    store.artefacts.path("a", record.request).write_bytes(b"bodY")
    with pytest.raises(ArtefactLostError):
        run(table.read(record, record.request))


def test_pages_go_from_the_newest_on(table: AnalysisTable) -> None:
    records = [accept(table, str(i)) for i in range(3)]
    run(table.cancel("a", records[1].id))
    first = run(table.page("a", (), 2, None))
    assert [r.request_id for r in first] == ["2", "1"]
    assert [r.request_id for r in run(table.page("a", (), 2, first[-1].number))] == ["0"]
    assert [r.request_id for r in run(table.page("a", (AnalysisState.CANCELLED,), 9, None))] == [
        "1"
    ]


def test_a_tenant_has_its_limits_and_no_other_has(table: AnalysisTable, store: Store) -> None:
    for i in range(3):
        accept(table, str(i))
    assert reason_of(lambda: accept(table, "more")) == "TOO_MANY_PENDING"
    assert reason_of(lambda: run(table.check_room("a"))) == "TOO_MANY_PENDING"
    run(table.check_room("b"))
    # The same request again is the analysis there is, full or not.
    assert accept(table, "0").request_id == "0"
    accept(table, "more", tenant="b")
    run(table.cancel("a", run(table.page("a", (), 1, None))[0].id))
    accept(table, "more")
    run(table.cancel("a", run(table.page("a", (), 1, None))[0].id))
    assert reason_of(lambda: accept(table, "large", b"x" * 10_000)) == "STORAGE_QUOTA"
    assert files(store) == {hashlib.sha256(b"body").hexdigest()}


def test_finished_analyses_age_and_clock_jumps_do_not_matter(
    table: AnalysisTable, hand: Hand
) -> None:
    old, pending = accept(table, "old"), accept(table, "pending")
    run(table.cancel("a", old.id))
    hand.steady += 99.0
    hand.wall += 1e9  # somebody sets the clock
    assert run(table.expire()) == 0
    hand.steady += 2.0
    assert run(table.expire()) == 1
    assert reason_of(lambda: run(table.get("a", old.id))) == "NOT_FOUND"
    assert run(table.get("a", pending.id)).state is AnalysisState.QUEUED


def test_the_clock_goes_on_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {time.CLOCK_BOOTTIME: 100.0, time.CLOCK_MONOTONIC: 100.0}
    monkeypatch.setattr(time, "clock_gettime", seconds.__getitem__)
    clock = Clock(wall=lambda: 1e9)
    assert clock.now() == 1e9
    seconds[time.CLOCK_BOOTTIME] += 3600.0
    assert clock.now() == 1e9 + 3600.0


def test_the_oldest_go_while_there_is_too_much(table: AnalysisTable) -> None:
    for i in range(5):
        record = accept(table, str(i), str(i).encode() * 3_000, tenant=str(i))
        if i != 1:  # one that waits stays, however old it is
            run(table.cancel(str(i), record.id))
    assert [run(table.expire()), run(table.expire())] == [2, 0]
    assert [len(run(table.page(str(i), (), 9, None))) for i in range(5)] == [0, 1, 0, 1, 1]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_changes_nothing(
    table: AnalysisTable, store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    record = started(table, accept(table, "one"))

    def full(_: int) -> None:
        raise OSError(number, "no space")

    made = result(store)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFullError):
        accept(table, "two", b"other")
    with pytest.raises(StoreFullError):
        run(table.succeed(record, made))
    monkeypatch.undo()
    assert [r.request_id for r in run(table.page("a", (), 9, None))] == ["one"]
    assert files(store) == {record.request, made.draws.name}
    assert run(table.succeed(record, made)) is not None


def test_what_fails_for_another_reason_is_not_taken_for_a_full_disk(
    table: AnalysisTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="broken"):
        accept(table, "one")
