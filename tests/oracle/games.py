"""Games by their definitions, in plain numpy, and the Shapley formula over all coalitions.

Nothing here uses the package: values come from the structural equations, node by node.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Value = Callable[[Bools], Floats]


@dataclass(frozen=True)
class Case:
    """Arguments of a game of the package, and the oracle's value of a matrix of coalitions."""

    arguments: dict[str, Any]
    value: Value
    n: int


def all_coalitions(n: int, first: int = 0, count: int | None = None) -> Bools:
    """Coalitions by number, player i being bit i, [count, n]."""
    numbers = np.arange(first, first + (2**n - first if count is None else count))
    return (numbers[:, None] >> np.arange(n) & 1).astype(bool)


def tabulate(value: Value, n: int) -> Floats:
    """Values of all coalitions, [2^n], in chunks."""
    step = 1 << 14
    return np.concatenate(
        [value(all_coalitions(n, i, min(step, 2**n - i))) for i in range(0, 2**n, step)]
    )


def shapley_by_definition(value: Value, n: int) -> Floats:
    """``sum over S without i of s! (n - s - 1)! / n! (v(S + i) - v(S))`` (Shapley 1953)."""
    table = tabulate(value, n)
    numbers = np.arange(2**n)
    sizes = np.bitwise_count(numbers)
    weights = np.array([factorial(s) * factorial(n - s - 1) / factorial(n) for s in range(n)])
    out = np.empty(n)
    for i in range(n):
        without = numbers[numbers >> i & 1 == 0]
        gains = table[without | 1 << i] - table[without]
        out[i] = (weights[sizes[without]] * gains).sum()
    return out


def random_dag(rng: np.random.Generator, n: int) -> tuple[NDArray[np.int64], Floats]:
    """Edges with parents before children, weights .3 to 1; every node reaches the last one."""
    edges = [
        (int(i), j)
        for j in range(1, n)
        for i in rng.choice(j, size=min(j, int(rng.integers(1, 4))), replace=False)
    ]
    with_child = {i for i, _ in edges}
    edges += [(i, int(rng.integers(i + 1, n))) for i in range(n - 1) if i not in with_child]
    return np.array(edges, dtype=np.int64).reshape(-1, 2), rng.uniform(0.3, 1.0, len(edges))


def _simulate(
    edges: NDArray[np.int64], weights: Floats, noise: Floats, slope: Floats | None
) -> Floats:
    """Values of all nodes [..., n] from their noise, in index order."""
    out = np.zeros_like(noise)
    for j in range(noise.shape[-1]):
        h = np.zeros(noise.shape[:-1])
        for (a, b), w in zip(edges, weights, strict=True):
            if b == j:
                h = h + w * out[..., a]
        if slope is not None:
            h = np.maximum(h, slope[j] * h)
        out[..., j] = h + noise[..., j]
    return out


def tail_case(rng: np.random.Generator, n: int, *, nonlinear: bool, samples: int = 48) -> Case:
    """Log tail probability of the last node, by simulating the structural model."""
    edges, weights = random_dag(rng, n)
    slope = rng.uniform(0.0, 1.0, n) if nonlinear else None
    baseline = rng.normal(size=(samples, n))
    observed = rng.normal(size=n) + np.where(rng.uniform(size=n) < 0.3, 3.0, 0.0)
    target = n - 1
    usual = _simulate(edges, weights, baseline, slope)[:, target]
    reached = _simulate(edges, weights, observed, slope)[target]
    threshold = reached - 1e-3 * usual.std(ddof=1)

    def value(coalitions: Bools) -> Floats:
        noise = np.where(coalitions[:, None, :], observed, baseline)
        count = (_simulate(edges, weights, noise, slope)[..., target] >= threshold).sum(axis=1)
        out: Floats = np.log((count + 0.5) / (samples + 0.5))
        return out

    arguments = {
        "edges": edges,
        "weights": weights,
        "target": target,
        "observed_noise": observed,
        "baseline_noise": baseline,
    }
    if slope is not None:
        arguments["slope"] = slope
    return Case(arguments, value, n)


def noisy_or_case(rng: np.random.Generator, n: int) -> Case:
    """Probability of the last node, parents taken as independent."""
    edges, transmission = random_dag(rng, n)
    leak, activation = rng.uniform(0.0, 0.05, n), rng.uniform(0.3, 0.95, n)

    def value(coalitions: Bools) -> Floats:
        fails = np.zeros((len(coalitions), n))
        for j in range(n):
            spared = (1 - leak[j]) * (1 - activation[j] * coalitions[:, j])
            for (a, b), q in zip(edges, transmission, strict=True):
                if b == j:
                    spared = spared * (1 - q * fails[:, a])
            fails[:, j] = 1 - spared
        out: Floats = fails[:, n - 1]
        return out

    arguments = {
        "edges": edges,
        "transmission": transmission,
        "target": n - 1,
        "leak": leak,
        "activation": activation,
    }
    return Case(arguments, value, n)


def call_tree_case(rng: np.random.Generator, n: int) -> Case:
    """Latency of the root: own time plus, stage by stage, the longest call."""
    parent = np.array([-1, *(int(rng.integers(max(0, (i - 1) // 3), i)) for i in range(1, n))])
    stage = rng.integers(0, 2, n)
    baseline = rng.lognormal(0.0, 0.6, n)
    observed = baseline * rng.uniform(0.85, 1.2, n)
    observed[rng.choice(n, max(1, n // 4), replace=False)] *= 4.0

    def value(coalitions: Bools) -> Floats:
        own = np.where(coalitions, observed, baseline)
        latency = own.copy()
        for i in range(n - 1, -1, -1):
            for s in (0, 1):
                calls = [c for c in range(n) if parent[c] == i and stage[c] == s]
                if calls:
                    latency[:, i] += latency[:, calls].max(axis=1)
        out: Floats = latency[:, 0]
        return out

    arguments = {"parent": parent, "stage": stage, "baseline": baseline, "observed": observed}
    return Case(arguments, value, n)


def interaction_case(rng: np.random.Generator, n: int, *, triples: bool = True) -> Case:
    """Single, pairwise and triple effects inside the coalition."""
    single = rng.exponential(size=n)
    pair = np.triu(rng.normal(size=(n, n)), 1)
    pair = pair + pair.T
    sets = np.array([rng.choice(n, 3, replace=False) for _ in range(n if triples else 0)])
    effects = rng.normal(size=len(sets))

    def value(coalitions: Bools) -> Floats:
        members = coalitions.astype(float)
        out: Floats = members @ single
        out = out + 0.5 * np.einsum("bi,ij,bj->b", members, pair, members)
        for trio, effect in zip(sets, effects, strict=True):
            out = out + effect * coalitions[:, trio].all(axis=1)
        return out

    arguments = {
        "single": single,
        "pair": pair,
        "triples": sets.reshape(-1, 3),
        "triple_effects": effects,
    }
    return Case(arguments, value, n)
