from typing import Any

import numpy as np
import pytest

from bayesrca.errors import NoEvidenceError
from bayesrca.evidence.frame import Frame, build_frame
from bayesrca.incident import TimeWindow
from tests.unit.evidence.kit import BASELINE, STEP, TIME, WINDOW, incident, latency, series

ONE = latency("front", 1.0)


def frame(max_bins: int = 5, **changes: Any) -> tuple[Frame, list[str]]:  # noqa: ANN401
    notes: list[str] = []
    made = incident(ONE, **changes)
    return build_frame(made, made.signals, max_bins, notes), notes


def test_a_long_window_gets_equal_bins_and_every_run_of_them() -> None:
    got, notes = frame()
    assert got.n_bins == 5
    assert len(got.first) == 15
    assert len({*zip(got.first.tolist(), got.last.tolist(), strict=True)}) == 15
    assert (got.first < got.last).all()
    assert got.against_baseline
    assert not notes
    np.testing.assert_array_equal(np.bincount(got.bin_of(ONE)[60:]), [2] * 5)
    assert (got.bin_of(ONE)[:60] == -1).all()
    assert got.baseline_mask(ONE).sum() == 60
    np.testing.assert_array_equal(got.footprints[0], [WINDOW.start, got.edges[1]])


def test_a_short_window_gets_one_bin_per_sample() -> None:
    got, _ = frame(window=TimeWindow(60 * STEP, 62 * STEP))
    assert got.n_bins == 3
    np.testing.assert_array_equal(got.edges[:3], TIME[60:63])
    np.testing.assert_array_equal(got.bin_of(ONE)[60:63], [0, 1, 2])
    assert len(got.first) == 6


@pytest.mark.parametrize("max_bins", [2, 12])
def test_bins_are_at_most_what_was_asked(max_bins: int) -> None:
    got, _ = frame(max_bins)
    assert got.n_bins == min(max_bins, 10)


def test_a_sample_in_both_periods_belongs_to_the_window() -> None:
    got, _ = frame(baseline=TimeWindow(0.0, 65 * STEP))
    assert got.baseline_mask(ONE).sum() == 60


def test_a_distant_baseline_leaves_something_to_compare_with() -> None:
    got, notes = frame(baseline=TimeWindow(0.0, 20 * STEP))
    assert not got.against_baseline
    assert len(got.first) == 14  # the whole window has no rest
    assert not got.inside.all(axis=1).any()
    assert "another time" in notes[0]
    near, _ = frame(baseline=TimeWindow(0.0, 30 * STEP))
    assert near.against_baseline


def test_without_a_baseline_or_window_notes_say_so() -> None:
    got, notes = frame(baseline=None)
    assert not got.against_baseline
    assert "No baseline window" in notes[0]
    whole, notes = frame(window=None, baseline=None)
    assert (whole.edges[0], whole.window.end) == (TIME[0], TIME[-1])
    assert any("No incident window" in n for n in notes)


def test_one_sample_in_the_window_needs_a_near_baseline() -> None:
    window = TimeWindow(60 * STEP, 60 * STEP + 1.0)
    got, _ = frame(window=window)
    assert got.n_bins == len(got.first) == 1
    with pytest.raises(NoEvidenceError, match="widen the window or give a baseline"):
        frame(window=window, baseline=None)


def test_a_window_without_samples_names_the_remedy() -> None:
    values = np.where(WINDOW.contains(TIME), np.nan, 1.0)
    made = incident(series("front", values))
    with pytest.raises(NoEvidenceError, match="widen the window"):
        build_frame(made, made.signals, 5, [])


def test_the_last_sample_falls_into_the_last_bin() -> None:
    got, _ = frame(window=TimeWindow(BASELINE.end + STEP, TIME[-1]))
    assert got.bin_of(ONE)[-1] == got.n_bins - 1


def test_without_a_window_the_recording_after_the_baseline_is_searched() -> None:
    got, notes = frame(window=None)
    assert (got.window.start, got.window.end) == (TIME[60], TIME[-1])
    assert got.against_baseline
    assert got.baseline_mask(ONE).sum() == 60
    assert any("after the baseline" in n for n in notes)


def test_without_a_window_and_nothing_after_the_baseline_what_is_before_is_searched() -> None:
    got, notes = frame(window=None, baseline=TimeWindow(TIME[10], TIME[-1]))
    assert (got.window.start, got.window.end) == (TIME[0], TIME[9])
    assert any("before the baseline" in n for n in notes)


@pytest.mark.parametrize(
    ("window", "baseline"),
    [
        (None, TimeWindow(TIME[0], TIME[-1])),
        (TimeWindow(TIME[0], TIME[-1]), TimeWindow(TIME[3], TIME[40])),
        (WINDOW, TimeWindow(TIME[61], TIME[64])),
    ],
)
def test_a_baseline_inside_the_window_is_none(
    window: TimeWindow | None, baseline: TimeWindow
) -> None:
    got, notes = frame(window=window, baseline=baseline)
    assert got.baseline is None
    assert not got.against_baseline
    assert not got.inside.all(axis=1).any()
    assert sum("could not be used" in n for n in notes) == 1


def test_a_window_far_beyond_the_data_is_cut_where_the_data_is() -> None:
    near, _ = frame()
    far, _ = frame(window=TimeWindow(WINDOW.start, WINDOW.end + 1e6))
    np.testing.assert_array_equal(far.edges, near.edges)
    np.testing.assert_array_equal(np.bincount(far.bin_of(ONE)[60:]), [2] * 5)
    assert far.footprints.max() == np.nextafter(TIME[-1], np.inf)
