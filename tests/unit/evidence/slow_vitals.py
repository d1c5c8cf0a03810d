"""Contrasts of one vital by loops over samples, from the text of docs/concepts.md, "Vitals"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from bayesrca.evidence.frame import Frame
from bayesrca.incident import Signal

NAN = math.nan


def there(values: Sequence[float]) -> list[float]:
    return [x for x in values if not math.isnan(x)]


def flat(bins: Sequence[Sequence[float]]) -> list[float]:
    return [x for one in bins for x in one]


def mean(values: Sequence[float]) -> float:
    seen = there(values)
    return math.fsum(seen) / len(seen) if seen else NAN


def split(frame: Frame, signal: Signal) -> tuple[list[float], list[list[float]]]:
    """Samples of the baseline, and of every bin."""
    bins: list[list[float]] = [[] for _ in range(frame.n_bins)]
    normal = []
    for t, x in zip(signal.timestamps.tolist(), signal.values.tolist(), strict=True):
        if frame.window.start <= t <= frame.window.end:
            for b in range(frame.n_bins):
                if frame.edges[b] <= t < frame.edges[b + 1]:
                    bins[b].append(x)
        elif frame.baseline is not None and frame.baseline.start <= t <= frame.baseline.end:
            normal.append(x)
    return normal, bins


def own_level(frame: Frame, signal: Signal) -> float:
    normal, bins = split(frame, signal)
    seen = there(normal) or there(flat(bins))
    return median(abs(x) for x in seen) if seen else NAN


def shorten(n: int) -> int:
    """Largest number up to n that is one to seven times a power of two, with three leading bits."""
    while not (n < 8 or n % 2 ** (n.bit_length() - 3) == 0):
        n -= 1
    return n


def baseline_square(frame: Frame, normal: list[float], bins: list[list[float]], s: int) -> float:
    """Mean square of the contrast of footprint s slid over the baseline."""
    first, last = int(frame.first[s]), int(frame.last[s])
    inside = flat(bins[first:last])
    contrasts = []
    n_normal = len(there(normal))
    if frame.against_baseline:
        if n_normal < 10:
            return NAN
        length = shorten(min(max(len(there(inside)), 1), max(n_normal // 10, 1)))
        usual = mean(normal)
        starts = range(len(normal) - length + 1)
        contrasts = [mean(normal[a : a + length]) - usual for a in starts]
        inflate = 1.0 + length / n_normal
    else:
        low = len(flat(bins[:first]))
        high, span = low + len(inside), len(flat(bins))
        for start in range(len(normal) - span + 1):
            window = normal[start : start + span]
            contrasts.append(mean(window[low:high]) - mean(window[:low] + window[high:]))
        rest = flat(bins[:first] + bins[last:])
        if len(there(contrasts)) < 10 or not there(inside) or not there(rest):
            return NAN
        full = 1 / len(inside) + 1 / len(rest)
        inflate = max(1.0, (1 / len(there(inside)) + 1 / len(there(rest))) / full)
    seen = there(contrasts)
    return math.fsum(c * c for c in seen) / len(seen) * inflate


def default_terms(
    frame: Frame, n_normal: int, bins: list[list[float]], s: int
) -> tuple[float, float, int]:
    """One over the bins compared, variance of the bins outside, and their number less one."""
    outside = [b for i, b in enumerate(bins) if not frame.first[s] <= i < frame.last[s]]
    inside = [b for i, b in enumerate(bins) if frame.first[s] <= i < frame.last[s]]
    means = there([mean(b) for b in outside])
    n_in = len(there([mean(b) for b in inside]))
    other = n_normal if frame.against_baseline else len(means)
    share = 1 / max(n_in, 1) + 1 / max(other, 1)
    variance = 0.0
    if len(means) > 1:
        centre = mean(means)
        variance = math.fsum((m - centre) ** 2 for m in means) / (len(means) - 1)
    return share, variance, max(len(means) - 1, 0)


def contrast(
    frame: Frame, signal: Signal, peers: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Contrast and scale in every footprint; peers are the levels of others of the same name."""
    normal, bins = split(frame, signal)
    level = own_level(frame, signal)
    if there(peers):
        level = max(level, 0.1 * median(there(peers)))
    if level == 0:
        level = max([abs(x) for x in there(flat(bins))], default=0.0)
    floor = (0.06 if frame.against_baseline else 0.2) * level
    values, scales = [], []
    for s in range(len(frame.first)):
        inside = flat(bins[frame.first[s] : frame.last[s]])
        rest = flat(bins[: frame.first[s]] + bins[frame.last[s] :])
        values.append(mean(inside) - mean(normal if frame.against_baseline else rest))
        square = baseline_square(frame, normal, bins, s)
        share, variance, degrees = default_terms(frame, len(there(normal)), bins, s)
        own = variance * share
        if math.isnan(square):
            wide = (0.3 * level) ** 2 * share + floor**2
            usual = there(normal)
            centre, spare = mean(usual), max(len(usual) - 1, 0)
            each = math.fsum((x - centre) ** 2 for x in usual) / max(spare, 1)
            other = len(usual) if frame.against_baseline else len(there(rest))
            few = each * (1 / max(len(there(inside)), 1) + 1 / max(other, 1))
            total = (4 * wide + degrees * own + spare * few) / (4 + degrees + spare) + floor**2
        else:
            total = square + floor**2
            if not frame.against_baseline:
                total = max(total, (8 * total + degrees * own) / (8 + degrees))
        scales.append(math.sqrt(total))
    return values, scales
