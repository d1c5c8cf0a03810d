"""The games of the benchmark: their arrays, drawn once, and a batch value function in numpy each.

Every game has the players 0 to n-1 and is a frozen set of arrays that all estimators share, so
that they all play the very same game. `value` is the fastest plain numpy found for a matrix of
coalitions; it is what the Python peers call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SAMPLES = 1024
"""Baseline samples of the tail games."""
MARGIN = 1e-3
"""Distance of the threshold below the observed value, in standard deviations: in the coalition of
all players every sample equals the observed value, and without a margin its count is rounding."""
SLOPE = 0.3
"""What the nonlinear mechanism lets through below zero."""
LEAK = 0.002


def random_dag(rng: np.random.Generator, n: int) -> Ints:
    """Draw edges (parent, child): 1 to 4 parents, about 2; all nodes reach node n - 1."""
    edges = []
    for j in range(1, n):
        count = min(4, max(1, int(rng.poisson(2.0))), j)
        edges += [(int(i), j) for i in sorted(rng.choice(j, size=count, replace=False))]
    parents = {i for i, _ in edges}
    edges += [(i, int(rng.integers(i + 1, n))) for i in range(n - 1) if i not in parents]
    return np.array(sorted(edges, key=lambda e: (e[1], e[0])), dtype=np.int64).reshape(-1, 2)


def rows_of(n: int, coalitions: NDArray[np.generic]) -> Bools:
    """Coalitions as peers hand them over (integers, floats, one row or many), as Booleans."""
    return np.ascontiguousarray(coalitions, dtype=bool).reshape(-1, n)


def chunks(coalitions: Bools, rows: int) -> Iterator[tuple[slice, Bools]]:
    """Cut a matrix so that a chunk's intermediate arrays stay in the cache."""
    for start in range(0, len(coalitions), rows):
        part = slice(start, start + rows)
        yield part, coalitions[part]


def log_shares(counts: Ints) -> Floats:
    return np.asarray(np.log((counts + 0.5) / (SAMPLES + 0.5)))


def count_true(above: Bools) -> Ints:
    """Count along rows of whole 64-bit words, by far the fastest way numpy has."""
    words = np.packbits(above, axis=1).view(np.uint64)
    return np.asarray(np.bitwise_count(words).sum(axis=1, dtype=np.int64))


@dataclass(frozen=True)
class Game:
    """What all games have."""

    n: int

    @property
    def name(self) -> str:
        return type(self).__name__

    def value(self, coalitions: Bools) -> Floats:
        """Values [B] of coalitions [B, n]."""
        raise NotImplementedError


