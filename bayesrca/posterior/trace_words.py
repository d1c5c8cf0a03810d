"""What spans and logs say for a cause, in words: which path changed, and on which calls."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bayesrca.evidence import TraceEvidence, TraceTest
from bayesrca.kernels.propagation import TraceLogRatios

_LOUD = 1.0
"""Log Bayes factor from which something is said to have changed."""
_MOST = 3
"""Most changes that are named."""


def tell_traces(
    traces: TraceEvidence | None, ratios: TraceLogRatios, names: tuple[str, ...], i: int
) -> list[str]:
    """Say what spans and logs show of component i and of its calls, the loudest first.

    Args:
        traces: the evidence; None where nothing was traced.
        ratios: log Bayes factors with the quiet law of the incident taken into account.
        names: names of the components.
        i: the component.

    Returns:
        At most three phrases; none where nothing is told of it.
    """
    if traces is None:
        return []
    found = sorted(_find(traces, ratios, names, i), key=lambda of: -of[0])
    loud = [f"{text} (log Bayes factor {log:.1f})" for log, text in found if log >= _LOUD][:_MOST]
    if loud or not found:
        return loud
    return ["its spans and logs look as usual"]


def _find(
    traces: TraceEvidence, ratios: TraceLogRatios, names: tuple[str, ...], i: int
) -> Iterator[tuple[float, str]]:
    """Log Bayes factor and words of every cell of a component and of the calls to and from it."""
    own = (
        (ratios.own_pattern[i], "pattern", "what happens within its spans changed"),
        (ratios.own_self_time[i], "self time", "its own work takes another time"),
    )
    for log, name, words in own:
        if not np.isnan(log):
            yield float(log), _with_test(words, _loudest(traces, name, i, -1))
    for e in np.flatnonzero((traces.edge_source == i) | (traces.edge_target == i)).tolist():
        a, b = int(traces.edge_source[e]), int(traces.edge_target[e])
        caller, callee = names[a], names[b]
        of_edge = (
            (ratios.gap[e], "gap", f"calls from {caller} to {callee} take another time on the way"),
            (ratios.terminal[e], "terminal", f"{caller} stops after calling {callee}"),
            (ratios.order[e], "order", f"changes of {caller} follow failed calls to {callee}"),
        )
        for log, name, words in of_edge:
            if not np.isnan(log):
                yield float(log), _with_test(words, _loudest(traces, name, a, b))


def _loudest(traces: TraceEvidence, name: str, component: int, callee: int) -> TraceTest | None:
    rows = (t for t in traces.tests if (t.name, t.component, t.callee) == (name, component, callee))
    return max(rows, key=lambda t: t.log_ratio, default=None)


def _with_test(words: str, test: TraceTest | None) -> str:
    """Name the test that speaks loudest, and the code region that it is about."""
    if test is None or not test.subject:
        return words
    region = f" [{test.region}]" if test.region and test.region != test.subject else ""
    return f"{words}: {test.subject}{region} {test.change}"
