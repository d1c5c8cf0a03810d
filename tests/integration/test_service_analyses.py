"""Stored analyses on a real server: created, watched, listed, cancelled, deleted."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from bayesrca.api.v1 import analysis_pb2
from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.api.v1 import root_cause_service_pb2_grpc as pb_grpc
from bayesrca.client import AsyncClient, Client
from bayesrca.config import Method, Settings
from bayesrca.errors import InvalidRequestError, InvalidSettingsError, ServiceError
from bayesrca.wire import (
    AnalysisState,
    AnalyzeCall,
    StoredAnalysis,
    encode_create_request,
    encode_request,
)
from tests.integration.kit import SCREEN, SERVICE, Server, eventually, make_incident, mangled
from tests.integration.stand_ins import made_up

pytestmark = pytest.mark.grpc
_NAMES = analysis_pb2.DESCRIPTOR.enum_types_by_name["AnalysisState"].values_by_name
AUTO = Settings(method=Method.AUTO)


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a store; one worker, two places in the queue."""
    data = tmp_path_factory.mktemp("data")
    with Server("--queue", "2", "--data-dir", str(data), "--tenant-pending", "6") as server:
        yield server.until_ready()


@pytest.fixture
def client(keeper: Server) -> Iterator[Client]:
    with Client(keeper.address, timeout=60) as client:
        yield client


def create(client: Client, name: str, seed: int = 1, settings: Settings = SCREEN) -> StoredAnalysis:
    return client.create_analysis(make_incident(name), seed=seed, settings=settings)


def reason_of(call: object, *arguments: object, **named: object) -> str:
    with pytest.raises(ServiceError) as caught:
        call(*arguments, **named)  # type: ignore[operator]
    return str(caught.value.reason)


def test_an_analysis_from_its_creation_to_its_answer(client: Client) -> None:
    incident = make_incident("from creation to answer")
    made = client.create_analysis(incident, seed=7, settings=AUTO)
    assert (made.state, made.attempt, made.answer) == (AnalysisState.QUEUED, 0, None)
    done = client.wait_for_analysis(made.name)
    assert (done.state, done.attempt, done.failure) == (AnalysisState.SUCCEEDED, 1, None)
    assert done.answer is not None
    expected = made_up(incident, 7, AUTO)
    assert done.answer.posterior == expected.posterior
    assert len(done.answer_sha256) == len(done.draws_sha256) == 64
    assert done.draws_bytes == 600_000
    assert done.started is not None
    assert done.finished is not None
    assert time.time() - 60 < made.created <= done.started <= done.finished < time.time() + 60
    assert client.get_analysis(made.name) == done


def test_the_same_request_id_is_the_same_analysis(client: Client) -> None:
    request_id = str(uuid.uuid4())
    incident = make_incident("once")
    first = client.create_analysis(incident, seed=1, settings=SCREEN, request_id=request_id)
    again = client.create_analysis(incident, seed=1, settings=SCREEN, request_id=request_id.upper())
    assert again.name == first.name
    other = {"seed": 2, "settings": SCREEN, "request_id": request_id}
    assert reason_of(client.create_analysis, incident, **other) == "REQUEST_ID_REUSED"
    with pytest.raises(InvalidRequestError, match="must be a UUID"):
        client.create_analysis(incident, seed=1, request_id="mine")
    done = client.wait_for_analysis(first.name)
    later = client.create_analysis(incident, seed=1, settings=SCREEN, request_id=request_id)
    assert (later.name, later.state) == (done.name, AnalysisState.SUCCEEDED)


def test_a_watch_tells_the_screens_answer_first(client: Client) -> None:
    made = create(client, "sleep:0.7", settings=AUTO)
    updates = list(client.watch_analysis(made.name))
    screens = [u.screen_answer for u in updates if u.screen_answer is not None]
    assert [screen.notes for screen in screens] == [("the screen's",)]
    assert updates[-1].screen_answer is None
    assert [u.analysis.answer is not None for u in updates] == [False] * (len(updates) - 1) + [True]
    told = [(u.step, u.done, u.divergences) for u in updates if u.step]
    assert told[-1] == ("nuts", 0.25, 2)
    # One that comes late is told the same: the screen's answer, then the last.
    made = create(client, "sleep:1.2", settings=AUTO)
    time.sleep(0.6)
    late = list(client.watch_analysis(made.name))
    assert late[0].screen_answer is not None
    assert late[-1].analysis.state is AnalysisState.SUCCEEDED


def test_a_reader_that_is_slow_gets_the_end_and_holds_up_nobody(client: Client) -> None:
    made = create(client, "sleep:0.5", settings=AUTO)
    slow = client.watch_analysis(made.name)
    next(slow)
    assert client.wait_for_analysis(made.name).state is AnalysisState.SUCCEEDED
    time.sleep(0.5)
    *_, last = slow
    assert last.analysis.answer is not None


