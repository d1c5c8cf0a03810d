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
is no probability of being the cause: that is `bayesrca.analyze`'s posterior.
"""

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
from bayesrca.attribution.tails import GaussianTailGame, NonlinearTailGame, SampledTailGame

__all__ = [
    "RULES",
    "BatchGame",
    "CallTreeGame",
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
    "estimate_shapley",
]
