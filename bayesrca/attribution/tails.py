"""Outlier attribution: whose noise made the target's value as extreme as it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from bayesrca.attribution.game import Floats, Game, Players, finish, floats, freeze, pairs
from bayesrca.errors import InvalidGameError
from bayesrca.kernels.games import NativeGame, build_game

Tail = Literal["upper", "lower"]


@dataclass(frozen=True, eq=False, kw_only=True)
class SampledTailGame(Game):
    """Outlier attribution in a linear structural causal model, by counting samples.

    Each node is ``x_j = sum over parents i of weight_ij x_i + noise_j``. The value of a coalition S
    is the natural log of the probability that the target is at least as extreme as observed when
    the noise of S is that of the incident and everybody else's is drawn from usual times: with
    count c of m samples, ``log((c + 1/2) / (m + 1/2))``. The threshold lies a thousandth of the
    target's deviation below the observed value. Budhathoki, Janzing, Blöbaum & Ng (2022), "Causal
    structure-based root cause analysis of outliers", with the samples held fixed for all
    coalitions. Counting m samples instead of infinitely many is an error of its own, reported as
    ``inner_std_err``.

    Attributes:
        edges: int [e, 2] or pairs of names, (parent, child), without a cycle.
        weights: float [e], effect of the parent on the child.
        target: the node whose outlying value is explained, by index or name.
        observed_noise: float [n], noise terms of the incident.
        baseline_noise: float [m, n], noise terms of usual times (2 <= m <= 2^22).
        tail: ``upper`` when large values of the target are the anomaly, ``lower`` when small are.
        players: names of the nodes; None numbers them.

    Raises:
        InvalidGameError: a cycle, a wrong shape, an unknown name or a value that is not finite.
    """

    edges: ArrayLike
    weights: ArrayLike
    target: int | str
    observed_noise: ArrayLike
    baseline_noise: ArrayLike
    tail: Tail = "upper"
    players: Players = None

    def __post_init__(self) -> None:
        freeze(
            self,
            links="edges",
            vectors=("weights", "observed_noise"),
            matrices=("baseline_noise",),
        )
        finish(self)

    def _build(self) -> NativeGame:
        return build_game(
            "sampled_tail",
            edges=self.edges,
            weights=self.weights,
            target=self.target,
            observed_noise=self.observed_noise,
            baseline_noise=self.baseline_noise,
            lower=_is_lower(self.tail),
        )

    @classmethod
    def from_samples(
        cls,
        *,
        edges: ArrayLike,
        target: int | str,
        normal: ArrayLike,
        observed: ArrayLike,
        tail: Tail = "upper",
        players: Players = None,
    ) -> Self:
        """Fit the linear model to samples of usual times, by ordinary least squares per node.

        Args:
            edges: int [e, 2] or pairs of names, (parent, child), without a cycle.
            target: the node whose outlying value is explained.
            normal: float [m, n], values of the nodes at usual times.
            observed: float [n], their values in the incident.
            tail: which side of the target is the anomaly.
            players: names of the nodes.

        Raises:
            InvalidGameError: as the class; also fewer samples than a node has parents plus two.
        """
        links = pairs(edges, "edges", players)
        weights, baseline, noise = _fit_linear(
            links, floats(normal, "normal", ndim=2), floats(observed, "observed", ndim=1)
        )
        return cls(
            edges=links,
            weights=weights,
            target=target,
            observed_noise=noise,
            baseline_noise=baseline,
            tail=tail,
            players=players,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class GaussianTailGame(Game):
    """`SampledTailGame` with normal noise, whose tail probability is a formula.

    The right choice whenever the noise of usual times is close to normal: no sampling error of the
    baseline, and a value costs nanoseconds. A distance of more than 10^8 standard deviations counts
    as that many.

    Attributes:
        edges: int [e, 2] or pairs of names, (parent, child), without a cycle.
        weights: float [e], effect of the parent on the child.
        target: the node whose outlying value is explained, by index or name.
        observed_noise: float [n], noise terms of the incident.
        baseline_mean: float [n], means of the noise at usual times.
        baseline_sd: float [n], its standard deviations (>= 0).
        tail: ``upper`` when large values of the target are the anomaly, ``lower`` when small are.
        players: names of the nodes; None numbers them.

    Raises:
        InvalidGameError: a cycle, a wrong shape, an unknown name, a value that is not finite or a
            negative deviation.
    """

    edges: ArrayLike
    weights: ArrayLike
    target: int | str
    observed_noise: ArrayLike
    baseline_mean: ArrayLike
    baseline_sd: ArrayLike
    tail: Tail = "upper"
    players: Players = None

    def __post_init__(self) -> None:
        vectors = ("weights", "observed_noise", "baseline_mean", "baseline_sd")
        freeze(self, links="edges", vectors=vectors)
        finish(self)

    def _build(self) -> NativeGame:
        return build_game(
            "gaussian_tail",
            edges=self.edges,
            weights=self.weights,
            target=self.target,
            observed_noise=self.observed_noise,
            baseline_mean=self.baseline_mean,
            baseline_sd=self.baseline_sd,
            lower=_is_lower(self.tail),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class NonlinearTailGame(Game):
    """`SampledTailGame` where each node is a leaky rectifier of its parents.

    ``x_j = max(h, slope_j h) + noise_j`` with ``h = sum over parents i of weight_ij x_i``.

    Attributes:
        edges: int [e, 2] or pairs of names, (parent, child), without a cycle.
        weights: float [e], effect of the parent on h of the child.
        target: the node whose outlying value is explained, by index or name.
        slope: float [n], 0 to 1; 1 is the linear model.
        observed_noise: float [n], noise terms of the incident.
        baseline_noise: float [m, n], noise terms of usual times (2 <= m <= 2^22).
        tail: ``upper`` when large values of the target are the anomaly, ``lower`` when small are.
        players: names of the nodes; None numbers them.

    Raises:
        InvalidGameError: a cycle, a wrong shape, an unknown name, a value that is not finite or a
            slope outside its range.
    """

    edges: ArrayLike
    weights: ArrayLike
    target: int | str
    slope: ArrayLike
    observed_noise: ArrayLike
    baseline_noise: ArrayLike
    tail: Tail = "upper"
    players: Players = None

    def __post_init__(self) -> None:
        freeze(
            self,
            links="edges",
            vectors=("weights", "slope", "observed_noise"),
            matrices=("baseline_noise",),
        )
        finish(self)

    def _build(self) -> NativeGame:
        return build_game(
            "nonlinear_tail",
            edges=self.edges,
            weights=self.weights,
            target=self.target,
            slope=self.slope,
            observed_noise=self.observed_noise,
            baseline_noise=self.baseline_noise,
            lower=_is_lower(self.tail),
        )


def _is_lower(tail: str) -> bool:
    if tail not in ("upper", "lower"):
        msg = f"tail: must be upper or lower, got {tail!r}"
        raise InvalidGameError(msg, field="tail")
    return tail == "lower"


def _fit_linear(links: ArrayLike, normal: Floats, observed: Floats) -> tuple[Floats, ...]:
    """Weights [e], baseline noise [m, n] and observed noise [n] of a fitted linear model."""
    edges = np.asarray(links)
    m, n = normal.shape
    if observed.shape != (n,):
        msg = f"observed: needs {n} values, one per column of normal, has {len(observed)}"
        raise InvalidGameError(msg, field="observed")
    for name, array in (("normal", normal), ("observed", observed)):
        if not np.isfinite(array).all():
            msg = f"{name}: values must be finite; leave out incomplete samples"
            raise InvalidGameError(msg, field=name)
    if edges.size and not (edges.min() >= 0 and edges.max() < n):
        msg = f"edges: an entry is not among {n} nodes"
        raise InvalidGameError(msg, field="edges")
    weights, baseline, noise = np.zeros(len(edges)), np.empty((m, n)), np.empty(n)
    for j in range(n):
        into = np.flatnonzero(edges[:, 1] == j)
        parents = edges[into, 0]
        if m < len(parents) + 2:
            msg = f"normal: {m} samples cannot fit node {j} with {len(parents)} parents"
            raise InvalidGameError(msg, field="normal")
        design = np.column_stack([normal[:, parents], np.ones(m)])
        solution, *_ = np.linalg.lstsq(design, normal[:, j])
        weights[into] = solution[:-1]
        baseline[:, j] = normal[:, j] - design @ solution
        noise[j] = observed[j] - np.append(observed[parents], 1.0) @ solution
    return weights, baseline, noise
