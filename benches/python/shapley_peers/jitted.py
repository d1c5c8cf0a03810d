"""The games as compiled classes for shapley-numba: every value afresh, in the tightest loops found.

shapley-numba starts its walks at a value of 0, so a game returns v(S) - v(empty). Each class counts
its evaluations. Importing this module loads numba.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numba
import numpy as np
from numba import float32, float64, int64

from benches.python.shapley_peers import games
from benches.python.shapley_peers.games import Floats, Ints

Typed = Any
"""What numba knows the type of and mypy does not."""
FAST: Callable[..., Any] = numba.njit(fastmath=True)


def _count_above(y: Typed, threshold: Typed) -> Typed:
    count = 0
    for k in range(len(y)):
        count += y[k] >= threshold
    return count


def _add_row(y: Typed, row: Typed) -> None:
    for k in range(len(y)):
        y[k] += row[k]


def _add_scaled(y: Typed, row: Typed, weight: Typed) -> None:
    for k in range(len(y)):
        y[k] += weight * row[k]


def _bend(h: Typed, slope: Typed) -> None:
    for k in range(len(h)):
        h[k] = max(h[k], slope * h[k])


count_above, add_row, add_scaled, bend = map(FAST, (_count_above, _add_row, _add_scaled, _bend))


class G1:
    """Sum of the members' rows, then a count."""

    def __init__(self, steps: Typed, shares: Typed) -> None:
        self.steps = steps
        self.shares = shares
        self.y = np.zeros(steps.shape[1], dtype=np.float32)
        self.empty = 0.0
        self.evaluations = 0

    def value(self, subset: Typed) -> Typed:
        self.evaluations += 1
        n = len(subset)
        self.y[:] = self.steps[n]
        for i in range(n):
            if subset[i]:
                add_row(self.y, self.steps[i])
        return self.shares[count_above(self.y, np.float32(0.0))] - self.empty


class G1N:
    """All nodes, parents before children."""

    def __init__(  # noqa: PLR0917 (numba's constructors take no keywords)
        self,
        begins: Typed,
        parents: Typed,
        weights: Typed,
        observed: Typed,
        noise: Typed,
        threshold: Typed,
        shares: Typed,
    ) -> None:
        self.begins = begins
        self.parents = parents
        self.weights = weights
        self.observed = observed
        self.noise = noise
        self.threshold = threshold
        self.shares = shares
        self.x = np.zeros(noise.shape, dtype=np.float32)
        self.empty = 0.0
        self.evaluations = 0

    def value(self, subset: Typed) -> Typed:
        self.evaluations += 1
        for j in range(len(subset)):
            h = self.x[j]
            h[:] = np.float32(0.0)
            for e in range(self.begins[j], self.begins[j + 1]):
                add_scaled(h, self.x[self.parents[e]], self.weights[e])
            bend(h, np.float32(0.3))
            if subset[j]:
                h += self.observed[j]
            else:
                add_row(h, self.noise[j])
        return self.shares[count_above(self.x[-1], self.threshold)] - self.empty


class G2:
    """All nodes, parents before children."""

    def __init__(
        self, begins: Typed, parents: Typed, q: Typed, activation: Typed, leak: Typed
    ) -> None:
        self.begins = begins
        self.parents = parents
        self.q = q
        self.activation = activation
        self.leak = leak
        self.p = np.zeros(len(activation))
        self.empty = 0.0
        self.evaluations = 0

    def value(self, subset: Typed) -> Typed:
        self.evaluations += 1
        for j in range(len(subset)):
            quiet = 1.0 - self.leak
            if subset[j]:
                quiet *= 1.0 - self.activation[j]
            for e in range(self.begins[j], self.begins[j + 1]):
                quiet *= 1.0 - self.q[e] * self.p[self.parents[e]]
            self.p[j] = 1.0 - quiet
        return self.p[-1] - self.empty


class G3:
    """Members' rows of the pairs, then the triples."""

    def __init__(self, single: Typed, pair: Typed, triples: Typed, triple: Typed) -> None:
        self.single = single
        self.pair = pair
        self.triples = triples
        self.triple = triple
        self.member = np.zeros(len(single), dtype=np.int64)
        self.empty = 0.0
        self.evaluations = 0

    def value(self, subset: Typed) -> Typed:
        self.evaluations += 1
        count = 0
        for i in range(len(subset)):
            if subset[i]:
                self.member[count] = i
                count += 1
        total = 0.0
        for a in range(count):
            i = self.member[a]
            total += self.single[i]
            for b in range(a):
                total += self.pair[i, self.member[b]]
        for t in range(len(self.triple)):
            i, j, k = self.triples[t, 0], self.triples[t, 1], self.triples[t, 2]
            if subset[i] and subset[j] and subset[k]:
                total += self.triple[t]
        return total - self.empty


