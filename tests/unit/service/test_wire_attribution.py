"""Games and Shapley estimates come back from the wire the same, to the last bit, or are refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesrca.api.v1 import attribution_pb2, tensor_pb2
from bayesrca.api.v1 import attribution_service_pb2 as pb
from bayesrca.attribution import (
    BatchGame,
    CallTreeGame,
    ExcessFlowGame,
    NoisyOrGame,
    NonlinearTailGame,
    SampledTailGame,
    ShapleyEstimate,
)
from bayesrca.errors import IncidentFormatError, InvalidGameError, InvalidSettingsError
from bayesrca.wire import (
    AttributionSettings,
    IntervalGuarantee,
    ShapleyMethod,
    ToleranceKind,
    decode_attribution_settings,
    decode_game_arrays,
    encode_attribution_settings,
)
from bayesrca.wire.attribution import (
    decode_estimate,
    decode_game,
    decode_shares,
    encode_attribution_request,
    encode_estimate,
    encode_game,
    encode_shares,
)
from bayesrca.wire.attribution_arrays import (
    GAME_PARTS,
    MAX_BASELINE_VALUES,
    MAX_NOISY_OR_WORK,
    MAX_NONLINEAR_WORK,
    MAX_PLAYER_EDGES,
    MAX_PLAYERS,
    TAIL_SIDES,
)
from bayesrca.wire.attribution_settings import (
    GUARANTEES,
    MAX_BUDGET,
    MAX_RESAMPLES,
    SHAPLEY_METHODS,
    TOLERANCE_KINDS,
)
from bayesrca.wire.tensors import decode_matrix, encode_tensor
from tests.unit.service.games import GAMES, bits, estimates

PROTO = attribution_pb2.AttributionGame
SETTINGS = st.builds(
    AttributionSettings,
    method=st.sampled_from([m for m in ShapleyMethod if m != ShapleyMethod.EXACT]),
    tolerance=st.none() | st.floats(allow_nan=False),
    tolerance_kind=st.sampled_from(ToleranceKind),
    budget=st.none() | st.integers(1, MAX_BUDGET),
    confidence=st.none() | st.floats(allow_nan=False),
    guarantee=st.sampled_from(IntervalGuarantee),
    deadline=st.none() | st.floats(0, exclude_min=True),
    share_resamples=st.none() | st.integers(2, MAX_RESAMPLES),
)


def parts_of(game: Any) -> dict[str, object]:  # noqa: ANN401  each class has other fields
    """Everything a game was built from, arrays as bytes with their shapes."""
    values = ((f.name, getattr(game, f.name)) for f in dataclasses.fields(game))
    return {
        name: (v.shape, v.dtype, v.tobytes()) if isinstance(v, np.ndarray) else repr(v)
        for name, v in values
    }


@pytest.mark.parametrize("kind", GAMES)
@given(data=st.data())
def test_a_game_comes_back_to_the_last_bit(kind: str, data: st.DataObject) -> None:
    game = data.draw(GAMES[kind])
    message = PROTO.FromString(encode_game(game).SerializeToString())
    assert message.WhichOneof("game") == kind
    back = decode_game(message)
    assert type(back) is type(game)
    assert parts_of(back) == parts_of(game)


def test_every_kind_of_game_on_the_wire_is_known() -> None:
    assert [f.name for f in PROTO.DESCRIPTOR.oneofs_by_name["game"].fields] == [*GAME_PARTS]
    assert GAME_PARTS.keys() == GAMES.keys()


@given(estimates())
def test_an_estimate_comes_back_to_the_last_bit(estimate: ShapleyEstimate) -> None:
    raw = encode_estimate(estimate).SerializeToString()
    back = decode_estimate(attribution_pb2.ShapleyEstimate.FromString(raw))
    assert bits(back) == bits(estimate)


def test_every_field_of_an_estimate_travels() -> None:
    wire = {field.name for field in attribution_pb2.ShapleyEstimate.DESCRIPTOR.fields}
    assert wire == {field.name for field in dataclasses.fields(ShapleyEstimate)}


@given(SETTINGS)
def test_settings_come_back_but_for_the_threads(settings: AttributionSettings) -> None:
    raw = encode_attribution_settings(settings).SerializeToString()
    back = decode_attribution_settings(pb.AttributionSettings.FromString(raw), threads=7)
    assert back == dataclasses.replace(settings, threads=7)


def test_every_setting_travels() -> None:
    wire = {field.name for field in pb.AttributionSettings.DESCRIPTOR.fields}
    home = {field.name for field in dataclasses.fields(AttributionSettings)}
    assert wire - {"deadline_seconds"} == home - {"deadline", "threads"}
    assert decode_attribution_settings(pb.AttributionSettings()) == AttributionSettings()


def test_no_value_of_a_wire_enum_is_left_without_meaning() -> None:
    for table, wire in (
        (SHAPLEY_METHODS, pb.ShapleyMethod),
        (TOLERANCE_KINDS, pb.ToleranceKind),
        (GUARANTEES, pb.IntervalGuarantee),
        (TAIL_SIDES, attribution_pb2.TailSide),
    ):
        words = [table.word(number, "field") for number in wire.values() if number]
        assert len(set(words)) == len(words)


@pytest.mark.parametrize(
    "change",
    [
        {"budget": 0},
        {"budget": MAX_BUDGET + 1},
        {"share_resamples": 1},
        {"share_resamples": MAX_RESAMPLES + 1},
        {"deadline": 0.0},
        {"deadline": float("nan")},
        {"budget": 64, "method": ShapleyMethod.EXACT},
        {"tolerance": 0.1, "method": ShapleyMethod.EXACT},
        {"confidence": 0.9, "method": ShapleyMethod.EXACT},
        {"tolerance_kind": ToleranceKind.ABSOLUTE, "method": ShapleyMethod.EXACT},
        {"guarantee": IntervalGuarantee.BERNSTEIN, "method": ShapleyMethod.EXACT},
    ],
)
def test_settings_out_of_range_name_themselves(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        AttributionSettings(**change)
    assert caught.value.field == next(iter(change))


def test_a_seed_has_64_bits() -> None:
    game = CallTreeGame(parent=[-1], stage=[0], baseline=[1.0], observed=[2.0])
    settings = AttributionSettings()
    request = encode_attribution_request(game, seed=2**64 - 1, settings=settings)
    assert request.seed == 2**64 - 1
    for seed in (-1, 2**64, True, 1.0):
        with pytest.raises(InvalidSettingsError, match="seed"):
            encode_attribution_request(game, seed=seed, settings=settings)  # type: ignore[arg-type]


def test_a_python_function_cannot_travel() -> None:
    with pytest.raises(InvalidGameError, match="BatchGame cannot be sent"):
        encode_game(BatchGame(value=lambda c: c.sum(axis=1), players=3))


def test_shares_come_back_to_the_last_bit() -> None:
    arrays = np.array([1.0, -0.0]), np.array([0.25, np.inf]), np.array([np.nan, 3.0])
    back = decode_shares(encode_shares(arrays, 9))
    assert [a.tobytes() for a in back] == [a.tobytes() for a in arrays]
    message = encode_shares(arrays, 9)
    message.value_std_err.CopyFrom(encode_tensor(np.ones(3)))
    with pytest.raises(IncidentFormatError) as caught:
        decode_shares(message)
    assert caught.value.field == "shares.value_std_err"


@given(estimates(), st.sampled_from(["values", "std_err", "half_width", "inner_std_err"]))
def test_an_estimate_with_an_array_of_another_length_is_refused(
    estimate: ShapleyEstimate, name: str
) -> None:
    message = encode_estimate(estimate)
    getattr(message, name).CopyFrom(encode_tensor(np.ones(len(estimate.players) + 1)))
    with pytest.raises(IncidentFormatError) as caught:
        decode_estimate(message)
    assert caught.value.field == f"estimate.{name}"


def noisy_or(n: int = 3) -> attribution_pb2.AttributionGame:
    return encode_game(
        NoisyOrGame(
            edges=[(i, i + 1) for i in range(n - 1)],
            transmission=[0.5] * (n - 1),
            target=n - 1,
            leak=[0.1] * n,
            activation=[0.5] * n,
            players=[f"p{i}" for i in range(n)],
        )
    )


def tail(n: int = 3, m: int = 4) -> attribution_pb2.AttributionGame:
    return encode_game(
        SampledTailGame(
            edges=[(0, 1)],
            weights=[1.0],
            target=1,
            observed_noise=np.ones(n),
            baseline_noise=np.random.default_rng(1).normal(size=(m, n)),
        )
    )


def tree() -> attribution_pb2.AttributionGame:
    game = CallTreeGame(parent=[-1, 0], stage=[0, 0], baseline=[1, 1], observed=[2, 2])
    return encode_game(game)


def flow() -> attribution_pb2.AttributionGame:
    game = ExcessFlowGame(calls=[(0, 1)], weights=[0.5], target=0, dose=[2.0, 1.0])
    return encode_game(game)


def rectifiers() -> attribution_pb2.AttributionGame:
    game = NonlinearTailGame(
        edges=[(0, 1)],
        weights=[1.0],
        target=1,
        slope=[0.5, 0.5],
        observed_noise=[1.0, 2.0],
        baseline_noise=np.random.default_rng(1).normal(size=(4, 2)),
    )
    return encode_game(game)


def zeros(*shape: int) -> tensor_pb2.Tensor:
    return encode_tensor(np.zeros(shape))


Spoil = Callable[[attribution_pb2.AttributionGame], object]
Row = tuple[Callable[[], attribution_pb2.AttributionGame], Spoil, str]
ROWS: Mapping[str, Row] = {
    "no game": (noisy_or, lambda g: g.ClearField("noisy_or"), "game"),
    "no target": (noisy_or, lambda g: g.noisy_or.ClearField("target"), "game.noisy_or.target"),
    "no leak": (noisy_or, lambda g: g.noisy_or.ClearField("leak"), "game.noisy_or.leak"),
    "no weights": (
        noisy_or,
        lambda g: g.noisy_or.edges.ClearField("weights"),
        "game.noisy_or.edges.weights",
    ),
    "too few weights": (
        noisy_or,
        lambda g: g.noisy_or.edges.weights.CopyFrom(zeros(1)),
        "game.noisy_or.edges.weights",
    ),
    "targets missing": (
        noisy_or,
        lambda g: g.noisy_or.edges.targets.pop(),
        "game.noisy_or.edges.targets",
    ),
    "no players": (noisy_or, lambda g: g.noisy_or.leak.CopyFrom(zeros(0)), "game"),
    "a target that is nobody": (
        noisy_or,
        lambda g: setattr(g.noisy_or, "target", 3),
        "game.noisy_or.target",
    ),
    "an edge to nobody": (
        noisy_or,
        lambda g: g.noisy_or.edges.targets.__setitem__(1, 2**32 - 1),
        "game.noisy_or.edges",
    ),
    "a cycle": (
        noisy_or,
        lambda g: g.noisy_or.edges.targets.__setitem__(1, 0),
        "game.noisy_or.edges",
    ),
    "too few activations": (
        noisy_or,
        lambda g: g.noisy_or.activation.CopyFrom(zeros(2)),
        "game.noisy_or.activation",
    ),
    "a name twice": (noisy_or, lambda g: g.players.__setitem__(1, "p0"), "game.players"),
    "a name too many": (noisy_or, lambda g: g.players.append("p3"), "game.players"),
    "no dtype": (
        noisy_or,
        lambda g: g.noisy_or.leak.ClearField("dtype"),
        "game.noisy_or.leak.dtype",
    ),
    "a matrix of noise": (
        tail,
        lambda g: g.sampled_tail.observed_noise.CopyFrom(zeros(1, 3)),
        "game.sampled_tail.observed_noise.shape",
    ),
    "a vector of samples": (
        tail,
        lambda g: g.sampled_tail.baseline_noise.CopyFrom(zeros(12)),
        "game.sampled_tail.baseline_noise.shape",
    ),
    "samples of others": (
        tail,
        lambda g: g.sampled_tail.baseline_noise.CopyFrom(zeros(4, 2)),
        "game.sampled_tail.baseline_noise",
    ),
    "no samples of a vast shape": (
        tail,
        lambda g: g.sampled_tail.baseline_noise.MergeFrom(
            tensor_pb2.Tensor(shape=[0])  # [4, 3, 0] claims no bytes
        ),
        "game.sampled_tail.baseline_noise.data",
    ),
    "an unknown tail": (
        tail,
        lambda g: setattr(g.sampled_tail, "tail", 9),
        "game.sampled_tail.tail",
    ),
    "two roots": (tree, lambda g: g.call_tree.parents.__setitem__(1, -1), "game.call_tree.parents"),
    "a stage missing": (tree, lambda g: g.call_tree.stages.pop(), "game.call_tree.stages"),
    "a negative time": (
        tree,
        lambda g: g.call_tree.observed.CopyFrom(encode_tensor(np.array([1.0, -1.0]))),
        "game.call_tree.observed",
    ),
    "a threshold of NaN": (
        flow,
        lambda g: setattr(g.excess_flow, "min_signal", float("nan")),
        "game.excess_flow.min_signal",
    ),
    "too many doses": (
        flow,
        lambda g: g.excess_flow.dose.CopyFrom(zeros(MAX_PLAYERS + 1)),
        "game.excess_flow.dose",
    ),
    "too many names": (
        flow,
        lambda g: g.players.extend(map(str, range(MAX_PLAYERS))),
        "game.players",
    ),
    "too many spans": (
        tree,
        lambda g: g.call_tree.parents.extend([0] * MAX_PLAYERS),
        "game.call_tree.parents",
    ),
    "too many edges": (
        flow,
        lambda g: g.excess_flow.calls.sources.extend([0] * MAX_PLAYER_EDGES),
        "game.excess_flow.calls.sources",
    ),
    "too many samples": (
        tail,
        lambda g: g.sampled_tail.baseline_noise.CopyFrom(zeros(1, MAX_BASELINE_VALUES + 1)),
        "game.sampled_tail.baseline_noise",
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_bad_game_names_its_field(row: str) -> None:
    make, spoil, field = ROWS[row]
    message = make()
    spoil(message)
    with pytest.raises(InvalidGameError) as caught:
        decode_game(message)
    assert caught.value.field == field
    assert str(caught.value)


def test_limits_of_work_hold_at_their_edge() -> None:
    message = noisy_or(2)
    n = 4096
    edges = MAX_NOISY_OR_WORK // n - n
    game = message.noisy_or
    for name in ("leak", "activation"):
        getattr(game, name).CopyFrom(zeros(n))
    for extra, refused in ((0, False), (1, True)):
        game.edges.sources[:], game.edges.targets[:] = [0] * (edges + extra), [1] * (edges + extra)
        game.edges.weights.CopyFrom(zeros(edges + extra))
        message.players.clear()
        if refused:
            with pytest.raises(InvalidGameError, match="this server takes at most") as caught:
                decode_game_arrays(message)
            assert caught.value.field == "game.noisy_or"
        else:
            assert decode_game_arrays(message).n_edges == edges


def test_a_nonlinear_game_of_too_much_work_is_refused() -> None:
    message = rectifiers()
    game = message.nonlinear_tail
    n, edges = 512, 512
    samples = MAX_NONLINEAR_WORK // (n * (n + edges))
    game.edges.sources[:], game.edges.targets[:] = [0] * edges, [1] * edges
    game.edges.weights.CopyFrom(zeros(edges))
    for name in ("slope", "observed_noise"):
        getattr(game, name).CopyFrom(zeros(n))
    game.baseline_noise.CopyFrom(zeros(samples, n))
    assert decode_game_arrays(message).n_players == n
    game.baseline_noise.CopyFrom(zeros(samples + 1, n))
    with pytest.raises(InvalidGameError) as caught:
        decode_game_arrays(message)
    assert caught.value.field == "game.nonlinear_tail"


def test_an_array_without_elements_may_not_claim_a_vast_extent() -> None:
    message = tensor_pb2.Tensor(dtype=tensor_pb2.D_TYPE_FLOAT64, shape=[1 << 62, 0])
    with pytest.raises(InvalidGameError) as caught:
        decode_matrix(message, "x", error=InvalidGameError)
    assert caught.value.field == "x.shape"
    message.shape[0] = 1 << 31
    assert decode_matrix(message, "x").shape == (1 << 31, 0)
