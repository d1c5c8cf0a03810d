"""Simulated spans and logs: log Bayes factors from the laws of docs/concepts.md (eq. 21 to 24)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesrca.evaluation.simulate_graph import find_steps
from bayesrca.evidence import TraceEvidence

Floats = NDArray[np.float64]
Theta = Mapping[str, Any]
Cell = tuple[str, int]
"""An array of `TraceEvidence`, and a place in it."""

OWN = ("own_pattern", "own_self_time")
CALLS = ("edge_gap", "edge_terminal", "edge_order")
_TIMES = ("own_self_time", "edge_gap")

POWERS = (0.5, 1.5, 3.0)
"""Spreads of a log Bayes factor under the reference laws, equally likely; its mean is minus half
the square when quiet, plus half of it when affected, and zero for what changes a little."""
UNSEEN = 0.35
"""Prior weight of a fault in code at a component of whose own spans nothing can be told."""
TIMED_LINK = 5.0
"""Prior weight of a link fault where calls are timed at both ends, against one where not."""

NOT_CALLED = 0.4
"""Probability that a component that behaves otherwise no longer calls one that it called."""


@dataclass(frozen=True)
class Way:
    """One way in which a fault shows in spans and logs.

    Attributes:
        own: probability that the root shows it in its patterns, and in its times.
        around: probability that the patterns of its callers show it, of higher ancestors, of its
            callees, of its callers' other callees.
        gap: the same of the gaps of calls to it, of its own calls, of calls to its callers.
        terminal: the same of calls that are their caller's last act.
    """

    own: tuple[float, float]
    around: tuple[float, float, float, float]
    gap: tuple[float, float, float]
    terminal: tuple[float, float, float]

    @property
    def groups(self) -> Floats:
        """[10] probabilities of all groups."""
        return np.array([*self.around, *self.gap, *self.terminal])


WAYS: Mapping[str, Way] = {
    "slow": Way((0.15, 0.6), (0.2, 0.1, 0.02, 0.02), (0.6, 0.4, 0.05), (0.08, 0.05, 0.08)),
    "far": Way((0.1, 0.15), (0.5, 0.3, 0.03, 0.15), (0.95, 0.35, 0.05), (0.3, 0.1, 0.2)),
    "otherwise": Way((0.95, 0.1), (0.6, 0.5, 0.25, 0.3), (0.05, 0.03, 0.03), (0.5, 0.3, 0.35)),
    "silent": Way((0.05, 0.1), (0.6, 0.5, 0.25, 0.3), (0.05, 0.03, 0.03), (0.95, 0.05, 0.35)),
    "contained": Way((0.95, 0.1), (0.03, 0.02, 0.1, 0.02), (0.05, 0.03, 0.03), (0.03, 0.3, 0.02)),
}
"""Every way."""
_OTHERWISE = {"otherwise": 0.45, "silent": 0.25, "contained": 0.3}
KIND_WAYS: Mapping[str, Mapping[str, float]] = {
    "latency": {"slow": 1.0},
    "errors": _OTHERWISE,
    "resource": {"slow": 1.0},
    "load": {"slow": 1.0},
    "link": {"far": 1.0},
    "crash": {"silent": 1.0},
    "code": _OTHERWISE,
}
"""Ways of each kind of fault, with their probabilities."""
SET_WAYS = {"slow": 0.45, "otherwise": 0.25, "silent": 0.15, "contained": 0.15}
"""Shares of the ways in how several causes show around them."""
SHARES = (0.5, 0.5, 0.8, 0.5, 0.8, 0.8, 0.8, 0.7, 1.0, 0.7)
"""Probability that a member of each group shows it, where the group does."""
_TERMINAL_OUT = 8


class SimulatedTraces:
    """Which components and calls have spans, in which families, and what they show.

    Args:
        rng: source of all randomness.
        n: number of components.
        calls: int64 [e, 2], pairs (caller, callee).
        share: probability that an incident has any spans at all.
    """

    def __init__(
        self, rng: np.random.Generator, n: int, calls: NDArray[np.int64], *, share: float = 0.6
    ) -> None:
        self.rng, self.n = rng, n
        self.traced = bool(rng.random() < share)
        self.spans = (rng.random(n) < 0.85) & self.traced
        self.calls = [
            (int(a), int(b))
            for a, b in np.unique(calls.reshape(-1, 2), axis=0)
            if self.spans[a] and rng.random() < 0.9
        ]
        sizes = {**dict.fromkeys(OWN, n), **dict.fromkeys(CALLS, len(self.calls))}
        self.known = {
            (name, at)
            for name, size in sizes.items()
            for at in range(size)
            if (self.spans[at] if name in OWN else True) and rng.random() < 0.8
        }
        self.timed = {self.calls[at][1] for name, at in self.known if name == "edge_gap"}

    def code_weight(self, i: int) -> float:
        """Prior weight of a fault in the code of component i."""
        if not self.known:
            return 0.0
        return 1.0 if any((name, i) in self.known for name in OWN) else UNSEEN

    def is_untold(self, i: int) -> bool:
        """Whether there are calls to component i, of none of which truncation is told."""
        calls = [at for at, (_, b) in enumerate(self.calls) if b == i]
        return bool(calls) and not any(("edge_terminal", at) in self.known for at in calls)

    def link_weight(self, i: int) -> float | None:
        """Prior weight of a slow way to component i, None where no call to it is timed."""
        return TIMED_LINK if i in self.timed else None

    def draw(self, theta: Theta, faults: Sequence[tuple[int, str]]) -> TraceEvidence | None:
        """Draw everything, given the roots and kinds of the causes; None where nothing is traced.

        A single cause shows in one way, at its root and around it; of several each has a way of
        its own at its root, and around them the probabilities are those of `SET_WAYS`.
        """
        if not self.traced:
            return None
        value = {cell: self._draw_quiet(theta, cell[0]) for cell in sorted(self.known)}
        if faults:
            ways = [self._draw_way(kind) for _, kind in faults]
            roots = [root for root, _ in faults]
            for root, way in zip(roots, ways, strict=True):
                for name, p in zip(OWN, way.own, strict=True):
                    if self.rng.random() < p:
                        self._affect(value, (name, root))
            several = np.array([p * WAYS[name].groups for name, p in SET_WAYS.items()]).sum(axis=0)
            self._draw_around(value, roots, ways[0].groups if len(faults) == 1 else several)
        sizes = {**dict.fromkeys(OWN, self.n), **dict.fromkeys(CALLS, len(self.calls))}
        arrays: dict[str, Any] = {name: np.full(size, np.nan) for name, size in sizes.items()}
        for (name, at), v in value.items():
            arrays[name][at] = v
        edges = np.array(self.calls, dtype=np.int64).reshape(-1, 2)
        return TraceEvidence(
            edge_source=edges[:, 0].copy(),
            edge_target=edges[:, 1].copy(),
            has_spans=self.spans,
            regions=(),
            changes=(),
            **arrays,
        )

    def draw_uncalled(self, root: int) -> list[int]:
        """Draw the callee that falls silent because the root no longer calls it, if any does."""
        callees = [b for a, b in self.calls if a == root]
        if not callees or self.rng.random() >= NOT_CALLED:
            return []
        return [callees[int(self.rng.integers(len(callees)))]]

    def _draw_quiet(self, theta: Theta, name: str) -> float:
        family = 0 if name in _TIMES else 1
        if self.rng.random() < theta["trace_strong"][family]:
            return self._draw(1)
        return self._draw(0 if self.rng.random() < theta["trace_weak"][family] else -1)

    def _draw(self, law: int) -> float:
        """Draw when affected (1), changed a little (0) or quiet (-1), by a test of any power."""
        power = float(self.rng.choice(POWERS))
        return float(0.5 * law * power**2 + power * self.rng.standard_normal())

    def _affect(self, value: dict[Cell, float], cell: Cell) -> None:
        if cell in value:
            value[cell] = self._draw(1)

    def _draw_way(self, kind: str) -> Way:
        names = list(KIND_WAYS[kind])
        return WAYS[str(self.rng.choice(names, p=list(KIND_WAYS[kind].values())))]

    def _draw_around(self, value: dict[Cell, float], roots: Sequence[int], shows: Floats) -> None:
        for g, group in enumerate(self._groups(roots)):
            if not group or self.rng.random() >= shows[g]:
                continue
            one = int(self.rng.integers(len(group)))
            for cell, orders in group[one : one + 1] if g == _TERMINAL_OUT else group:
                if self.rng.random() < SHARES[g]:
                    self._affect(value, cell)
                    if orders:
                        self._affect(value, orders[int(self.rng.integers(len(orders)))])

    def _groups(self, roots: Sequence[int]) -> list[list[tuple[Cell, list[Cell]]]]:
        """Members of each group with something to tell, and the order of errors towards roots."""
        back = [(b, a) for a, b in self.calls]
        up = dict.fromkeys(roots, 0) | find_steps(back, roots, farthest=self.n)
        callers = [i for i, d in up.items() if d == 1]
        callees = {b for a, b in self.calls if a in roots} - up.keys()
        siblings = {b for a, b in self.calls if a in callers} - up.keys() - callees
        ancestors = [i for i, d in up.items() if d > 1]
        patterns = [
            [self._pattern(i, up) for i in sorted(some)]
            for some in (callers, ancestors, callees, siblings)
        ]
        places: list[list[int]] = [[], [], []]
        for at, (a, b) in enumerate(self.calls):
            if b in roots:
                places[0].append(at)
            elif a in roots:
                places[1].append(at)
            elif b in callers:
                places[2].append(at)
        calls: list[list[tuple[Cell, list[Cell]]]] = [
            [((name, at), []) for at in place if (name, at) in self.known]
            for name in CALLS[:2]
            for place in places
        ]
        known = [[m for m in some if m[0] in self.known or m[1]] for some in patterns]
        return known + calls

    def _pattern(self, i: int, up: Mapping[int, int]) -> tuple[Cell, list[Cell]]:
        orders = [
            ("edge_order", at)
            for at, (a, b) in enumerate(self.calls)
            if a == i and i in up and b in up and up[b] + 1 == up[i]
        ]
        return ("own_pattern", i), [cell for cell in orders if cell in self.known]