def test_what_fails_says_why(client: Client, keeper: Server) -> None:
    failed = client.wait_for_analysis(create(client, "no-evidence:nothing moved").name)
    assert failed.state is AnalysisState.FAILED
    assert failed.failure == ("NO_EVIDENCE", "nothing moved", "incident.signals")
    assert (failed.answer, failed.answer_sha256, failed.draws_bytes) == (None, "", 0)
    failed = client.wait_for_analysis(create(client, "boom:the secret").name)
    assert failed.failure is not None
    assert failed.failure[0] == "INTERNAL"
    assert "secret" not in failed.failure[1]


def test_an_analysis_that_ends_its_worker_is_tried_twice(client: Client, tmp_path: Path) -> None:
    once = client.wait_for_analysis(create(client, f"die-once:{tmp_path / 'died'}").name)
    assert (once.state, once.attempt) == (AnalysisState.SUCCEEDED, 2)
    deaths = tmp_path / "deaths"
    poison = client.wait_for_analysis(create(client, f"count-and-die:{deaths}").name)
    assert (poison.state, poison.attempt) == (AnalysisState.FAILED, 2)
    assert poison.failure is not None
    assert poison.failure[0] == "WORKER_LOST"
    assert deaths.read_text(encoding="utf-8") == "xx"


def test_pages_of_a_list(client: Client) -> None:
    names = [create(client, f"listed {i}").name for i in range(5)]
    for name in names:
        client.wait_for_analysis(name)
    listed = [a.name for a in client.list_analyses(page_size=2) if a.name in names]
    assert listed == names[::-1]
    done = list(client.list_analyses(states=["SUCCEEDED"]))
    assert {a.state for a in done} == {AnalysisState.SUCCEEDED}
    assert {*names} <= {a.name for a in done}
    assert all(a.answer is None for a in done)
    assert list(client.list_analyses(states=[AnalysisState.RUNNING])) == []
    with pytest.raises(InvalidSettingsError):
        list(client.list_analyses(states=["DONE"]))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ListAnalysesRequest(page_size=-1), "page_size"),
        (pb.ListAnalysesRequest(states=[99]), "states[0]"),  # type: ignore[list-item]
        (pb.ListAnalysesRequest(page_token="WzEsIFtdXQ", states=[2]), "page_token"),  # type: ignore[list-item]
        (pb.ListAnalysesRequest(page_token="not a token"), "page_token"),
        (pb.GetAnalysisRequest(name="x"), "name"),
        (pb.GetAnalysisRequest(name="analyses/"), "name"),
        (pb.GetAnalysisRequest(name="analyses/../x"), "name"),
        (pb.CreateAnalysisRequest(request_id="x"), "request_id"),
        (pb.CreateAnalysisRequest(request_id=str(uuid.uuid4())), "incident"),
    ],
)
def test_a_call_that_cannot_be_names_the_field(
    keeper: Server, request_: pb.GetAnalysisRequest, field: str
) -> None:
    with keeper.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        stub = pb_grpc.RootCauseServiceStub(channel)
        rpc = type(request_).__name__.removesuffix("Request")
        getattr(stub, rpc)(request_, timeout=30)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    bad = error_details_pb2.BadRequest()
    assert any(d.Unpack(bad) for d in rpc_status.from_call(caught.value).details)
    assert [v.field for v in bad.field_violations] == [field]


def test_a_running_and_a_waiting_analysis_are_cancelled(client: Client) -> None:
    worker = client.analyze(make_incident(), seed=1, settings=SCREEN).versions["worker"]
    running, waiting = create(client, "sleep:30"), create(client, "sleep:31")
    assert eventually(lambda: client.get_analysis(running.name).state is AnalysisState.RUNNING)
    assert client.get_analysis(waiting.name).state is AnalysisState.QUEUED
    begun = time.monotonic()
    for name in (waiting.name, running.name):
        assert client.cancel_analysis(name).state is AnalysisState.CANCELLED
    assert client.wait_for_analysis(running.name).state is AnalysisState.CANCELLED
    # The worker is free, and the same.
    assert client.analyze(make_incident(), seed=1, settings=SCREEN).versions["worker"] == worker
    assert time.monotonic() - begun < 10
    # What has ended is not cancelled any more.
    done = client.wait_for_analysis(create(client, "done").name)
    assert client.cancel_analysis(done.name).state is AnalysisState.SUCCEEDED
    assert client.get_analysis(waiting.name).attempt == 0


def test_a_watch_of_what_is_cancelled_or_deleted_ends(client: Client) -> None:
    for stop in (client.cancel_analysis, client.delete_analysis):
        made = create(client, "sleep:30")
        watch = client.watch_analysis(made.name)
        next(watch)
        stop(made.name)
        *_, last = watch
        assert last.analysis.state is AnalysisState.CANCELLED


def test_a_deleted_analysis_is_gone(client: Client) -> None:
    done = client.wait_for_analysis(create(client, "to be deleted").name)
    client.delete_analysis(done.name)
    for call in (client.get_analysis, client.cancel_analysis, client.delete_analysis):
        assert reason_of(call, done.name) == "NOT_FOUND"
    assert done.name not in [a.name for a in client.list_analyses()]


