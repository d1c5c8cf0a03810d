"""Games in the native core: typed doors to their construction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesrca import _core

NativeGame = _core.NativeGame
"""A game the core can play; opaque."""

Floats = NDArray[np.float64]
Coalitions = NDArray[np.bool_]

_BUILDERS: Mapping[str, Callable[..., _core.NativeGame]] = {
    "sampled_tail": _core.sampled_tail_game,
    "gaussian_tail": _core.gaussian_tail_game,
    "nonlinear_tail": _core.nonlinear_tail_game,
    "noisy_or": _core.noisy_or_game,
    "live_edge": _core.live_edge_game,
    "call_tree": _core.call_tree_game,
    "interaction": _core.interaction_game,
    "excess_flow": _core.excess_flow_game,
}


def build_game(kind: str, **arguments: Any) -> _core.NativeGame:  # noqa: ANN401  one door for all kinds
    """Build a game of the core from named arrays; see ``bayesrca._core.<kind>_game``.

    Raises:
        InvalidGameError: an array has the wrong shape or holds an illegal value.
    """
    return _BUILDERS[kind](**arguments)


def build_python_game(
    n_players: int,
    values: Callable[[Coalitions], Floats],
    *,
    samples: Callable[[Coalitions], Floats] | None = None,
    n_samples: int = 0,
) -> _core.NativeGame:
    """Build a game whose coalitions, rows of a matrix [b, n], Python values; see ``_core``.

    What cannot be played (no players, fewer than two samples) is refused when it is.
    """
    return _core.python_game(n_players, values, samples=samples, n_samples=n_samples)


def compute_flow_weights(requests: Floats, calls: NDArray[np.int64]) -> Floats:
    """Part of each callee's excess that each caller sees, [e]; see ``_core.excess_flow_weights``.

    Raises:
        InvalidGameError: an unknown component or an illegal number of requests.
    """
    return _core.excess_flow_weights(requests=requests, calls=calls)