class G4:
    """From the last span to the first: callers come before their calls."""

    def __init__(self, parent: Typed, stage: Typed, usual: Typed, observed: Typed) -> None:
        self.parent = parent
        self.stage = stage
        self.usual = usual
        self.observed = observed
        self.longest = np.zeros((2, len(parent)))
        self.empty = 0.0
        self.evaluations = 0

    def value(self, subset: Typed) -> Typed:
        self.evaluations += 1
        self.longest[:] = 0.0
        latency = 0.0
        for i in range(len(subset) - 1, -1, -1):
            own = self.observed[i] if subset[i] else self.usual[i]
            latency = own + self.longest[0, i] + self.longest[1, i]
            if i > 0:
                s, caller = self.stage[i], self.parent[i]
                self.longest[s, caller] = max(self.longest[s, caller], latency)
        return latency - self.empty


COUNTERS = [("empty", float64), ("evaluations", int64)]
SPECS: dict[str, tuple[type, list[tuple[str, Any]]]] = {
    "G1": (G1, [("steps", float32[:, ::1]), ("shares", float64[::1]), ("y", float32[::1])]),
    "G1N": (
        G1N,
        [
            ("begins", int64[::1]),
            ("parents", int64[::1]),
            ("weights", float32[::1]),
            ("observed", float32[::1]),
            ("noise", float32[:, ::1]),
            ("threshold", float32),
            ("shares", float64[::1]),
            ("x", float32[:, ::1]),
        ],
    ),
    "G2": (
        G2,
        [
            ("begins", int64[::1]),
            ("parents", int64[::1]),
            ("q", float64[::1]),
            ("activation", float64[::1]),
            ("leak", float64),
            ("p", float64[::1]),
        ],
    ),
    "G3": (
        G3,
        [
            ("single", float64[::1]),
            ("pair", float64[:, ::1]),
            ("triples", int64[:, ::1]),
            ("triple", float64[::1]),
            ("member", int64[::1]),
        ],
    ),
    "G4": (
        G4,
        [
            ("parent", int64[::1]),
            ("stage", int64[::1]),
            ("usual", float64[::1]),
            ("observed", float64[::1]),
            ("longest", float64[:, ::1]),
        ],
    ),
}


def into_nodes(n: int, edges: Ints, weights: Floats) -> tuple[Ints, Ints, Floats]:
    """First edge of each node among edges sorted by child, the parents and the weights."""
    order = np.argsort(edges[:, 1], kind="stable")
    begins = np.searchsorted(edges[order, 1], np.arange(n + 1)).astype(np.int64)
    return begins, np.ascontiguousarray(edges[order, 0]), weights[order]


def arguments(game: games.Game) -> tuple[Any, ...]:
    shares = games.log_shares(np.arange(games.SAMPLES + 1))
    if isinstance(game, games.G1):
        return game.steps, shares
    if isinstance(game, games.G1N):
        begins, parents, weights = into_nodes(game.n, game.edges, game.weights)
        singles = (weights.astype(np.float32), game.observed.astype(np.float32))
        return begins, parents, *singles, game.noise, game.threshold, shares
    if isinstance(game, games.G2):
        into = into_nodes(game.n, game.edges, game.q)
        return *into, game.activation, games.LEAK
    if isinstance(game, games.G3):
        return game.single, game.pair, game.triples, game.triple
    assert isinstance(game, games.G4)
    return game.parent, game.stage, game.usual, game.observed


def jitted_game(game: games.Game) -> Typed:
    """Compile a game's class and hand it to shapley-numba's wrapper."""
    cls, spec = SPECS[game.name]
    wrapped = import_module("shapley_numba").numba_game([*spec, *COUNTERS])(cls)
    out = wrapped(*arguments(game))
    if isinstance(out.jitted_game, Exception):
        raise out.jitted_game
    empty = np.zeros(game.n, dtype=np.int32)
    out.jitted_game.empty = out.jitted_game.value(empty)
    return out
