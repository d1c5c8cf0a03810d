"""Games and Shapley estimates as messages and back. Importing it loads the native core.

That is why `bayesrca.wire` does not: a client that only asks for analyses needs none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayesrca.api.v1 import attribution_pb2, tensor_pb2
from bayesrca.api.v1 import attribution_service_pb2 as pb
from bayesrca.attribution import (
    CallTreeGame,
    ExcessFlowGame,
    Game,
    GaussianTailGame,
    LiveEdgeGame,
    NoisyOrGame,
    NonlinearTailGame,
    SampledTailGame,
    ShapleyEstimate,
)
from bayesrca.attribution.shapley import checked_seed
from bayesrca.errors import IncidentFormatError, InvalidGameError
from bayesrca.wire.attribution_arrays import (
    GAME_PARTS,
    TAIL_SIDES,
    GameParts,
    TailSide,
    decode_game_arrays,
)
from bayesrca.wire.attribution_settings import AttributionSettings, encode_attribution_settings
from bayesrca.wire.paths import located
from bayesrca.wire.tensors import decode_vector, encode_tensor

Floats = NDArray[np.float64]

_CLASSES: Mapping[str, type[Game]] = {
    "sampled_tail": SampledTailGame,
    "gaussian_tail": GaussianTailGame,
    "nonlinear_tail": NonlinearTailGame,
    "noisy_or": NoisyOrGame,
    "live_edge": LiveEdgeGame,
    "call_tree": CallTreeGame,
    "excess_flow": ExcessFlowGame,
}
_KINDS: Mapping[type[Game], str] = {game: kind for kind, game in _CLASSES.items()}
_ESTIMATE_NUMBERS = (
    "confidence", "n_evaluations", "n_surrogate_evaluations", "n_units", "converged", "baseline",
    "grand", "rule", "exact",
)  # fmt: skip
_ESTIMATE_ARRAYS = ("values", "std_err", "half_width")
_SHARE_ARRAYS = ("shares", "share_std_err", "value_std_err")


def encode_attribution_request(
    game: Game, *, seed: int, settings: AttributionSettings
) -> pb.AttributeAnomalyRequest:
    """Return an attribution as a message.

    Raises:
        InvalidGameError: the game is none that can travel: its value is a Python function, say.
        InvalidSettingsError: a seed that is not a whole number from 0 to 2^64 - 1.
    """
    return pb.AttributeAnomalyRequest(
        game=encode_game(game),
        seed=checked_seed(seed),
        settings=encode_attribution_settings(settings),
    )


def encode_game(game: Game) -> attribution_pb2.AttributionGame:
    """Return a game as a message; every bit of every array survives.

    Raises:
        InvalidGameError: the game is none of those on graphs.
    """
    kind = _KINDS.get(type(game))
    if kind is None:
        known = ", ".join(sorted(game.__name__ for game in _KINDS))
        msg = f"game: a {type(game).__name__} cannot be sent to a server, only {known}"
        raise InvalidGameError(msg, field="game")
    message = attribution_pb2.AttributionGame(players=game.player_names)
    part, parts = getattr(message, kind), GAME_PARTS[kind]
    part.SetInParent()
    for name in (*parts.vectors, parts.matrix):
        if name:
            getattr(part, name).CopyFrom(_encode(getattr(game, name)))
    if parts.links:
        _encode_edges(getattr(part, parts.links), game, parts)
        part.target = _target_of(game)
    match game:
        case SampledTailGame() | GaussianTailGame() | NonlinearTailGame():
            part.tail = TAIL_SIDES.number(TailSide(game.tail))
        case CallTreeGame():
            part.parents.extend(np.asarray(game.parent).tolist())
            part.stages.extend(np.asarray(game.stage).tolist())
        case ExcessFlowGame():
            part.min_signal = game.min_signal
    return message


def decode_game(message: attribution_pb2.AttributionGame, where: str = "game") -> Game:
    """Build the game a message describes.

    Args:
        message: the message, as it came.
        where: its path in the request, the start of every path in an error.

    Raises:
        InvalidGameError: whatever the message or the game refuses; ``field`` says where.
    """
    arrays = decode_game_arrays(message, where)
    parts = GAME_PARTS[arrays.kind]
    # What the domain calls differently, or keeps elsewhere.
    paths = {"": where, "game": where, "players": f"{where}.players"}
    inside = {"parent": "parents", "stage": "stages"}
    if parts.links:
        inside[parts.weights] = f"{parts.links}.weights"

    def rename(field: str) -> str:
        return paths.get(field, f"{where}.{arrays.kind}.{inside.get(field, field)}")

    with located(where, rename):
        return _CLASSES[arrays.kind](**arrays.arguments)


def encode_estimate(estimate: ShapleyEstimate) -> attribution_pb2.ShapleyEstimate:
    """Return an estimate as a message; every double survives to the last bit."""
    message = attribution_pb2.ShapleyEstimate(players=estimate.players, seed=estimate.seed)
    for name in _ESTIMATE_ARRAYS:
        getattr(message, name).CopyFrom(encode_tensor(getattr(estimate, name)))
    if estimate.inner_std_err is not None:
        message.inner_std_err.CopyFrom(encode_tensor(estimate.inner_std_err))
    for name in _ESTIMATE_NUMBERS:
        setattr(message, name, getattr(estimate, name))
    return message


def decode_estimate(
    message: attribution_pb2.ShapleyEstimate, where: str = "estimate"
) -> ShapleyEstimate:
    """Return the estimate a message holds.

    Args:
        message: the message, as it came.
        where: its path in the response, the start of every path in an error.

    Raises:
        IncidentFormatError: an array is missing, malformed or of another length than ``players``.
    """
    n = len(message.players)
    arrays: dict[str, Floats | None] = {
        name: _decode(getattr(message, name), f"{where}.{name}", n) for name in _ESTIMATE_ARRAYS
    }
    arrays["inner_std_err"] = (
        _decode(message.inner_std_err, f"{where}.inner_std_err", n)
        if message.HasField("inner_std_err")
        else None
    )
    numbers: dict[str, Any] = {name: getattr(message, name) for name in _ESTIMATE_NUMBERS}
    return ShapleyEstimate(
        players=tuple(message.players),
        seed=message.seed if message.HasField("seed") else None,
        **arrays,  # type: ignore[arg-type]  # those that may be None are
        **numbers,
    )


def encode_shares(
    shares: tuple[Floats, Floats, Floats], resamples: int
) -> attribution_pb2.ExcessShares:
    """Return what `ExcessFlowGame.estimate_shares` returns as a message."""
    message = attribution_pb2.ExcessShares(resamples=resamples)
    for name, array in zip(_SHARE_ARRAYS, shares, strict=True):
        getattr(message, name).CopyFrom(encode_tensor(array))
    return message


def decode_shares(
    message: attribution_pb2.ExcessShares, where: str = "shares"
) -> tuple[Floats, Floats, Floats]:
    """Return the shares, their standard errors and those of the values, float64 [n] each.

    Raises:
        IncidentFormatError: an array is missing, malformed or of another length than the others.
    """
    n = math.prod(message.shares.shape)
    shares, share_std_err, value_std_err = (
        _decode(getattr(message, name), f"{where}.{name}", n) for name in _SHARE_ARRAYS
    )
    return shares, share_std_err, value_std_err


def _encode(values: ArrayLike) -> tensor_pb2.Tensor:
    return encode_tensor(np.asarray(values, dtype=np.float64))


def _encode_edges(message: attribution_pb2.PlayerEdges, game: Game, parts: GameParts) -> None:
    links = np.asarray(getattr(game, parts.links))
    message.sources.extend(links[:, 0].tolist())
    message.targets.extend(links[:, 1].tolist())
    message.weights.CopyFrom(_encode(getattr(game, parts.weights)))


def _target_of(game: Any) -> int:  # noqa: ANN401  a name became an index when the game was built
    return int(game.target)


def _decode(message: tensor_pb2.Tensor, where: str, n: int) -> Floats:
    array = decode_vector(message, where, error=IncidentFormatError)
    if len(array) != n:
        msg = f"{where} has {len(array)} entries for {n} players"
        raise IncidentFormatError(msg, field=where)
    return array
