"""The table says what the arrays say, and counts what can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bayesrca.evidence import EvidenceRow, EvidenceTable, build_evidence
from bayesrca.incident import Family, Statistic
from tests.oracle.incidents import random_evidence
from tests.unit.evidence.kit import (
    INSIDE,
    N_WINDOW,
    STEP,
    TIME,
    WINDOW,
    failures,
    incident,
    latency,
    noisy,
    requests,
    series,
)


def row_of(table: EvidenceTable, component: str, family: str) -> EvidenceRow:
    (row,) = [r for r in table.rows if (r.component, r.family) == (component, family)]
    return row


def test_every_number_is_that_of_the_arrays() -> None:
    evidence = build_evidence(
        incident(
            failures("front", np.where(INSIDE, 20.0, 1.0)),
            latency("back", noisy(0.1, 0.4)),
            requests("front", 100.0),
            requests("back", 100.0),
            series("back", noisy(3.0, 9.0), Family.MEMORY, Statistic.VALUE, unit="MiB"),
        )
    )
    whole = int(np.argmax(evidence.footprints[:, 1] - evidence.footprints[:, 0]))
    table = evidence.table(whole)
    slow = row_of(table, "back", "latency")
    assert (slow.signal, slow.measure, slow.unit) == ("latency_mean", "log ratio", "s")
    assert slow.contrast == pytest.approx(np.log(4.0), abs=0.05)
    assert slow.scale is not None
    assert slow.z == pytest.approx(slow.contrast / slow.scale)
    assert slow.dose == pytest.approx(1000 * 0.3, rel=0.1)
    assert (slow.samples, slow.series, slow.log_ratio) == (N_WINDOW, 1, None)
    assert slow.seconds == pytest.approx((WINDOW.start, WINDOW.end), abs=1e-3)
    failing = row_of(table, "front", "errors")
    assert failing.contrast == pytest.approx(0.19, abs=0.01)
    assert failing.dose == pytest.approx(190.0, rel=0.02)
    assert (failing.unit, failing.samples) == ("failed requests", N_WINDOW)
    memory = row_of(table, "back", "memory")
    assert memory.measure == "difference of means (MiB)"
    assert memory.contrast == pytest.approx(6.0, rel=0.1)
    assert (memory.dose, memory.samples) == (None, N_WINDOW)
    assert table.reference == "the baseline"
    assert [r.family for r in table.rows] == ["errors", "load", "latency", "load", "memory"]


def test_missing_samples_are_not_counted() -> None:
    gaps = np.where(INSIDE & (np.arange(len(TIME)) % 2 == 0), np.nan, noisy(0.1, 0.4))
    cpu = series("back", gaps, Family.CPU)
    evidence = build_evidence(incident(latency("back", gaps), cpu))
    for family in ("latency", "cpu"):
        seen = {r.samples for s in range(15) for r in evidence.table(s).rows if r.family == family}
        assert seen == {1, 2, 3, 4, 5}


def test_without_a_footprint_each_cell_is_shown_where_it_moved_most() -> None:
    late = WINDOW.start + 6 * STEP <= TIME
    evidence = build_evidence(incident(latency("back", noisy(0.1, 0.1) * np.where(late, 4, 1))))
    row = row_of(evidence.table(), "back", "latency")
    assert row.z is not None
    assert abs(row.z) == np.nanmax(np.abs(evidence.families[0].z[0]))
    assert row.seconds[0] >= WINDOW.start + 5 * STEP
    with pytest.raises(IndexError, match="no footprint 15"):
        evidence.table(15)


@pytest.mark.parametrize("seed", range(8))
def test_log_ratios_are_those_of_the_cell_and_footprint(seed: int) -> None:
    rng = np.random.default_rng(seed)
    evidence = random_evidence(rng)
    n, s = evidence.families[0].contrast.shape
    own = rng.standard_normal((2, n, s))
    vital = rng.standard_normal(evidence.vitals.z.shape)
    rows = evidence.table(log_ratios=(own, vital)).rows
    for row in rows:
        at = evidence.footprints[:, 0].tolist().index(row.seconds[0])
        i = evidence.components.index(row.component)
        if row.family in ("latency", "errors"):
            assert row.log_ratio == own[("latency", "errors").index(row.family), i, at]
        else:
            assert row.log_ratio in vital[:, at]
        assert row.samples is None
    cells = [(r.component, r.family) for r in rows]
    assert len(set(cells)) == len(cells)


def test_text_is_aligned_and_complete() -> None:
    lines = str(build_evidence(incident(latency("back", noisy(0.1, 0.4)))).table()).splitlines()
    assert lines[0] == "Contrasts are taken against the baseline."
    assert len(lines) == 3
    for heading, text in (("component", "back"), ("family", "latency"), ("signal", "latency_mean")):
        assert lines[1].index(heading) == lines[2].index(text)
