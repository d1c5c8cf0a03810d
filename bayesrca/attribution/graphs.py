"""Games on graphs of components: whose failure, whose time, whose excess reached the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from bayesrca.attribution.game import (
    Floats,
    Game,
    Players,
    finish,
    floats,
    freeze,
    indices,
    pairs,
)
from bayesrca.kernels.games import NativeGame, build_game, compute_flow_weights


@dataclass(frozen=True, eq=False, kw_only=True)
class NoisyOrGame(Game):
    """Failure of the target when failures travel by noisy-OR and parents are taken as independent.

    A node fails with probability ``1 - (1 - leak)(1 - activation [it is in S]) x product over
    parents of (1 - transmission p_parent)``; the value is the target's. Pearl (1988). Treating
    parents as independent is exact on trees; where paths share ancestors, `LiveEdgeGame` is the
    true law.

    Attributes:
        edges: int [e, 2] or pairs of names, (parent, child), without a cycle.
        transmission: float [e], probability that the parent's failure makes the child fail.
        target: the node whose failure is explained, by index or name.
        leak: float [n], probability of failing for no reason.
        activation: float [n], probability that a member of the coalition fails.
        players: names of the nodes; None numbers them.

    Raises:
        InvalidGameError: a cycle, a wrong shape, an unknown name or an entry that is not a
            probability.
    """

    edges: ArrayLike
    transmission: ArrayLike
    target: int | str
    leak: ArrayLike
    activation: ArrayLike
    players: Players = None

    def __post_init__(self) -> None:
        freeze(self, links="edges", vectors=("transmission", "leak", "activation"))
        finish(self)

    def _build(self) -> NativeGame:
        return build_game("noisy_or", **_failure_arrays(self))


@dataclass(frozen=True, eq=False, kw_only=True)
class LiveEdgeGame(Game):
    """Failure of the target when failures travel along live edges, on any graph, cycles included.

    Each edge is live with its own probability, and the target fails when a failed node reaches it
    along live edges (Kempe, Kleinberg & Tardos 2003). Coverage by failed members gives all Shapley
    values of a sampled world at once, without permutations, so a budget counts worlds.

    Attributes:
        edges: int [e, 2] or pairs of names, (from, to); parallel edges are independent.
        transmission: float [e], probability that the edge is live.
        target: the node whose failure is explained, by index or name.
        leak: float [n], probability of failing for no reason.
        activation: float [n], probability that a member of the coalition fails.
        players: names of the nodes; None numbers them.

    Raises:
        InvalidGameError: a wrong shape, an unknown name or an entry that is not a probability.
    """

    edges: ArrayLike
    transmission: ArrayLike
    target: int | str
    leak: ArrayLike
    activation: ArrayLike
    players: Players = None

    def __post_init__(self) -> None:
        freeze(self, links="edges", vectors=("transmission", "leak", "activation"))
        finish(self)

    def _build(self) -> NativeGame:
        return build_game("live_edge", **_failure_arrays(self))


@dataclass(frozen=True, eq=False, kw_only=True)
class CallTreeGame(Game):
    """Latency blame in one request's tree of spans.

    The value of a coalition is the request's latency when its spans take the time of the incident
    and the others their usual one: a span lasts its own time plus, stage after stage, the longest
    of the calls of that stage.

    Attributes:
        parent: int [n] or names, the calling span; -1 (or None) for the root.
        stage: int [n] (>= 0), which of its parent's sequential stages a span belongs to; calls of
            one stage run in parallel.
        baseline: float [n], usual time of its own, without its calls (>= 0, any unit).
        observed: float [n], time of its own in the incident (>= 0, the same unit).
        players: names of the spans; None numbers them.

    Raises:
        InvalidGameError: none or several roots, an unknown parent, a cycle, a wrong shape or an
            illegal time.
    """

    parent: ArrayLike
    stage: ArrayLike
    baseline: ArrayLike
    observed: ArrayLike
    players: Players = None

    def __post_init__(self) -> None:
        parent = [-1 if p is None else p for p in np.asarray(self.parent, dtype=object).ravel()]
        object.__setattr__(self, "parent", indices(parent, "parent", self.players))
        object.__setattr__(self, "stage", indices(self.stage, "stage", None).ravel())
        freeze(self, vectors=("baseline", "observed"))
        finish(self)

    def _build(self) -> NativeGame:
        return build_game(
            "call_tree",
            parent=self.parent,
            stage=self.stage,
            baseline=self.baseline,
            observed=self.observed,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class ExcessFlowGame(Game):
    """Excess work that arrives at the target along a call graph: the physical linear model.

    A component's dose (its excess time or failures) is its own excess plus what its callees hand
    on, ``dose_i = own_i + sum over callees c of weight_ic dose_c``; the value of a coalition is
    the part of the target's dose that its members' own excesses explain. Shapley values are exact,
    on graphs with cycles too: own excess times its flow to the target along all paths; they sum to
    the target's dose. What the target hands to its own callers does not come back to it.
    `estimate_shares` adds the errors that uncertain doses put on the shares.

    Attributes:
        calls: int [e, 2] or pairs of names, (caller, callee).
        weights: float [e], part of the callee's excess that the caller sees (>= 0); those of
            repeated calls add up. See `from_requests`.
        target: the component whose excess is explained, by index or name.
        dose: float [n], excess of each component; NaN where it does not report. Its own excess is
            then taken as 0, it hands on what its callees give it, and its value is exactly 0.
        dose_sd: float [n], standard deviation of its noise (>= 0); None for exact doses.
        min_signal: doses below this many standard deviations count as 0 (>= 0).
        players: names of the components; None numbers them.

    Raises:
        InvalidGameError: a wrong shape, an unknown name, a negative or infinite entry, a target
            without a dose, or a cycle of calls that hands on all the work that goes round or more.
    """

    calls: ArrayLike
    weights: ArrayLike
    target: int | str
    dose: ArrayLike
    dose_sd: ArrayLike | None = None
    min_signal: float = 1.5
    players: Players = None

    def __post_init__(self) -> None:
        if self.dose_sd is None:
            object.__setattr__(self, "dose_sd", np.zeros(np.shape(self.dose)))
        freeze(self, links="calls", vectors=("weights", "dose", "dose_sd"))
        finish(self)

    def _build(self) -> NativeGame:
        return build_game(
            "excess_flow",
            calls=self.calls,
            weights=self.weights,
            target=self.target,
            dose=self.dose,
            dose_sd=self.dose_sd,
            min_signal=float(self.min_signal),
        )

    @classmethod
    def from_requests(
        cls,
        *,
        calls: ArrayLike,
        requests: ArrayLike,
        target: int | str,
        dose: ArrayLike,
        dose_sd: ArrayLike | None = None,
        min_signal: float = 1.5,
        players: Players = None,
    ) -> Self:
        """Weigh each call by the caller's part of the requests of all the callee's callers.

        A callee hands equal parts to its callers where one of these has unknown requests or all
        have none, so that it always hands on its whole dose.

        Args:
            calls: int [e, 2] or pairs of names, (caller, callee).
            requests: float [n], requests of each component (>= 0); NaN where unknown.
            target: the component whose excess is explained.
            dose: float [n], excess of each component; NaN where it does not report.
            dose_sd: float [n], standard deviation of its noise.
            min_signal: doses below this many standard deviations count as 0.
            players: names of the components.

        Raises:
            InvalidGameError: as the class.
        """
        links = pairs(calls, "calls", players)
        weights = compute_flow_weights(floats(requests, "requests", ndim=1), links)
        return cls(
            calls=links,
            weights=weights,
            target=target,
            dose=dose,
            dose_sd=dose_sd,
            min_signal=min_signal,
            players=players,
        )

    def estimate_shares(self, *, seed: int, resamples: int = 256) -> tuple[Floats, Floats, Floats]:
        """Shares of the target's excess with the errors that the doses' noise puts on them.

        Only values that stand ``min_signal`` of their own standard deviations above 0 have a share:
        everybody's noise is positive half the time and would take from those who have a part. The
        errors come from a parametric bootstrap: the whole computation, the thresholds included, is
        repeated on doses drawn anew from normal laws.

        Args:
            seed: 0 to 2^64 - 1.
            resamples: how often the doses are drawn (>= 2).

        Returns:
            float64 [n] each: Shapley values that stand out of their noise over their sum (all 0
            when none does), the root mean square error of each share, and the standard error of
            each Shapley value.

        Raises:
            InvalidGameError: fewer than 2 resamples.
        """
        shares, share_std_err, value_std_err = self.native.estimate_shares(
            resamples=resamples, seed=seed
        )
        return shares, share_std_err, value_std_err


def _failure_arrays(game: NoisyOrGame | LiveEdgeGame) -> dict[str, object]:
    names = ("edges", "transmission", "target", "leak", "activation")
    return {name: getattr(game, name) for name in names}
