"""Attributions served: the local estimate's bits, in time, and whatever comes in is survived."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import (
    descriptor_pool,
    json_format,
    message_factory,
)
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (  # type: ignore[import-untyped]
    ProtoReflectionDescriptorDatabase,
)
from grpc_status import rpc_status  # type: ignore[import-untyped]

from bayesrca.api.v1 import attribution_service_pb2 as pb
from bayesrca.api.v1 import attribution_service_pb2_grpc as pb_grpc
from bayesrca.attribution import (
    BatchGame,
    ExcessFlowGame,
    LiveEdgeGame,
    SampledTailGame,
    compute_shapley,
    estimate_shapley,
)
from bayesrca.client import Client
from bayesrca.errors import (
    BayesRcaError,
    InvalidGameError,
    InvalidSettingsError,
    ServiceError,
)
from bayesrca.wire import AttributionSettings
from bayesrca.wire.attribution import encode_attribution_request
from tests.integration.games import make_games
from tests.integration.kit import (
    ATTRIBUTION,
    SCREEN,
    Server,
    eventually,
    gone,
    make_incident,
)
from tests.integration.stand_ins import WARM_FILE
from tests.unit.service.games import bits

pytestmark = pytest.mark.grpc
GAMES = make_games()
SMALL = make_games(n=8)
ENDLESS: dict[str, Any] = {"seed": 1, "tolerance": 1e-12, "method": "sampled"}


@pytest.fixture
def client(service: Server) -> Iterator[Client]:
    with Client(service.address, timeout=120) as client:
        yield client


def make_request(kind: str = "noisy_or", **changes: object) -> pb.AttributeAnomalyRequest:
    settings: Any = {"budget": 4096} | changes
    asked = AttributionSettings(**settings)
    return encode_attribution_request(GAMES[kind], seed=3, settings=asked)


def raw_call(channel: grpc.Channel) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
    return channel.unary_unary(f"/{ATTRIBUTION}/AttributeAnomaly")


def outcome(attribute: Callable[[], Any]) -> object:
    """The bits of an estimate, or why there is none."""
    try:
        return bits(attribute())
    except BayesRcaError as error:
        return error.reason


@pytest.mark.parametrize("method", ["automatic", "sampled", "leverage"])
@pytest.mark.parametrize("kind", GAMES)
def test_the_served_bits_are_the_local_ones(client: Client, kind: str, method: str) -> None:
    efforts: tuple[dict[str, Any], ...] = (
        {"budget": 5000},
        {"tolerance": 0.2, "confidence": 0.9},
        {"tolerance": 1.0, "budget": 20_000, "tolerance_kind": "absolute"},
        {"tolerance": 0.5, "budget": 20_000, "guarantee": "bernstein"},
        {},
    )
    for effort in efforts:
        arguments: Any = {"seed": 2**64 - 5, "method": method, **effort}
        served = outcome(lambda a=arguments: client.attribute_anomaly(GAMES[kind], **a))  # type: ignore[misc]
        local = outcome(lambda a=arguments: estimate_shapley(GAMES[kind], **a))  # type: ignore[misc]
        assert served == local
        assert method == "leverage" or "guarantee" in effort or isinstance(local, dict)


@pytest.mark.parametrize("kind", SMALL)
def test_exact_values_are_the_local_ones(client: Client, kind: str) -> None:
    game = SMALL[kind]
    served = outcome(lambda: client.attribute_anomaly(game, seed=1, method="exact"))
    assert served == outcome(lambda: compute_shapley(game))
    assert (served == "INVALID_GAME") == (kind == "live_edge")


def test_shares_are_the_local_ones(client: Client) -> None:
    game = GAMES["excess_flow"]
    assert isinstance(game, ExcessFlowGame)
    served = client.estimate_shares(game, seed=2**64 - 1, resamples=77)
    local = game.estimate_shares(seed=2**64 - 1, resamples=77)
    assert [a.tobytes() for a in served] == [a.tobytes() for a in local]


def test_shares_come_with_the_estimate_and_only_when_asked_for(service: Server) -> None:
    with service.channel() as channel:
        stub = pb_grpc.AttributionServiceStub(channel)
        request = make_request("excess_flow", share_resamples=10)
        response = stub.AttributeAnomaly(request, timeout=30)
        assert response.shares.resamples == 10
        assert response.estimate.rule == "closed_form"
        request.settings.ClearField("share_resamples")
        assert not stub.AttributeAnomaly(request, timeout=30).HasField("shares")


@pytest.mark.parametrize("kind", ["sampled_tail", "nonlinear_tail", "noisy_or", "live_edge"])
@pytest.mark.parametrize("limit", [{"deadline": 0.5}, {"timeout": 6.0}])
def test_a_deadline_returns_what_there_is_with_its_errors(
    client: Client, kind: str, limit: dict[str, Any]
) -> None:
    begun = time.monotonic()
    estimate = client.attribute_anomaly(GAMES[kind], **ENDLESS, **limit)
    assert 0.3 < time.monotonic() - begun < 20
    assert not estimate.converged
    assert not estimate.exact
    assert estimate.n_units >= 2
    assert 0 < estimate.std_err.max() < np.inf
    assert np.isfinite(estimate.half_width).all()
    assert abs(estimate.efficiency_gap) < 1e-9
    exact = client.attribute_anomaly(GAMES[kind], seed=2, budget=200_000)
    error = np.hypot(estimate.std_err, exact.std_err)
    assert (np.abs(estimate.values - exact.values) <= 6 * error + 1e-9).all()


def test_exact_values_that_are_not_ready_in_time_are_none(client: Client) -> None:
    game = make_games(n=22, samples=2000)["sampled_tail"]
    with pytest.raises(ServiceError, match="deadline passed") as caught:
        client.attribute_anomaly(game, seed=1, method="exact", deadline=0.2)
    assert caught.value.reason == "CANCELLED"


def worker_of(client: Client) -> int:
    answer = client.analyze(make_incident(), seed=1, settings=SCREEN, timeout=60)
    return int(answer.versions["worker"])


@pytest.mark.parametrize("kind", ["sampled_tail", "nonlinear_tail", "noisy_or", "live_edge"])
def test_a_cancelled_call_frees_the_worker_without_killing_it(
    service: Server, client: Client, kind: str
) -> None:
    worker = worker_of(client)
    with service.channel() as channel:
        stub = pb_grpc.AttributionServiceStub(channel)
        call = stub.AttributeAnomaly.future(
            make_request(kind, budget=None, tolerance=1e-12), timeout=100
        )
        time.sleep(0.4)
        begun = time.monotonic()
        call.cancel()
        client.attribute_anomaly(GAMES["call_tree"], seed=1, budget=500)
        assert time.monotonic() - begun < 5
    assert worker_of(client) == worker
    assert not gone(worker)


Spoil = Callable[[pb.AttributeAnomalyRequest], object]
ROWS: dict[str, tuple[Spoil, str, str]] = {
    "no game": (lambda r: r.ClearField("game"), "INVALID_GAME", "game"),
    "no seed": (lambda r: r.ClearField("seed"), "INVALID_SETTINGS", "seed"),
    "found by the front": (
        lambda r: setattr(r.game.noisy_or.leak, "data", b"1234567"),
        "INVALID_GAME",
        "game.noisy_or.leak.data",
    ),
    "found by the game": (
        lambda r: setattr(r.game.noisy_or, "target", 99),
        "INVALID_GAME",
        "game.noisy_or.target",
    ),
    "names of others": (
        lambda r: r.game.players.append("ghost"),
        "INVALID_GAME",
        "game.players",
    ),
    "unknown method": (
        lambda r: setattr(r.settings, "method", 77),
        "INVALID_SETTINGS",
        "settings.method",
    ),
    "unknown kind": (
        lambda r: setattr(r.settings, "tolerance_kind", 77),
        "INVALID_SETTINGS",
        "settings.tolerance_kind",
    ),
    "a budget of less than a walk": (
        lambda r: setattr(r.settings, "budget", 5),
        "INVALID_SETTINGS",
        "settings.budget",
    ),
    "a budget without end": (
        lambda r: setattr(r.settings, "budget", 1 << 62),
        "INVALID_SETTINGS",
        "settings.budget",
    ),
    "no tolerance at all": (
        lambda r: setattr(r.settings, "tolerance", 0.0),
        "INVALID_SETTINGS",
        "settings.tolerance",
    ),
    "too sure": (
        lambda r: setattr(r.settings, "confidence", 1.0),
        "INVALID_SETTINGS",
        "settings.confidence",
    ),
    "a deadline of NaN": (
        lambda r: setattr(r.settings, "deadline_seconds", float("nan")),
        "INVALID_SETTINGS",
        "settings.deadline_seconds",
    ),
    "shares of no flow": (
        lambda r: setattr(r.settings, "share_resamples", 10),
        "INVALID_SETTINGS",
        "settings.share_resamples",
    ),
    "an exact budget": (
        lambda r: setattr(r.settings, "method", pb.SHAPLEY_METHOD_EXACT),
        "INVALID_SETTINGS",
        "settings.budget",
    ),
    "too many players to enumerate": (
        lambda r: r.settings.CopyFrom(pb.AttributionSettings(method=pb.SHAPLEY_METHOD_EXACT)),
        "INVALID_GAME",
        "game",
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_bad_input_names_its_field(service: Server, row: str) -> None:
    spoil, reason, field = ROWS[row]
    request = make_request()
    spoil(request)
    with service.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        pb_grpc.AttributionServiceStub(channel).AttributeAnomaly(request, timeout=30)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in rpc_status.from_call(caught.value).details:
        detail.Unpack(info)
        detail.Unpack(bad)
    assert (info.reason, info.domain) == (reason, "bayesrca")
    assert [(v.field, v.description) for v in bad.field_violations] == [
        (field, caught.value.details())
    ]


def test_bytes_that_are_no_request(service: Server) -> None:
    with service.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        raw_call(channel)(b"\xff\xff\xff\xff", timeout=30)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "INVALID_GAME" in str(rpc_status.from_call(caught.value))


def test_no_mutation_of_a_request_breaks_the_server(service: Server, client: Client) -> None:
    """420 requests with bytes changed, cut or repeated: an answer or a refusal, always."""
    rng = random.Random(20)
    worker = worker_of(client)
    seen = set()
    with service.channel() as channel:
        send = raw_call(channel)
        for game in SMALL.values():
            asked = AttributionSettings(budget=1000, tolerance=0.5, confidence=0.9, deadline=5.0)
            valid = encode_attribution_request(game, seed=3, settings=asked).SerializeToString()
            for _ in range(60):
                raw = bytearray(valid)
                for _ in range(rng.randrange(1, 4)):
                    at = rng.randrange(len(raw))
                    match rng.randrange(3):
                        case 0:
                            raw[at] = rng.randrange(256)
                        case 1:
                            del raw[at : at + rng.randrange(1, 40)]
                        case _:
                            raw[at:at] = raw[at : at + rng.randrange(1, 40)]
                try:
                    send(bytes(raw), timeout=30)
                    seen.add(grpc.StatusCode.OK)
                except grpc.RpcError as error:
                    seen.add(error.code())
            assert send(valid, timeout=30)
    assert seen == {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}
    assert worker_of(client) == worker


def test_the_largest_game_of_a_call_is_served(client: Client) -> None:
    rng = np.random.default_rng(2)
    n, e = 5000, 50_000
    source = rng.integers(0, n - 1, e)
    edges = np.column_stack([source, source + 1 + rng.integers(0, n - 1 - source)])
    game = LiveEdgeGame(
        edges=edges,
        transmission=np.full(e, 0.05),
        target=n - 1,
        leak=np.zeros(n),
        activation=np.full(n, 0.5),
    )
    assert client.attribute_anomaly(game, seed=1, budget=128).values.shape == (n,)
    wide = SampledTailGame(
        edges=[(0, 1)],
        weights=[1.0],
        target=1,
        observed_noise=np.ones(2),
        baseline_noise=rng.normal(size=(1 << 21, 2)),
    )
    assert client.attribute_anomaly(wide, seed=1).exact


def test_a_cold_pool_answers_attributions_and_screens_past_calls_that_need_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "warm"
    monkeypatch.setenv(WARM_FILE, str(told))
    with (
        Server("--queue", "0", warmer="warm_when_told") as server,
        Client(server.address, timeout=60) as client,
        server.channel() as channel,
        ThreadPoolExecutor(1) as threads,
    ):
        client.attribute_anomaly(GAMES["call_tree"], seed=1)
        waiting = threads.submit(client.analyze, make_incident(), seed=7)
        time.sleep(0.3)
        assert client.attribute_anomaly(GAMES["noisy_or"], seed=1, budget=2000).converged
        assert client.analyze(make_incident(), seed=5, settings=SCREEN).seed == 5
        # The worker's place is taken by the call that waits for the model, and there is no queue.
        running = pb_grpc.AttributionServiceStub(channel).AttributeAnomaly.future(
            make_request("sampled_tail", budget=None, tolerance=1e-12), timeout=60
        )
        time.sleep(0.3)
        with pytest.raises(ServiceError) as caught:
            client.attribute_anomaly(GAMES["noisy_or"], seed=1, timeout=1.0)
        assert caught.value.reason in ("QUEUE_FULL", "DEADLINE_EXCEEDED")
        running.cancel()
        assert not waiting.done()
        told.touch()
        assert waiting.result().seed == 7
        assert eventually(client.ready)


def test_a_call_made_of_what_reflection_tells(service: Server) -> None:
    """As grpcurl does it: no generated code, JSON in and out."""
    with service.channel() as channel:
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        method = pool.FindServiceByName(ATTRIBUTION).FindMethodByName("AttributeAnomaly")
        request = message_factory.GetMessageClass(method.input_type)()
        json_format.Parse(json_format.MessageToJson(make_request("call_tree")), request)
        raw = raw_call(channel)(request.SerializeToString(), timeout=30)
        response = message_factory.GetMessageClass(method.output_type).FromString(raw)
        told = json_format.MessageToDict(response)["estimate"]
    local = estimate_shapley(GAMES["call_tree"], seed=3, budget=4096)
    assert told["players"] == list(local.players)
    assert told["rule"] == local.rule
    assert told["grand"] == local.grand


def test_misuse_is_said_before_anything_is_sent(client: Client) -> None:
    game: Any = GAMES["noisy_or"]
    with pytest.raises(InvalidGameError, match="cannot be sent"):
        client.attribute_anomaly(BatchGame(value=lambda c: c.sum(axis=1), players=3), seed=1)
    for arguments in (
        {"seed": -1},
        {"seed": 1, "method": "magic"},
        {"seed": 1, "tolerance_kind": "loose"},
        {"seed": 1, "budget": 10**11},
        {"seed": 1, "deadline": 0.0},
        {"seed": 1, "method": "exact", "tolerance": 0.1},
    ):
        with pytest.raises(InvalidSettingsError):
            client.attribute_anomaly(game, **arguments)
    with pytest.raises(ServiceError) as caught:
        client.estimate_shares(game, seed=1)
    assert (caught.value.reason, caught.value.field) == (
        "INVALID_SETTINGS",
        "settings.share_resamples",
    )
