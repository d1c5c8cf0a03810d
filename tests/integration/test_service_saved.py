"""Telemetry that a server saves on request: whole or not at all, and an incident of it later."""

from __future__ import annotations

import asyncio
import resource
import signal
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from bayesrca.client import AsyncClient, Client
from bayesrca.errors import ServiceError
from bayesrca.incident import IncidentSource, Origin, TimeWindow
from bayesrca.service import Scope
from bayesrca.service.credentials import new_token
from tests.integration.kit import SCREEN, Server
from tests.integration.shop import SLOW, Shop, by_grpc, ranked

pytestmark = pytest.mark.grpc


def arguments(folder: Path, *more: str) -> tuple[str, ...]:
    return ("--receive-telemetry", "--no-warm", "--data-dir", str(folder / "data"), *more)


def files_in(folder: Path) -> list[str]:
    root = folder / "data" / "telemetry"
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def saved_source(shop: Shop, name: str) -> IncidentSource:
    return replace(shop.source(), origins=(), saved=name)


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def served(tmp_path: Path, shop: Shop) -> Iterator[Server]:
    with Server(*arguments(tmp_path)) as server:
        shop.send(by_grpc(server.address))
        yield server


def refused(call: object, *given: object, **named: object) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        call(*given, **named)  # type: ignore[operator]
    return caught.value


def test_what_is_saved_outlives_the_server_and_is_analysed(tmp_path: Path, shop: Shop) -> None:
    whole = TimeWindow(shop.begin, shop.end)
    with Server(*arguments(tmp_path), analyzer="") as server:
        shop.send(by_grpc(server.address))
        with Client(server.address, timeout=120) as client:
            held = client.analyze(shop.source(), seed=1, settings=SCREEN)
            saved = client.save_telemetry(whole)
            assert saved.window == whole
            assert saved.records["spans"] == shop.n_spans  # type: ignore[index]  # a word will do
            assert all(saved.records.values())
            assert saved.created < saved.expires
        server.signal(signal.SIGKILL)
        server.wait()
    (folder,) = (tmp_path / "data" / "telemetry").glob(f"*/{saved.name.partition('/')[2]}")
    assert pq.read_metadata(folder / "spans.parquet").num_rows == shop.n_spans
    assert saved.size_bytes == sum(path.stat().st_size for path in folder.iterdir())
    with (
        Server(*arguments(tmp_path), analyzer="") as server,
        Client(server.address, timeout=120) as client,
    ):
        assert client.list_saved_telemetry() == [saved]
        source = saved_source(shop, saved.name)
        again = client.analyze(source, seed=1, settings=SCREEN)
        assert ranked(again.posterior.causes)[0] == SLOW
        # The same incident, so the same numbers.
        assert [c.probability for c in again.posterior.causes] == [
            c.probability for c in held.posterior.causes
        ]
        made = client.create_analysis(source, seed=1, settings=SCREEN)
        client.delete_saved_telemetry(saved.name)
        assert client.wait_for_analysis(made.name).answer is not None
        assert client.list_saved_telemetry() == []
        assert files_in(tmp_path) == []
        gone = refused(client.analyze, source, seed=1, settings=SCREEN)
        assert (gone.reason, gone.field) == ("NOT_FOUND", "")
        assert refused(client.delete_saved_telemetry, saved.name).reason == "NOT_FOUND"


def test_a_repeated_call_saves_once(served: Server, shop: Shop, tmp_path: Path) -> None:
    window = TimeWindow(shop.fault, shop.end)
    request_id = str(uuid.uuid4())
    with Client(served.address, timeout=60) as client:
        first = client.save_telemetry(window, request_id=request_id)
        assert first.name == f"savedTelemetry/{request_id}"
        assert client.save_telemetry(window, request_id=request_id.upper()) == first
        other = TimeWindow(shop.begin, shop.end)
        error = refused(client.save_telemetry, other, request_id=request_id)
        assert error.reason == "REQUEST_ID_REUSED"

        async def ask() -> object:
            async with AsyncClient(served.address, timeout=60) as caller:
                second = await caller.save_telemetry(other)
                found = await caller.list_saved_telemetry()
                await caller.delete_saved_telemetry(second.name)
                return found == [second, first]

        assert asyncio.run(ask())
        assert client.list_saved_telemetry() == [first]
    assert len(files_in(tmp_path)) == 4


def test_what_cannot_be_saved_leaves_nothing(served: Server, shop: Shop, tmp_path: Path) -> None:
    with Client(served.address, timeout=60) as client:
        early = TimeWindow(1.0, 2.0)
        error = refused(client.save_telemetry, early)
        assert (error.reason, error.field) == ("NO_EVIDENCE", "window")
        error = refused(client.save_telemetry, TimeWindow(0.0, 1e13))
        assert (error.reason, error.field) == ("INVALID_INCIDENT", "window")
        assert refused(client.delete_saved_telemetry, "savedTelemetry/../x").reason == (
            "INVALID_REQUEST"
        )
        for name in ("analyses/1", "savedTelemetry/", f"savedTelemetry/../{uuid.uuid4()}"):
            source = saved_source(shop, name)
            error = refused(client.analyze, source, seed=1, settings=SCREEN)
            assert (error.reason, error.field) == ("INVALID_REQUEST", "source.saved_telemetry")
        with pytest.raises(Exception, match="count twice"):
            replace(shop.source(Origin.RECEIVED), saved="savedTelemetry/x")
    assert files_in(tmp_path) == []


