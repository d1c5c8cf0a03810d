"""What is said of spans and logs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayesrca.evidence import TraceEvidence, TraceTest
from bayesrca.kernels.propagation import TraceLogRatios
from bayesrca.posterior.trace_words import tell_traces

NAMES = ("shop", "cart", "db")


def make_test(component: int, callee: int, name: str, log_ratio: float, subject: str) -> TraceTest:
    return TraceTest(
        component=component,
        callee=callee,
        name=name,
        subject=subject,
        region="Cart#52" if name == "pattern" else "",
        change="vanished",
        n=9,
        n0=90,
        contrast=-0.9,
        scale=0.1,
        log_ratio=log_ratio,
    )


def make_traces() -> TraceEvidence:
    return replace(
        TraceEvidence.empty(3),
        edge_source=np.array([0, 1]),
        edge_target=np.array([1, 2]),
        edge_gap=np.array([np.nan, 1.0]),
        edge_terminal=np.array([6.0, np.nan]),
        edge_order=np.array([np.nan, np.nan]),
        tests=(
            make_test(1, -1, "pattern", 2.0, "GET /cart > sum"),
            make_test(1, -1, "pattern", 9.0, "GET /cart > insert"),
            make_test(0, 1, "terminal", 6.0, "GET /"),
        ),
    )


def make_ratios(own: float, terminal: float) -> TraceLogRatios:
    nothing = np.full(3, np.nan)
    return TraceLogRatios(
        own_pattern=np.array([np.nan, own, np.nan]),
        own_self_time=nothing,
        gap=np.array([np.nan, 0.2]),
        terminal=np.array([terminal, np.nan]),
        order=np.full(2, np.nan),
    )


def test_the_loudest_changes_come_first_with_their_path_and_region() -> None:
    told = tell_traces(make_traces(), make_ratios(3.0, 4.5), NAMES, 1)
    assert told == [
        "shop stops after calling cart: GET / vanished (log Bayes factor 4.5)",
        "what happens within its spans changed: GET /cart > insert [Cart#52] vanished "
        "(log Bayes factor 3.0)",
    ]


def test_what_the_quiet_law_explains_is_not_told() -> None:
    assert tell_traces(make_traces(), make_ratios(0.9, -1.0), NAMES, 1) == [
        "its spans and logs look as usual"
    ]


def test_nothing_is_said_where_nothing_is_known() -> None:
    ratios = make_ratios(3.0, 4.5)
    assert tell_traces(None, ratios, NAMES, 1) == []
    alone = replace(make_traces(), edge_source=np.empty(0, int), edge_target=np.empty(0, int))
    assert tell_traces(alone, ratios, NAMES, 2) == []
