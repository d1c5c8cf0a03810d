"""Spans and logs of docs/concepts.md (eq. 21 to 24) by enumeration, without the core's code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import logsumexp

from bayesrca.evidence import Evidence, TraceEvidence
from tests.oracle.constants import (
    CODE,
    CRASH,
    ERRORS,
    LATENCY,
    LINK,
    LOAD,
    RESOURCE,
    TRACE_SHARE,
    TRACE_SHOWS,
    TRACE_WAYS,
)

Floats = NDArray[np.float64]
Theta = Mapping[str, Any]
Roots = tuple[int, ...]
Cell = tuple[str, Any]
"""A cell by its family and its component or edge."""

POWERS = np.array([0.5, 1.5, 3.0])


def reference(law: int, value: Floats | float) -> Floats:
    """Log density of a log Bayes factor when quiet (-1), halfway (0) and affected (1).

    The test's power is unknown; the last law over the first is the exponential of the value.
    """
    middles = law * POWERS**2 / 2.0
    logs = stats.norm.logpdf(np.asarray(value)[..., None], middles, POWERS)
    return np.asarray(logsumexp(logs, axis=-1) - np.log(len(POWERS)))


PATTERN, SELF, GAP, TERMINAL, ORDER = "pattern", "self", "gap", "terminal", "order"
_TIMES = (SELF, GAP)


def quiet_density_ratio(theta: Theta, family: str, value: float) -> float:
    """Law of a quiet cell over that of one in which nothing changed (eq. 21)."""
    which = 0 if family in _TIMES else 1
    weak, strong = theta["trace_weak"][which], theta["trace_strong"][which]
    # Ratios of normal laws, in logarithms as either may be beyond any double.
    little = np.exp(reference(0, value) - reference(-1, value))
    much = np.exp(reference(1, value) - reference(-1, value))
    return float((1 - strong) * (1 - weak) + (1 - strong) * weak * little + strong * much)


class Traces:
    """What was traced, at one theta."""

    def __init__(self, evidence: Evidence, theta: Theta) -> None:
        self.n = len(evidence.components)
        traces = evidence.traces or TraceEvidence.empty(self.n)
        self.edges = list(
            zip(traces.edge_source.tolist(), traces.edge_target.tolist(), strict=True)
        )
        by_component = {PATTERN: traces.own_pattern, SELF: traces.own_self_time}
        by_edge = {
            GAP: traces.edge_gap,
            TERMINAL: traces.edge_terminal,
            ORDER: traces.edge_order,
        }
        self.cells: dict[Cell, float] = {
            (f, i): float(v) for f, row in by_component.items() for i, v in enumerate(row)
        }
        self.cells |= {
            (f, edge): float(v)
            for f, row in by_edge.items()
            for edge, v in zip(self.edges, row, strict=True)
        }
        self.cells = {cell: v for cell, v in self.cells.items() if not np.isnan(v)}
        quiet = {c: quiet_density_ratio(theta, c[0], v) for c, v in self.cells.items()}
        self.log_quiet = float(np.log(list(quiet.values())).sum())
        self.ratio = {c: float(np.exp(v)) / quiet[c] for c, v in self.cells.items()}

    def code_weight(self, i: int) -> float:
        """Weight of a fault in the code of component i."""
        if not self.cells:
            return 0.0
        return 1.0 if any((f, i) in self.cells for f in (PATTERN, SELF)) else 0.35

    def is_untold(self, i: int) -> bool:
        """Whether calls to component i are known, of none of which truncation is told."""
        calls = [edge for edge in self.edges if edge[1] == i]
        return bool(calls) and not any((TERMINAL, edge) in self.cells for edge in calls)

    def is_timed(self, i: int) -> bool:
        """Whether some call to component i is timed at both ends."""
        return any(f == GAP and at[1] == i for f, at in self.cells)

    def log_single(self, root: int, kind: int) -> float:
        """Log factor of a single cause."""
        return float(
            np.log(
                sum(
                    share * self._own(root, way) * self._around((root,), TRACE_SHOWS[way])
                    for way, share in _ways(kind).items()
                )
            )
        )

    def pattern_shown(self, root: int, kind: int) -> float:
        """Probability that a single cause shows its fault in its own patterns; NaN without any."""
        if (PATTERN, root) not in self.cells:
            return float("nan")
        shown = all_of_it = 0.0
        for way, share in _ways(kind).items():
            whole = share * self._own(root, way) * self._around((root,), TRACE_SHOWS[way])
            p = TRACE_SHOWS[way][f"own {PATTERN}"]
            r = self.ratio[PATTERN, root]
            all_of_it += whole
            shown += whole * p * r / (1 - p + p * r)
        return shown / all_of_it

    def log_member(self, root: int, kind: int) -> float:
        """Log factor of the own cells of one of several causes."""
        return float(np.log(sum(p * self._own(root, way) for way, p in _ways(kind).items())))

    def log_set(self, roots: Roots) -> float:
        """Log factor of everything around several causes."""
        mixed = {
            group: sum(p * TRACE_SHOWS[way][group] for way, p in TRACE_WAYS["several"].items())
            for group in TRACE_SHARE
        }
        return float(np.log(self._around(roots, mixed)))

    def _own(self, root: int, way: str) -> float:
        out = 1.0
        for family in (PATTERN, SELF):
            p = TRACE_SHOWS[way][f"own {family}"]
            out *= 1 - p + p * self.ratio.get((family, root), 1.0)
        return out

    def _around(self, roots: Roots, shows: Mapping[str, float]) -> float:
        out = 1.0
        for group, members in self._groups(roots).items():
            together = _one_of(members) if group == "terminal out" else 0.0
            if group != "terminal out":
                q = TRACE_SHARE[group]
                for pattern in product((False, True), repeat=len(members)):
                    chosen = [m if on else 1.0 for m, on in zip(members, pattern, strict=True)]
                    chances = [q if on else 1 - q for on in pattern]
                    together += float(np.prod(chosen) * np.prod(chances))
            out *= 1 - shows[group] + shows[group] * together
        return out

    def _groups(self, roots: Roots) -> dict[str, list[float]]:
        """Ratios of the members of every group that have something to tell."""
        calls = set(self.edges)
        steps = dict.fromkeys(roots, 0)
        for _ in range(self.n):  # as many times as the longest way has calls
            for a, b in calls:
                if b in steps:
                    steps[a] = min(steps.get(a, self.n), steps[b] + 1)
        callers = {i for i, d in steps.items() if d == 1}
        callees = {b for a, b in calls if a in roots} - set(steps)
        siblings = {b for a, b in calls if a in callers} - set(steps) - callees
        out: dict[str, list[float]] = {group: [] for group in TRACE_SHARE}
        for group, members in {
            "callers": callers,
            "ancestors": {i for i, d in steps.items() if d > 1},
            "callees": callees,
            "siblings": siblings,
        }.items():
            out[group] = list(self._patterns(sorted(members), steps))
        for a, b in self.edges:
            place = "in" if b in roots else "out" if a in roots else "above" if b in callers else ""
            for family in (GAP, TERMINAL):
                if place and (family, (a, b)) in self.ratio:
                    out[f"{family} {place}"].append(self.ratio[family, (a, b)])
        return out

    def _patterns(self, members: Sequence[int], steps: Mapping[int, int]) -> Iterator[float]:
        for i in members:
            ways = [
                self.ratio[ORDER, (a, b)]
                for a, b in self.edges
                if a == i and b in steps and i in steps and steps[b] == steps[i] - 1
                if (ORDER, (a, b)) in self.ratio
            ]
            if ways or (PATTERN, i) in self.ratio:
                yield self.ratio.get((PATTERN, i), 1.0) * (float(np.mean(ways)) if ways else 1.0)


def _one_of(members: list[float]) -> float:
    """Exactly one of them shows it, unknown which."""
    return float(np.mean(members)) if members else 1.0


def _ways(kind: int) -> Mapping[str, float]:
    slow, other = {"slow": 1.0}, TRACE_WAYS["code"]
    return {
        LATENCY: slow,
        ERRORS: other,
        RESOURCE: slow,
        LOAD: slow,
        LINK: {"far": 1.0},
        CRASH: {"silent": 1.0},
        CODE: other,
    }[kind]
