"""Random games of every kind that travels, and estimates of none in particular."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

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
from tests.unit.service.strategies import NAME

NUMBER = st.floats(-8.0, 8.0, width=32)
POSITIVE = st.floats(0.0, 8.0, width=32)
PROBABILITY = st.floats(0.0, 1.0)
TAIL = st.sampled_from(["upper", "lower"])
COUNT = st.integers(0, 2**64 - 1)
ANY = st.floats(width=64)


def array(
    draw: st.DrawFn, shape: int | tuple[int, ...], elements: st.SearchStrategy[float]
) -> NDArray[np.float64]:
    return draw(npst.arrays(np.float64, shape, elements=elements))


def names(draw: st.DrawFn, n: int) -> list[str] | None:
    return draw(st.none() | st.lists(NAME, min_size=n, max_size=n, unique=True))


def links(draw: st.DrawFn, n: int, *, cycles: bool = False) -> NDArray[np.int64]:
    node = st.integers(0, n - 1)
    pair = st.tuples(node, node).filter(lambda p: cycles or p[0] < p[1])
    # Weights of repeated edges add up, which probabilities must not, except in live-edge games.
    drawn = draw(st.lists(pair, max_size=6, unique=not cycles)) if n > 1 or cycles else []
    return np.array(drawn, dtype=np.int64).reshape(-1, 2)


@st.composite
def tails(draw: st.DrawFn, kind: str) -> Game:
    n, m = draw(st.integers(1, 5)), draw(st.integers(2, 40))
    edges = links(draw, n)
    common: dict[str, Any] = {
        "edges": edges,
        "weights": array(draw, len(edges), NUMBER),
        "target": draw(st.integers(0, n - 1)),
        "observed_noise": array(draw, n, NUMBER),
        "tail": draw(TAIL),
        "players": names(draw, n),
    }
    if kind == "gaussian_tail":
        mean, sd = array(draw, n, NUMBER), array(draw, n, POSITIVE)
        return GaussianTailGame(**common, baseline_mean=mean, baseline_sd=sd)
    # Ordinary noise, so that no game is degenerate.
    noise = np.random.default_rng(draw(st.integers(0, 99))).normal(size=(m, n))
    if kind == "sampled_tail":
        return SampledTailGame(**common, baseline_noise=noise)
    return NonlinearTailGame(**common, baseline_noise=noise, slope=array(draw, n, PROBABILITY))


@st.composite
def failures(draw: st.DrawFn, kind: str) -> Game:
    n = draw(st.integers(1, 5))
    edges = links(draw, n, cycles=kind == "live_edge")
    return (LiveEdgeGame if kind == "live_edge" else NoisyOrGame)(
        edges=edges,
        transmission=array(draw, len(edges), PROBABILITY),
        target=draw(st.integers(0, n - 1)),
        leak=array(draw, n, PROBABILITY),
        activation=array(draw, n, PROBABILITY),
        players=names(draw, n),
    )


@st.composite
def call_trees(draw: st.DrawFn) -> Game:
    n = draw(st.integers(1, 6))
    return CallTreeGame(
        parent=[-1, *(draw(st.integers(0, i - 1)) for i in range(1, n))],
        stage=[draw(st.integers(0, 2**40)) for _ in range(n)],
        baseline=array(draw, n, POSITIVE),
        observed=array(draw, n, POSITIVE),
        players=names(draw, n),
    )


@st.composite
def excess_flows(draw: st.DrawFn) -> Game:
    n = draw(st.integers(1, 5))
    calls = links(draw, n)
    return ExcessFlowGame(
        calls=calls,
        weights=array(draw, len(calls), POSITIVE),
        target=draw(st.integers(0, n - 1)),
        dose=array(draw, n, NUMBER),
        dose_sd=array(draw, n, POSITIVE) if draw(st.booleans()) else None,
        min_signal=draw(POSITIVE),
        players=names(draw, n),
    )


GAMES: Mapping[str, st.SearchStrategy[Game]] = {
    "sampled_tail": tails("sampled_tail"),
    "gaussian_tail": tails("gaussian_tail"),
    "nonlinear_tail": tails("nonlinear_tail"),
    "noisy_or": failures("noisy_or"),
    "live_edge": failures("live_edge"),
    "call_tree": call_trees(),
    "excess_flow": excess_flows(),
}


@st.composite
def estimates(draw: st.DrawFn) -> ShapleyEstimate:
    n = draw(st.integers(0, 4))
    return ShapleyEstimate(
        players=tuple(draw(st.lists(NAME, min_size=n, max_size=n))),
        values=array(draw, n, ANY),
        std_err=array(draw, n, ANY),
        half_width=array(draw, n, ANY),
        inner_std_err=array(draw, n, ANY) if draw(st.booleans()) else None,
        confidence=draw(ANY),
        n_evaluations=draw(COUNT),
        n_surrogate_evaluations=draw(COUNT),
        n_units=draw(COUNT),
        converged=draw(st.booleans()),
        baseline=draw(ANY),
        grand=draw(ANY),
        rule=draw(NAME),
        exact=draw(st.booleans()),
        seed=draw(st.none() | COUNT),
    )


def bits(estimate: ShapleyEstimate) -> dict[str, object]:
    """Everything an estimate holds, arrays as bytes: equal for equal bits alone."""
    return {
        name: value.tobytes() if isinstance(value, np.ndarray) else repr(value)
        for name, value in ((f, getattr(estimate, f)) for f in estimate.__dataclass_fields__)
    }
