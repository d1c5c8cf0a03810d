"""Requests: the weights behind means and shares, and what their absence says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayesrca.errors import InvalidIncidentError
from bayesrca.evidence.frame import Frame
from bayesrca.evidence.remarks import Remark, Remarks
from bayesrca.incident import Signal, Statistic

Floats = NDArray[np.float64]

SILENT_ROOT = 0.05
"""Probability that a component is the root of a latency or errors fault yet served no request."""
LARGEST_COUNT = 2.0**53
"""Sum of counts beyond which a float64 no longer counts by ones."""


def find_requests(loads: Sequence[Signal]) -> Signal | None:
    """Request counts among a component's load series, else its request rate, else None.

    Raises:
        InvalidIncidentError: more requests than can be counted.
    """
    for statistic in (Statistic.COUNT, Statistic.RATE):
        for signal in loads:
            if signal.statistic is statistic and not np.isnan(signal.values).all():
                check_counts(signal, signal.values)
                return signal
    return None


def check_counts(signal: Signal, values: Floats) -> None:
    """Refuse counts that a float64 cannot add one to.

    Args:
        signal: where they come from.
        values: the counts, NaN where missing.

    Raises:
        InvalidIncidentError: their sum is beyond `LARGEST_COUNT` or not finite.
    """
    with np.errstate(over="ignore"):
        total = float(np.nansum(np.abs(values)))
    if not total <= LARGEST_COUNT:
        msg = (
            f"component {signal.component!r} counts {total:.3g} events in {signal.label}, more "
            f"than can be told apart ({LARGEST_COUNT:.3g}); check the series' unit and family"
        )
        raise InvalidIncidentError(msg, field="signals")


def align_requests(requests: Signal | None, signal: Signal, remarks: Remarks) -> Floats | None:
    """[n] requests behind each sample of a series (a rate times the sampling step), or None.

    Each sample takes the nearest request sample within half the median step of the coarser series.

    Args:
        requests: the owner's request counts or rate.
        signal: one of its latency or error series.
        remarks: receives that none of them meet.

    Raises:
        InvalidIncidentError: more requests than can be counted.
    """
    if requests is None:
        return None
    if np.array_equal(requests.timestamps, signal.timestamps):
        values = requests.values
    else:
        nearest, near = _nearest(requests.timestamps, signal.timestamps)
        if not near.any():
            remarks.add(Remark.UNALIGNED, str(signal.component))
            return None
        values = np.where(near, requests.values[nearest], np.nan)
    if requests.statistic is Statistic.RATE:
        with np.errstate(over="ignore"):
            values = values * (_step(signal.timestamps) or 1.0)
        check_counts(requests, values)
    return None if np.isnan(values).all() else values


def _nearest(times: Floats, wanted: Floats) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Index of the nearest of `times` to each wanted time, and whether it is near enough."""
    after = np.minimum(np.searchsorted(times, wanted), len(times) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(wanted - times[before] < times[after] - wanted, before, after)
    # Past the last time both candidates lie before; the later one is nearer.
    nearest = np.where(wanted >= times[after], after, nearest)
    return nearest, np.abs(times[nearest] - wanted) <= max(_step(times), _step(wanted)) / 2


def _step(times: Floats) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def compute_silence(frame: Frame, requests: Signal | None) -> Floats:
    """[s] log of p(no request | root) / p(no request | quiet) where a footprint has none, else 0.

    The quiet probability is the share of silent stretches of the same length in the baseline, with
    half a pseudo-count each way; without a baseline it is 1/2. Never above 0: serving requests is
    no evidence of being the cause.
    """
    factor = np.zeros(len(frame.first))
    if requests is None:
        return factor
    total, samples = _sums_inside(frame, requests)
    silent = (total == 0) & (samples > 0)
    if not silent.any():
        return factor
    # A missing sample tells nothing: it is not a silent one.
    normal = requests.values[frame.baseline_mask(requests) & ~np.isnan(requests.values)]
    per_bin = max(1, round(np.count_nonzero(frame.bin_of(requests) >= 0) / frame.n_bins))
    for s in np.flatnonzero(silent):
        length = int(frame.last[s] - frame.first[s]) * per_bin
        n_windows = len(normal) - length + 1
        zero = 0
        if n_windows > 0:
            sums = np.concatenate([[0.0], np.cumsum(normal)])
            zero = int(np.count_nonzero(sums[length:] - sums[:-length] == 0))
        quiet = (zero + 0.5) / (max(n_windows, 0) + 1.0)
        factor[s] = min(0.0, np.log(SILENT_ROOT / quiet))
    return factor


def compute_request_rate(frame: Frame, requests: Signal | None) -> Floats:
    """[s] requests per second in each footprint, NaN where no sample tells them.

    A mean over the samples there are, so that components with gaps compare with those without.
    """
    if requests is None:
        return np.full(len(frame.first), np.nan)
    total, samples = _sums_inside(frame, requests)
    seconds = 1.0
    if requests.statistic is Statistic.COUNT:
        seconds = _step(requests.timestamps) or 1.0
    # No system serves a negative number of requests: such a sum says nothing.
    known = (samples > 0) & (total >= 0)
    return np.where(known, total, np.nan) / (np.maximum(samples, 1) * seconds)


def _sums_inside(frame: Frame, requests: Signal) -> tuple[Floats, NDArray[np.int64]]:
    """Sum of a request series' samples in each footprint, and their number, [s] each."""
    bins = frame.bin_of(requests)
    seen = (bins >= 0) & ~np.isnan(requests.values)
    total = np.bincount(bins[seen], requests.values[seen], minlength=frame.n_bins)
    samples = np.bincount(bins[seen], minlength=frame.n_bins)
    return frame.inside @ total, frame.inside @ samples
