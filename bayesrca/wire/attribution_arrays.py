"""The arrays of an attribution's game, checked against their limits. Needs no native core.

A server's front refuses what is too large or malformed with this alone; only a worker builds games.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from bayesrca.api.v1 import attribution_pb2, tensor_pb2
from bayesrca.errors import InvalidGameError
from bayesrca.wire.tensors import decode_matrix, decode_vector
from bayesrca.wire.vocabulary import Vocabulary

MAX_PLAYERS = 5_000
MAX_PLAYER_EDGES = 50_000
MAX_BASELINE_VALUES = 1 << 22
"""Most baseline samples x players."""
MAX_NONLINEAR_WORK = 1 << 28
"""Most players x (players + edges) x samples of a nonlinear tail: 32 pairs of orders, between two
looks at the clock, take a few CPU seconds."""
MAX_NOISY_OR_WORK = 1 << 26
"""Most players x (players + edges) of a noisy-OR game, for the same reason."""
_ITEM_BYTES = 8

_Part = Any  # a game's message or its edges: each field is read by its name


class TailSide(StrEnum):
    """Which side of the target's distribution is the anomaly."""

    UPPER = "upper"
    LOWER = "lower"


TAIL_SIDES = Vocabulary(
    TailSide,
    attribution_pb2.TailSide,
    "TAIL_SIDE",
    default=TailSide.UPPER,
    error=InvalidGameError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GameParts:
    """What a kind of game is made of, by the domain's names; the message uses the same ones.

    Attributes:
        links: field of the edges, empty when there are none.
        weights: the domain's name of the edges' weights.
        vectors: fields of float64 [n].
        optional: those of them that may be absent.
        matrix: field of float64 [m, n], empty when there is none.
        tail: whether it says which side is the anomaly.
    """

    links: str = ""
    weights: str = "weights"
    vectors: tuple[str, ...]
    optional: tuple[str, ...] = ()
    matrix: str = ""
    tail: bool = False


_FAILURE = GameParts(links="edges", weights="transmission", vectors=("leak", "activation"))
GAME_PARTS: Mapping[str, GameParts] = {
    "sampled_tail": GameParts(
        links="edges", vectors=("observed_noise",), matrix="baseline_noise", tail=True
    ),
    "gaussian_tail": GameParts(
        links="edges", vectors=("observed_noise", "baseline_mean", "baseline_sd"), tail=True
    ),
    "nonlinear_tail": GameParts(
        links="edges", vectors=("slope", "observed_noise"), matrix="baseline_noise", tail=True
    ),
    "noisy_or": _FAILURE,
    "live_edge": _FAILURE,
    "call_tree": GameParts(vectors=("baseline", "observed")),
    "excess_flow": GameParts(links="calls", vectors=("dose", "dose_sd"), optional=("dose_sd",)),
}
"""By the name of the request's field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GameArrays:
    """A game as named arrays.

    Attributes:
        kind: field of the request that holds it, e.g. ``noisy_or``.
        arguments: what its class takes, by name.
        n_players: number of players its arrays speak of.
        n_edges: number of edges.
    """

    kind: str
    arguments: Mapping[str, Any] = field(repr=False)
    n_players: int
    n_edges: int


def decode_game_arrays(message: attribution_pb2.AttributionGame, where: str = "game") -> GameArrays:
    """Return the arrays of a game's message, none copied that need not be.

    Args:
        message: the message, as it came.
        where: its path in the request, the start of every path in an error.

    Raises:
        InvalidGameError: no game, a part is missing or malformed, or more of something than one
            call may send.
    """
    kind = message.WhichOneof("game")
    if kind is None:
        _refuse(where, "holds no game; set one of " + ", ".join(GAME_PARTS))
    _check_count(f"{where}.players", len(message.players), MAX_PLAYERS)
    part, path, parts = getattr(message, kind), f"{where}.{kind}", GAME_PARTS[kind]
    arguments: dict[str, Any] = {"players": tuple(message.players) or None}
    for name in parts.vectors:
        if part.HasField(name) or name not in parts.optional:
            arguments[name] = _vector(part, name, path, MAX_PLAYERS)
    n_players, n_edges = len(arguments[parts.vectors[0]]), 0
    if parts.links:
        links, weights = _edges(getattr(part, parts.links), f"{path}.{parts.links}")
        n_edges = len(links)
        arguments |= {parts.links: links, parts.weights: weights, "target": _target(part, path)}
    if parts.matrix:
        arguments[parts.matrix] = _matrix(part, parts.matrix, path)
    if parts.tail:
        arguments["tail"] = str(TAIL_SIDES.word(part.tail, f"{path}.tail"))
    if kind == "call_tree":
        arguments |= _spans(part, path)
    if kind == "excess_flow" and part.HasField("min_signal"):
        arguments["min_signal"] = part.min_signal
    arrays = GameArrays(kind=kind, arguments=arguments, n_players=n_players, n_edges=n_edges)
    _check_work(arrays, path)
    return arrays


def _vector(message: _Part, name: str, path: str, limit: int) -> NDArray[np.float64]:
    tensor = _tensor(message, name, path)
    _check_count(f"{path}.{name}", len(tensor.data) // _ITEM_BYTES, limit)
    return decode_vector(tensor, f"{path}.{name}", error=InvalidGameError)


def _matrix(message: _Part, name: str, path: str) -> NDArray[np.float64]:
    tensor = _tensor(message, name, path)
    _check_count(f"{path}.{name}", len(tensor.data) // _ITEM_BYTES, MAX_BASELINE_VALUES)
    return decode_matrix(tensor, f"{path}.{name}", error=InvalidGameError)


def _tensor(message: _Part, name: str, path: str) -> tensor_pb2.Tensor:
    if not message.HasField(name):
        _refuse(f"{path}.{name}", "is missing")
    tensor: tensor_pb2.Tensor = getattr(message, name)
    return tensor


def _edges(
    message: attribution_pb2.PlayerEdges, path: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    n_edges = len(message.sources)
    _check_count(f"{path}.sources", n_edges, MAX_PLAYER_EDGES)
    if len(message.targets) != n_edges:
        what = f"has {len(message.targets)} entries, sources has {n_edges}"
        _refuse(f"{path}.targets", what)
    links = np.empty((n_edges, 2), dtype=np.int64)
    links[:, 0], links[:, 1] = message.sources, message.targets
    if not (n_edges or message.HasField("weights")):
        return links, np.zeros(0)
    weights = _vector(message, "weights", path, MAX_PLAYER_EDGES)
    if len(weights) != n_edges:
        _refuse(f"{path}.weights", f"has {len(weights)} entries, sources has {n_edges}")
    return links, weights


def _target(message: _Part, path: str) -> int:
    if not message.HasField("target"):
        _refuse(f"{path}.target", "is missing; 0 is the first player")
    return int(message.target)


def _spans(message: attribution_pb2.CallTreeGame, path: str) -> dict[str, Any]:
    for name in ("parents", "stages"):
        _check_count(f"{path}.{name}", len(getattr(message, name)), MAX_PLAYERS)
    return {
        "parent": np.array(message.parents, dtype=np.int64),
        "stage": np.array(message.stages, dtype=np.int64),
    }


def _check_work(arrays: GameArrays, path: str) -> None:
    n, edges = arrays.n_players, arrays.n_edges
    if arrays.kind == "noisy_or":
        work, limit, what = n * (n + edges), MAX_NOISY_OR_WORK, "players x (players + edges)"
    elif arrays.kind == "nonlinear_tail":
        work = n * (n + edges) * len(arrays.arguments["baseline_noise"])
        limit, what = MAX_NONLINEAR_WORK, "players x (players + edges) x samples"
    else:
        return
    if work > limit:
        remedy = "leave out what cannot reach the target, or attribute locally"
        _refuse(path, f"takes {what} = {work}; this server takes at most {limit}: {remedy}")


def _check_count(path: str, count: int, limit: int) -> None:
    if count > limit:
        _refuse(path, f"has {count} entries; one call may send at most {limit}")


def _refuse(path: str, what: str) -> NoReturn:
    msg = f"{path} {what}"
    raise InvalidGameError(msg, field=path)
