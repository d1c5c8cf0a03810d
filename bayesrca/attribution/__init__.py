"""Shapley values for users: games, estimators, labelled results.

    from bayesrca.attribution import CallTreeGame, estimate_shapley

    game = CallTreeGame(
        players=("checkout", "cart", "stock"),
        parent=(None, "checkout", "checkout"),
        stage=(0, 0, 0),
        baseline=(2.0, 1.0, 1.0),
        observed=(2.0, 6.0, 5.0),
    )
    print(estimate_shapley(game, seed=1).table())

A Shapley value says how a number that was observed is shared among those who brought it about. It
is no probability of being the cause: that is `bayesrca.analyze`'s posterior. Names are loaded when
first used, so that reading the shares in an answer does not load the engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayesrca.attribution.excess import estimate_excess_attribution
    from bayesrca.attribution.game import Game
    from bayesrca.attribution.graphs import CallTreeGame, ExcessFlowGame, LiveEdgeGame, NoisyOrGame
    from bayesrca.attribution.result import RULES, ShapleyEstimate, ShapleyInteractions
    from bayesrca.attribution.sets import BatchGame, InteractionGame, TabularGame
    from bayesrca.attribution.shapley import (
        ShapleyProgress,
        compute_interactions,
        compute_shapley,
        estimate_shapley,
    )
    from bayesrca.attribution.shares import ComponentShare, ExcessAttribution
    from bayesrca.attribution.tails import GaussianTailGame, NonlinearTailGame, SampledTailGame

_HOMES = {
    "bayesrca.attribution.excess": ("estimate_excess_attribution",),
    "bayesrca.attribution.game": ("Game",),
    "bayesrca.attribution.graphs": (
        "CallTreeGame",
        "ExcessFlowGame",
        "LiveEdgeGame",
        "NoisyOrGame",
    ),
    "bayesrca.attribution.result": ("RULES", "ShapleyEstimate", "ShapleyInteractions"),
    "bayesrca.attribution.sets": ("BatchGame", "InteractionGame", "TabularGame"),
    "bayesrca.attribution.shapley": (
        "ShapleyProgress",
        "compute_interactions",
        "compute_shapley",
        "estimate_shapley",
    ),
    "bayesrca.attribution.shares": ("ComponentShare", "ExcessAttribution"),
    "bayesrca.attribution.tails": ("GaussianTailGame", "NonlinearTailGame", "SampledTailGame"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "RULES",
    "BatchGame",
    "CallTreeGame",
    "ComponentShare",
    "ExcessAttribution",
    "ExcessFlowGame",
    "Game",
    "GaussianTailGame",
    "InteractionGame",
    "LiveEdgeGame",
    "NoisyOrGame",
    "NonlinearTailGame",
    "SampledTailGame",
    "ShapleyEstimate",
    "ShapleyInteractions",
    "ShapleyProgress",
    "TabularGame",
    "compute_interactions",
    "compute_shapley",
    "estimate_excess_attribution",
    "estimate_shapley",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
