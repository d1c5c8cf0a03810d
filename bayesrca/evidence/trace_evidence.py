"""What spans, logs and changes say: log Bayes factors of components and of call edges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceTest:
    """One comparison of the window with what is normal; a row of `Evidence.table`.

    Attributes:
        component: index of the component that it speaks for; of an edge, the caller.
        callee: index of the called component; -1 for a component's own test.
        name: what was compared, e.g. ``pattern``, ``self time``, ``gap``, ``terminal``, ``order``.
        subject: which operation, path, event or edge, in words.
        region: code region that the test is about, empty where it is about none.
        change: what happened, e.g. ``vanished``, ``new``, ``rarer``, ``slower``.
        n: instances in the window (>= 1).
        n0: instances in the reference (>= 0).
        contrast: difference, of shares or of mean logarithms.
        scale: its standard deviation when nothing is wrong (> 0).
        log_ratio: log Bayes factor "affected by a fault" against "quiet".
    """

    component: int
    callee: int
    name: str
    subject: str
    region: str
    change: str
    n: int
    n0: int
    contrast: float
    scale: float
    log_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionShare:
    """Probability of one code region, given that its component is the cause.

    Attributes:
        component: index of the component.
        region: the region, e.g. ``OrderController#52``.
        change: what changed there.
        probability: in [0, 1]; those of one component sum to one.
    """

    component: int
    region: str
    change: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An event that could have caused the incident: a deployment, a flag, a commit.

    Attributes:
        event: row in the incident's events of when it took effect.
        component: index of the component that was changed, -1 where that is not known.
        age: seconds before the window's start; below 0 when it happened later.
        rows: rows of all events that tell of it, such as a commit and its deployment.
        weight: prior weight (> 0) against other changes.
        mentions: whether its text mentions what spans and logs show to have changed.
    """

    event: int
    component: int
    age: float
    rows: tuple[int, ...] = ()
    weight: float = 1.0
    mentions: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceEvidence:
    """Evidence of spans, logs and changes over n components and e call edges.

    A log Bayes factor compares "affected by a fault" with "quiet"; NaN: there is nothing to tell.

    Attributes:
        own_pattern: [n] of child calls and log lines within the component's own span paths.
        own_self_time: [n] of the time its operations spend in themselves.
        edge_source: int64 [e] calling component of each edge.
        edge_target: int64 [e] called component.
        edge_gap: [e] of client time less server time.
        edge_terminal: [e] of the call being the last thing that its caller does.
        edge_order: [e] of the caller's changes following failed or changed calls to this callee, in
            the same trace.
        regions: code regions of the components with tests about them, the most probable first.
        changes: events that could be the cause.
        has_spans: bool [n] whether the component has a span in the incident.
        tests: every comparison made, by component.
        notes: what was absent, assumed or left out, one sentence each.
    """

    own_pattern: Floats
    own_self_time: Floats
    edge_source: Ints
    edge_target: Ints
    edge_gap: Floats
    edge_terminal: Floats
    edge_order: Floats
    regions: tuple[RegionShare, ...]
    changes: tuple[Change, ...]
    has_spans: Bools
    tests: tuple[TraceTest, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def measured(self) -> Bools:
        """[n] whether anything is told of a component or of a call that it makes or gets."""
        seen = ~(np.isnan(self.own_pattern) & np.isnan(self.own_self_time))
        some = ~np.isnan([self.edge_gap, self.edge_terminal, self.edge_order]).all(axis=0)
        seen[self.edge_source[some]] = True
        seen[self.edge_target[some]] = True
        return np.asarray(seen)

    def without(self, components: Bools) -> TraceEvidence:
        """Tell nothing of these components [n] nor of their calls; who calls whom stays."""
        edges = components[self.edge_source] | components[self.edge_target]
        own: dict[str, Any] = {
            name: np.where(components, np.nan, getattr(self, name))
            for name in ("own_pattern", "own_self_time")
        }
        calls: dict[str, Any] = {
            name: np.where(edges, np.nan, getattr(self, name))
            for name in ("edge_gap", "edge_terminal", "edge_order")
        }
        return replace(
            self,
            **own,
            **calls,
            regions=tuple(r for r in self.regions if not components[r.component]),
            tests=tuple(
                t
                for t in self.tests
                if not (components[t.component] or (t.callee >= 0 and components[t.callee]))
            ),
        )

    @classmethod
    def empty(cls, n: int) -> TraceEvidence:
        """Return the evidence of n components of which nothing was traced."""
        none, nowhere = np.full(0, np.nan), np.empty(0, dtype=np.int64)
        return cls(
            own_pattern=np.full(n, np.nan),
            own_self_time=np.full(n, np.nan),
            edge_source=nowhere,
            edge_target=nowhere,
            edge_gap=none,
            edge_terminal=none,
            edge_order=none,
            regions=(),
            changes=(),
            has_spans=np.zeros(n, dtype=np.bool_),
        )