@dataclass(frozen=True)
class TailGame(Game):
    """Anomaly attribution: nodes of a structural model whose noise is as observed or as usual."""

    edges: Ints
    weights: Floats
    observed: Floats
    """Observed noise [n]."""
    baseline: Floats
    """Baseline noise [SAMPLES, n]."""

    @classmethod
    def draw(cls, n: int) -> Self:
        rng = np.random.default_rng(1000 + n)
        edges = random_dag(rng, n)
        indegree = np.bincount(edges[:, 1], minlength=n)
        weights = rng.uniform(0.4, 1.0, len(edges)) / np.sqrt(indegree[edges[:, 1]])
        baseline = rng.standard_normal((SAMPLES, n))
        observed = rng.standard_normal(n)
        causes = max(2, n // 10)
        observed[rng.choice(n, size=causes, replace=False)] = rng.uniform(3.0, 5.0, causes)
        return cls(n, edges, weights, observed, baseline)

    @cached_property
    def parents(self) -> list[list[tuple[int, float]]]:
        out: list[list[tuple[int, float]]] = [[] for _ in range(self.n)]
        for (i, j), weight in zip(self.edges.tolist(), self.weights.tolist(), strict=True):
            out[j].append((i, weight))
        return out


class G1(TailGame):
    """The linear model; v(S) = log share of the samples at least as extreme as observed."""

    @cached_property
    def steps(self) -> Singles:
        """Rows 0 to n-1: what a member adds to each sample's distance to the threshold; row n: the
        distance in the empty coalition."""
        effects = np.zeros(self.n)
        effects[-1] = 1.0
        for j in range(self.n - 1, -1, -1):
            for i, weight in self.parents[j]:
                effects[i] += weight * effects[j]
        usual = self.baseline @ effects
        threshold = self.observed @ effects - MARGIN * usual.std(ddof=1)
        steps = effects[:, None] * (self.observed[:, None] - self.baseline.T)
        return np.ascontiguousarray(np.vstack([steps, usual - threshold]), dtype=np.float32)

    def value(self, coalitions: Bools) -> Floats:
        counts = np.empty(len(coalitions), dtype=np.int64)
        for part, rows in chunks(coalitions, 256):
            members = np.ones((len(rows), self.n + 1), dtype=np.float32)
            members[:, :-1] = rows
            counts[part] = count_true(members @ self.steps >= 0.0)
        return log_shares(counts)


class G1N(TailGame):
    """As G1 with x_j = max(h, 0.3 h) + noise_j of the weighted parents h."""

    @cached_property
    def noise(self) -> Singles:
        return np.ascontiguousarray(self.baseline.T, dtype=np.float32)

    @cached_property
    def threshold(self) -> np.float32:
        ends = np.array([[False] * self.n, [True] * self.n])
        usual, observed = self.target(ends).astype(np.float64)
        return np.float32(observed[0] - MARGIN * usual.std(ddof=1))

    def target(self, coalitions: Bools) -> Singles:
        """The target's value in every sample [B, SAMPLES]."""
        x = np.empty((self.n, len(coalitions), SAMPLES), dtype=np.float32)
        part, bent = np.empty_like(x[0]), np.empty_like(x[0])
        for j, parents in enumerate(self.parents):
            h, noise = x[j], self.noise[j]
            h[:] = 0.0
            for i, weight in parents:
                h += np.multiply(x[i], np.float32(weight), out=part)
            np.maximum(h, np.multiply(h, np.float32(SLOPE), out=bent), out=h)
            members = coalitions[:, j, None]
            np.add(h, noise, out=h, where=~members)
            np.add(h, np.float32(self.observed[j]), out=h, where=members)
        target: Singles = x[-1]
        return target

    def value(self, coalitions: Bools) -> Floats:
        counts = np.empty(len(coalitions), dtype=np.int64)
        for part, rows in chunks(coalitions, 64):
            counts[part] = count_true(self.target(rows) >= self.threshold)
        return log_shares(counts)


@dataclass(frozen=True)
class NoisyOr(Game):
    """Faults that reach the target through edges, each with its probability."""

    edges: Ints
    q: Floats
    activation: Floats

    @classmethod
    def draw(cls, n: int) -> Self:
        rng = np.random.default_rng(2000 + n)
        edges = random_dag(rng, n)
        q = rng.uniform(0.3, 0.9, len(edges))
        return cls(n, edges, q, rng.uniform(0.6, 0.95, n))

    @property
    def leak(self) -> Floats:
        return np.full(self.n, LEAK)


class LIVE(NoisyOr):
    """The true semantics, worlds of live and dead edges; no peer has it."""

    def worlds(self, count: int, seed: int) -> Floats:
        """Estimate the Shapley values in plain numpy: a world is shared by those who cause it."""
        rng = np.random.default_rng(seed)
        total = np.zeros(self.n)
        for start in range(0, count, 1024):
            size = min(1024, count - start)
            reach = np.zeros((self.n, size), dtype=bool)
            reach[-1] = True
            live = rng.random((len(self.edges), size), dtype=np.float32) < self.q[:, None]
            for e in range(len(self.edges) - 1, -1, -1):
                i, j = self.edges[e]
                reach[i] |= reach[j] & live[e]
            quiet = ~(reach & (rng.random((self.n, size), dtype=np.float32) < LEAK)).any(axis=0)
            happens = rng.random((self.n, size), dtype=np.float32) < self.activation[:, None]
            causes = reach & happens & quiet
            total += (causes / np.maximum(causes.sum(axis=0), 1)).sum(axis=1)
        return total / count


class G2(NoisyOr):
    """The forward propagation that takes parents as independent: v(S) = p of the target."""

    @cached_property
    def levels(self) -> list[tuple[slice, list[tuple[Ints, Floats]]]]:
        """Nodes with all parents in earlier levels: their rows, then rows and q of k-th parents.

        Row 0 is a node that never happens, the parent of nodes with fewer parents than others.
        """
        row, depth = self.rows, self.depth
        into: list[list[tuple[int, float]]] = [[] for _ in range(self.n)]
        for (i, j), q in zip(self.edges.tolist(), self.q.tolist(), strict=True):
            into[j].append((int(row[i]), q))
        out = []
        for level in range(int(depth.max()) + 1):
            nodes = sorted(np.flatnonzero(depth == level), key=lambda j: row[j])
            width = max(len(into[j]) for j in nodes)
            padded = [into[j] + [(0, 0.0)] * (width - len(into[j])) for j in nodes]
            columns = [
                (np.array([p[k][0] for p in padded]), np.array([[p[k][1]] for p in padded]))
                for k in range(width)
            ]
            out.append((slice(int(row[nodes[0]]), int(row[nodes[-1]]) + 1), columns))
        return out

    @cached_property
    def depth(self) -> Ints:
        depth = np.zeros(self.n, dtype=np.int64)
        for i, j in self.edges:
            depth[j] = max(depth[j], depth[i] + 1)
        return depth

    @cached_property
    def rows(self) -> Ints:
        """Row of each node, level by level, after row 0."""
        rows = np.empty(self.n, dtype=np.int64)
        rows[np.argsort(self.depth, kind="stable")] = np.arange(1, self.n + 1)
        return rows

    def value(self, coalitions: Bools) -> Floats:
        out = np.empty(len(coalitions))
        for part, rows in chunks(coalitions, 2048):
            quiet = np.empty((self.n + 1, len(rows)))
            quiet[0] = 1.0
            quiet[self.rows] = (1.0 - LEAK) * (1.0 - self.activation[:, None] * rows.T)
            p = np.zeros_like(quiet)
            for level, columns in self.levels:
                for parents, q in columns:
                    quiet[level] *= 1.0 - q * p[parents]
                np.subtract(1.0, quiet[level], out=p[level])
            out[part] = p[self.rows[-1]]
        return out


@dataclass(frozen=True)
class G3(Game):
    """Additive, dense pairwise and some triple effects; its Shapley values are known."""

    single: Floats
    pair: Floats
    """Symmetric, zero diagonal [n, n]."""
    triples: Ints
    """[2n, 3]"""
    triple: Floats

    @classmethod
    def draw(cls, n: int) -> Self:
        rng = np.random.default_rng(3000 + n)
        single = rng.exponential(1.0, n)
        upper = np.triu(rng.standard_normal((n, n)) / np.sqrt(n), 1)
        triples = np.array([rng.choice(n, size=3, replace=False) for _ in range(2 * n)])
        return cls(n, single, upper + upper.T, triples, rng.normal(0.0, 0.5, 2 * n))

    @property
    def shapley(self) -> Floats:
        thirds = np.zeros(self.n)
        for column in self.triples.T:
            np.add.at(thirds, column, self.triple / 3.0)
        return self.single + self.pair.sum(axis=1) / 2.0 + thirds

    def value(self, coalitions: Bools) -> Floats:
        members = coalitions.astype(np.float64)
        halves = members @ (0.5 * self.pair) + self.single
        columns = np.ascontiguousarray(coalitions.T)
        i, j, k = self.triples.T
        whole = columns[i] & columns[j] & columns[k]
        return np.asarray(np.einsum("bi,bi->b", halves, members) + self.triple @ whole)


@dataclass(frozen=True)
class G4(Game):
    """A call tree of two sequential stages of parallel calls; the latency of its root."""

    parent: Ints
    """[n]; -1 for the root, node 0; otherwise smaller than the span's own number."""
    stage: Ints
    usual: Floats
    observed: Floats

    @classmethod
    def draw(cls, n: int) -> Self:
        rng = np.random.default_rng(4000 + n)
        parent = [-1, *(int(rng.integers((i - 1) // 3, (i + 2) // 2)) for i in range(1, n))]
        stage = rng.integers(0, 2, n)
        usual = rng.lognormal(0.0, 0.6, n)
        observed = usual * rng.uniform(0.85, 1.2, n)
        hot = rng.choice(n, size=n // 5, replace=False)
        observed[hot] *= rng.lognormal(1.2, 0.5, len(hot))
        return cls(n, np.array(parent), stage, usual, observed)

    @cached_property
    def levels(self) -> list[tuple[Ints, Ints, list[tuple[Ints, Ints]]]]:
        """From the leaves up: calls by caller and stage, where each such group begins, and for
        either stage its callers and their groups."""
        depth = np.zeros(self.n, dtype=np.int64)
        for i in range(1, self.n):
            depth[i] = depth[self.parent[i]] + 1
        out = []
        for level in range(int(depth.max()), 0, -1):
            calls = np.flatnonzero(depth == level)
            group = 2 * self.parent[calls] + self.stage[calls]
            calls = calls[np.argsort(group, kind="stable")]
            found, begins = np.unique(np.sort(group), return_index=True)
            stages = [(found[found % 2 == s] // 2, np.flatnonzero(found % 2 == s)) for s in (0, 1)]
            out.append((calls, begins.astype(np.int64), stages))
        return out

    def value(self, coalitions: Bools) -> Floats:
        change = self.observed - self.usual
        latency = self.usual[:, None] + change[:, None] * coalitions.T
        for calls, begins, stages in self.levels:
            longest = np.maximum.reduceat(latency[calls], begins, axis=0)
            for callers, groups in stages:
                latency[callers] += longest[groups]
        root: Floats = latency[0]
        return root


GAMES: dict[str, type[TailGame | NoisyOr | G3 | G4]] = {
    "G1": G1,
    "G1N": G1N,
    "G2": G2,
    "G3": G3,
    "G4": G4,
    "LIVE": LIVE,
}


def draw_game(name: str, n: int) -> TailGame | NoisyOr | G3 | G4:
    """Draw a game's arrays from the seed that its name and size give."""
    return GAMES[name].draw(n)


def enumerate_shapley(game: Game) -> Floats:
    """Shapley values by the definition, from all 2^n values of the numpy function."""
    n = game.n
    sets = np.arange(2**n)
    coalitions = (sets[:, None] >> np.arange(n) & 1).astype(bool)
    values = game.value(coalitions)
    sizes = coalitions.sum(axis=1)
    orders = np.cumprod([1.0, *(k / (n - k) for k in range(1, n))]) / n
    out = np.empty(n)
    for i in range(n):
        without = sets[~coalitions[:, i]]
        gains = values[without | 1 << i] - values[without]
        out[i] = orders[sizes[without]] @ gains
    return out
