"""The doors to the reduction of spans and lines; the laws are tested in Rust."""

from __future__ import annotations

import numpy as np
import pytest

from bayesrca.columns.logs import mine_templates
from bayesrca.columns.spans import LOG, OPERATION, REMOTE, SpanBatch, build_batch, reduce_spans
from bayesrca.errors import InvalidEvidenceError
from bayesrca.incident import Spans

MS = 1_000_000


def make_batch(**changes: object) -> SpanBatch:
    """`b` calls `a` from a span of its own; the names stand in another order than their numbers."""
    spans = Spans(
        components=("b", "a"),
        operations=("serve", "call", "work"),
        codes=(),
        trace_ids=("1",),
        component=np.array([0, 0, 1], dtype=np.int32),
        operation=np.array([0, 1, 2], dtype=np.int32),
        code=np.full(3, -1, dtype=np.int32),
        trace=np.zeros(3, dtype=np.int64),
        parent=np.array([-1, 0, 1], dtype=np.int64),
        start_ns=np.array([0, MS, 2 * MS], dtype=np.int64),
        duration_ns=np.array([9 * MS, 6 * MS, 2 * MS], dtype=np.int64),
        kind=np.array([2, 3, 2], dtype=np.int8),
        status=np.zeros(3, dtype=np.int8),
        peer=np.full(3, -1, dtype=np.int32),
    )
    arguments: dict[str, object] = {
        "components": [1, 0],
        "operations": [5, 6, 7],
        "side": [0, 0, 0],
        "covered": [True, True, False],
        "log_span": [0, 2],
        "log_key": [3, 4],
        "log_time_ns": [1, 2],
    }
    return build_batch(spans, **{**arguments, **changes})  # type: ignore[arg-type]


def test_tables_are_in_the_numbers_of_the_reduction() -> None:
    tables = reduce_spans([make_batch(), make_batch(side=[1, 1, -1])], sides=2)
    assert tables.paths.tolist() == [
        [1, 5, -1, -1, -1, -1],
        [1, 6, 5, -1, -1, -1],
        [0, 7, -1, -1, -1, -1],
    ]
    assert tables.instances.tolist() == [[1, 1], [1, 1], [1, 0]]
    assert tables.covered.tolist() == [[1, 1], [1, 1], [0, 0]]
    assert tables.events.tolist() == [[0, OPERATION, 6, 0], [0, LOG, 3, 0], [1, REMOTE, 0, 0]]
    assert tables.present.tolist() == [[1, 1]] * 3
    assert tables.gap_keys.tolist() == [[1, 6, 0]]
    assert tables.gap_moments[0, :, 0].tolist() == [1.0, 1.0]
    assert tables.gap_moments[0, 0, 1] == pytest.approx(np.log(4000.0 + 100.0))
    assert tables.self_keys.tolist() == [[1, 5], [0, 7]]
    assert tables.self_moments[:, 0, 1] == pytest.approx(np.log([3100.0, 2100.0]))
    assert tables.calls[tables.terminal_keys[:, 2] == 0].tolist() == [[1, 1], [1, 1]]
    assert tables.left_out == 0


def test_order_needs_a_mark_for_each_event() -> None:
    tables = reduce_spans([make_batch()], sides=1)
    edges, visits = tables.count_order([0, 1, 0])
    assert edges.tolist() == [[1, 0, 0, 0]]
    assert visits.tolist() == [[0, 0, 1], [1, 1, 0]]
    with pytest.raises(InvalidEvidenceError, match="marks"):
        tables.count_order([0])


def test_bad_columns_are_refused() -> None:
    with pytest.raises(InvalidEvidenceError, match="side"):
        reduce_spans([make_batch(side=[0, 0, 1])], sides=1)
    with pytest.raises(InvalidEvidenceError, match="log_key"):
        reduce_spans([make_batch(log_key=[1])], sides=1)
    with pytest.raises(InvalidEvidenceError, match="sides"):
        reduce_spans([], sides=0)


def test_templates_are_numbered_in_the_order_of_lines() -> None:
    numbers, texts = mine_templates(["paid 17 in 3 ms", "no route to b", "paid 4 in 80 ms"])
    assert numbers.tolist() == [0, 1, 0]
    assert texts == ("paid <*> in <*> ms", "no route to b")
    nothing, none = mine_templates([])
    assert (nothing.shape, none) == ((0,), ())