def test_too_many_at_once_are_refused_with_advice(keeper: Server, client: Client) -> None:
    names = [create(client, "sleep:20", seed=i).name for i in range(6)]
    with keeper.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        call = AnalyzeCall(incident=make_incident(), seed=1, settings=SCREEN)
        request = encode_create_request(call, str(uuid.uuid4()))
        pb_grpc.RootCauseServiceStub(channel).CreateAnalysis(request, timeout=30)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    details = rpc_status.from_call(caught.value).details
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert any(d.Unpack(info) for d in details)
    assert any(d.Unpack(retry) for d in details)
    assert info.reason == "TOO_MANY_PENDING"
    for name in names:
        client.delete_analysis(name)


def test_waiting_analyses_take_no_place_from_calls(keeper: Server, client: Client) -> None:
    names = [create(client, "sleep:0.3", seed=i).name for i in range(4)]
    assert client.analyze(make_incident(), seed=9, settings=SCREEN).seed == 9
    for name in names:
        assert client.wait_for_analysis(name).state is AnalysisState.SUCCEEDED


def test_without_a_data_directory_there_are_no_stored_analyses(service: Server) -> None:
    with Client(service.address, timeout=60) as client:
        assert reason_of(create, client, "x") == "NO_STORE"
        assert reason_of(client.get_analysis, "analyses/x") == "NO_STORE"


def test_the_asynchronous_client_does_the_same(keeper: Server) -> None:
    async def work() -> None:
        async with AsyncClient(keeper.address, timeout=60) as client:
            assert await client.ready()
            incident = make_incident("asynchronous")
            answer = await client.analyze(incident, seed=3, settings=SCREEN)
            assert answer.posterior == made_up(incident, 3, SCREEN).posterior
            made = await client.create_analysis(incident, seed=3, settings=AUTO)
            done = await client.wait_for_analysis(made.name)
            assert done.answer is not None
            assert await client.get_analysis(made.name) == done
            names = [a.name async for a in client.list_analyses(page_size=1)]
            assert made.name in names
            await client.delete_analysis(made.name)
            with pytest.raises(ServiceError) as caught:
                await client.cancel_analysis(made.name)
            assert caught.value.reason == "NOT_FOUND"
            with pytest.raises(ServiceError) as caught:
                async for _ in client.watch_analysis(made.name):
                    pass
            assert caught.value.reason == "NOT_FOUND"
            task = asyncio.create_task(
                client.analyze(make_incident("sleep:30"), seed=1, settings=SCREEN)
            )
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # The worker is free again.
            await client.analyze(incident, seed=3, settings=SCREEN, timeout=10)
        with pytest.raises(ServiceError) as caught:
            await client.analyze(incident, seed=3)
        assert caught.value.reason == "CLOSED"

    asyncio.run(work())


def test_a_thousand_hostile_messages_are_refused_one_by_one(keeper: Server, client: Client) -> None:
    """Noise, and valid requests with bits turned, cut or doubled, to every rpc."""
    rng = random.Random(3)
    call = AnalyzeCall(incident=make_incident(), seed=1, settings=SCREEN)
    valid = {
        "Analyze": encode_request(call).SerializeToString(),
        "CreateAnalysis": encode_create_request(call, str(uuid.uuid4())).SerializeToString(),
        "ListAnalyses": pb.ListAnalysesRequest(page_size=1).SerializeToString(),
        "RenderPlot": pb.RenderPlotRequest(
            name="analyses/x", plot=analysis_pb2.PLOT_CAUSES
        ).SerializeToString(),
        "StreamInferenceData": pb.StreamInferenceDataRequest(
            name="analyses/x", offset_bytes=-1
        ).SerializeToString(),
    }
    name = pb.GetAnalysisRequest(name=f"analyses/{uuid.uuid4()}").SerializeToString()
    rpcs = [method.name for method in pb.DESCRIPTOR.services_by_name["RootCauseService"].methods]
    refused = {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
    with keeper.channel() as channel:
        for _ in range(1000):
            rpc = rng.choice(rpcs)
            message = mangled(valid.get(rpc, name), rng)
            send: grpc.UnaryStreamMultiCallable[bytes, bytes]
            send = channel.unary_stream(f"/{SERVICE}/{rpc}")
            try:
                list(send(message, timeout=60))
            except grpc.RpcError as error:
                assert error.code() in refused, (rpc, message, error)
    assert client.analyze(make_incident(), seed=1, settings=SCREEN).seed == 1
    for analysis in client.list_analyses(page_size=1000):
        client.delete_analysis(analysis.name)


def test_the_states_on_the_wire_are_the_clients_own() -> None:
    names = {name.removeprefix("ANALYSIS_STATE_") for name in _NAMES}
    assert names == {"UNSPECIFIED", *AnalysisState}
