"""Requests: the weights behind means and shares, and what their absence says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence.frame import Frame
from bayesrca.incident import Family, Incident, Signal, Statistic

Floats = NDArray[np.float64]

SILENT_ROOT = 0.05
"""Probability that a component is the root of a latency or errors fault yet served no request."""


def find_requests(incident: Incident, name: str) -> Signal | None:
    """Request counts of a component, else its request rate, else None."""
    loads = incident.signals_of(name, Family.LOAD)
    for statistic in (Statistic.COUNT, Statistic.RATE):
        for signal in loads:
            if signal.statistic is statistic and not np.isnan(signal.values).all():
                return signal
    return None


def align_requests(requests: Signal | None, signal: Signal) -> Floats | None:
    """[n] requests behind each sample of a series (a rate times the sampling step), or None."""
    if requests is None:
        return None
    if np.array_equal(requests.timestamps, signal.timestamps):
        values = requests.values
    else:
        at = np.searchsorted(requests.timestamps, signal.timestamps)
        at = np.minimum(at, len(requests) - 1)
        same = requests.timestamps[at] == signal.timestamps
        values = np.where(same, requests.values[at], np.nan)
    if requests.statistic is Statistic.RATE and len(signal) > 1:
        values = values * float(np.median(np.diff(signal.timestamps)))
    return None if np.isnan(values).all() else values


def compute_silence(frame: Frame, requests: Signal | None) -> Floats:
    """[s] log of p(no request | root) / p(no request | quiet) where a footprint has none, else 0.

    The quiet probability is the share of silent stretches of the same length in the baseline, with
    half a pseudo-count each way; without a baseline it is 1/2. Never above 0: serving requests is
    no evidence of being the cause.
    """
    factor = np.zeros(len(frame.first))
    if requests is None:
        return factor
    bins = frame.bin_of(requests)
    seen = (bins >= 0) & ~np.isnan(requests.values)
    total = np.bincount(bins[seen], requests.values[seen], minlength=frame.n_bins)
    samples = np.bincount(bins[seen], minlength=frame.n_bins)
    inside = frame.inside
    silent = (inside @ total == 0) & (inside @ samples > 0)
    if not silent.any():
        return factor
    normal = requests.values[frame.baseline_mask(requests)]
    per_bin = max(1, round(np.count_nonzero(bins >= 0) / frame.n_bins))
    for s in np.flatnonzero(silent):
        length = int(frame.last[s] - frame.first[s]) * per_bin
        n_windows = len(normal) - length + 1
        zero = 0
        if n_windows > 0:
            sums = np.concatenate([[0.0], np.cumsum(np.nan_to_num(normal))])
            zero = int(np.count_nonzero(sums[length:] - sums[:-length] == 0))
        quiet = (zero + 0.5) / (max(n_windows, 0) + 1.0)
        factor[s] = min(0.0, np.log(SILENT_ROOT / quiet))
    return factor