def test_a_full_disk_refuses_and_recovers(served: Server, shop: Shop, tmp_path: Path) -> None:
    window = TimeWindow(shop.begin, shop.end)
    unlimited = resource.RLIM_INFINITY
    with Client(served.address, timeout=60) as client:
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (20_000, unlimited))
        error = refused(client.save_telemetry, window)
        assert error.reason == "STORAGE_FULL"
        assert files_in(tmp_path) == []
        assert client.list_saved_telemetry() == []
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))
        assert client.save_telemetry(window).records["spans"] == shop.n_spans  # type: ignore[index]


def test_a_folder_that_cannot_be_written_to_is_told(
    served: Server, shop: Shop, tmp_path: Path
) -> None:
    drafts = tmp_path / "data" / "telemetry" / "drafts"
    drafts.rmdir()
    drafts.write_text("in the way")  # permissions would not stop a test that runs as root
    with Client(served.address, timeout=60) as client:
        window = TimeWindow(shop.begin, shop.end)
        error = refused(client.save_telemetry, window)
        assert error.reason == "STORAGE_FAILED"
        drafts.unlink()
        assert client.save_telemetry(window).size_bytes > 0


def test_tenants_are_apart_and_bounded_and_scopes_hold(tmp_path: Path, shop: Shop) -> None:
    file, tokens = tmp_path / "credentials.toml", {}
    every = [Scope.INGEST, Scope.READ, Scope.ANALYZE]
    with file.open("w") as stream:
        for name, tenant, scopes in (
            ("shop", "shop", every),
            ("other", "other", every),
            ("reader", "shop", [Scope.READ]),
            ("analyst", "shop", [Scope.ANALYZE]),
        ):
            tokens[name], line = new_token(name, tenant, scopes, None)
            stream.write(f"{line}\n")
    more = ("--credentials-file", str(file), "--telemetry-saved-bytes", "150000")
    window = TimeWindow(shop.fault, shop.end)
    with Server(*arguments(tmp_path, *more)) as server:
        shop.send(by_grpc(server.address, tokens["shop"]))

        def client(name: str) -> Client:
            return Client(server.address, timeout=60, token=tokens[name])

        with client("shop") as own, client("other") as other:
            saved = own.save_telemetry(window)
            assert other.list_saved_telemetry() == []
            assert refused(other.save_telemetry, window).reason == "NO_EVIDENCE"
            assert refused(other.delete_saved_telemetry, saved.name).reason == "NOT_FOUND"
            source = saved_source(shop, saved.name)
            assert refused(other.analyze, source, seed=1).reason == "NOT_FOUND"
            for _ in range(5):
                if saved.size_bytes * (1 + len(own.list_saved_telemetry())) > 150_000:
                    break
                own.save_telemetry(window)
            assert refused(own.save_telemetry, window).reason == "STORAGE_QUOTA"
            kept = own.list_saved_telemetry()
            assert sum(one.size_bytes for one in kept) <= 150_000
        with client("reader") as reader, client("analyst") as analyst:
            assert reader.list_saved_telemetry() == kept
            for call, given in (
                (reader.save_telemetry, window),
                (reader.delete_saved_telemetry, saved.name),
            ):
                assert refused(call, given).reason == "MISSING_SCOPE"
            assert refused(analyst.list_saved_telemetry).reason == "MISSING_SCOPE"
            analyst.delete_saved_telemetry(saved.name)


def test_what_is_too_old_goes(tmp_path: Path, shop: Shop) -> None:
    window = TimeWindow(shop.fault, shop.end)
    with Server(*arguments(tmp_path)) as server:
        shop.send(by_grpc(server.address))
        with Client(server.address, timeout=60) as client:
            saved = client.save_telemetry(window)
    # A half written one of a server that was killed goes as well.
    draft = tmp_path / "data" / "telemetry" / "drafts" / "left"
    draft.mkdir()
    (draft / "spans.parquet").write_bytes(b"half")
    with Server(*arguments(tmp_path)) as server, Client(server.address, timeout=60) as client:
        assert client.list_saved_telemetry() == [saved]
        assert len(files_in(tmp_path)) == 4
    short = ("--retain-seconds", "1")
    with Server(*arguments(tmp_path, *short)) as server:
        server.wait_for(lambda line: "removed 1 windows of saved telemetry" in line)
        assert files_in(tmp_path) == []


def test_a_server_that_keeps_nothing_says_so(tmp_path: Path) -> None:
    window = TimeWindow(1.0, 2.0)
    name = f"savedTelemetry/{uuid.uuid4()}"
    source = IncidentSource(origins=(), saved=name, window=window)
    with Server("--receive-telemetry") as server, Client(server.address, timeout=60) as client:
        assert refused(client.save_telemetry, window).reason == "NO_STORE"
        assert refused(client.list_saved_telemetry).reason == "NO_STORE"
        assert refused(client.analyze, source, seed=1).reason == "NO_STORE"
    with Server("--data-dir", str(tmp_path)) as server, Client(server.address) as client:
        assert refused(client.save_telemetry, window).reason == "NO_TELEMETRY"
