"""Vital contrasts of normal windows: `python benches/python/null_contrasts.py DIR... [--windows N]`

Each DIR is an incident folder, or a folder of such folders. No label is read: of every incident
only its baseline is kept, and windows as long as the incident's (at most a quarter of the baseline)
are slid over it without overlap, each contrasted with the rest of the baseline as the incident
would be. A recording that names no period is normal from end to end and gives windows of a tenth
of it; an incident without a baseline gives none. Equal baselines count once.

Printed per DIR and family, over series, windows and footprints: how many contrasts, the share that
is exactly zero, quantiles of |z|, the share above 3 and 10, and two laws fitted to the non-zero |z|
by maximum likelihood: Lomax (s, a) with density (a / s) (1 + |z| / s)^-(a + 1), and Student-t
(scale, nu). The last column is the mean log density of the Lomax law less that of the t law.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import gammaln

from bayesrca.errors import BayesRcaError
from bayesrca.evidence import VITALS
from bayesrca.evidence.frame import build_frame
from bayesrca.evidence.remarks import Remarks
from bayesrca.evidence.sources import is_read
from bayesrca.evidence.vitals import VitalTable, build_vitals
from bayesrca.incident import Incident, Signal, TimeWindow
from bayesrca.ingest import load_incident

Floats = NDArray[np.float64]
QUANTILES = (0.5, 0.9, 0.99, 0.999)
FITTED = 50_000
"""Contrasts a law is fitted to at most, evenly taken from the sorted ones."""


@dataclass(frozen=True)
class Normal:
    """An incident cut to its normal samples, and how its contrasts are taken."""

    incident: Incident
    period: TimeWindow
    length: float
    adjacent: bool


def normal_part(incident: Incident) -> Normal | None:
    """Keep what is normal; None where nothing is known to be."""
    signals = tuple(s for s in incident.signals if is_read(s))
    if not signals or (incident.baseline is None and incident.window is not None):
        return None
    if incident.baseline is None:
        start = min(float(s.timestamps[0]) for s in signals)
        end = max(float(s.timestamps[-1]) for s in signals)
        period, length, adjacent = TimeWindow(start, end), (end - start) / 10, True
    else:
        frame = build_frame(incident, signals, 5, [])
        if frame.baseline is None:
            return None
        period, adjacent = frame.baseline, frame.against_baseline
        length = min(frame.window.duration, period.duration / 4)
        kept = [cut(s, period.contains(s.timestamps) & (frame.bin_of(s) < 0)) for s in signals]
        signals = tuple(s for s in kept if s is not None)
    cleaned = replace(
        incident, signals=signals, baseline=period, window=None, target=None, events=()
    )
    return Normal(cleaned, period, length, adjacent)


def cut(signal: Signal, keep: NDArray[np.bool_]) -> Signal | None:
    if not keep.any():
        return None
    return replace(signal, timestamps=signal.timestamps[keep], values=signal.values[keep])


def normal_tables(normal: Normal, most: int) -> Iterator[VitalTable]:
    """Vitals of windows slid over the normal period, evenly chosen if there are too many."""
    count = int(normal.period.duration // normal.length)
    for i in np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)):
        start = normal.period.start + float(i) * normal.length
        try:
            incident = replace(
                normal.incident, window=TimeWindow(start, start + 0.999 * normal.length)
            )
            frame = build_frame(incident, incident.signals, 5, [])
        except BayesRcaError:
            continue  # a hole in the recording
        if not normal.adjacent:
            part = frame.last - frame.first < frame.n_bins
            if not part.any():
                continue
            frame = replace(
                frame, first=frame.first[part], last=frame.last[part], against_baseline=False
            )
        yield build_vitals(incident, frame, Remarks())


def collect(folder: Path, most: int) -> tuple[dict[str, Floats], int]:
    """Sizes of the contrasts by family, and the number of windows."""
    found: dict[str, list[Floats]] = defaultdict(list)
    seen: set[tuple[object, ...]] = set()
    windows = 0
    for path in sorted({p.parent for p in folder.rglob("metrics.parquet")}):
        normal = normal_part(load_incident(path))
        if normal is None:
            continue
        first = normal.incident.signals[0]
        key = (normal.period, round(normal.length), len(first), first.values.tobytes())
        if key in seen:
            continue
        seen.add(key)
        for table in normal_tables(normal, most):
            windows += 1
            for f in np.unique(table.family):
                z = np.abs(table.z[table.family == f])
                found[VITALS[f].value].append(z[~np.isnan(z)])
    return {name: np.concatenate(parts) for name, parts in found.items()}, windows


def fit_lomax(u: Floats) -> tuple[float, float, float]:
    """Scale, shape and mean log density."""

    def loss(log_s: float) -> float:
        a = 1.0 / np.mean(np.log1p(u / np.exp(log_s)))
        return float(-(np.log(a) - log_s - 1.0 - 1.0 / a))

    best = minimize_scalar(loss, bounds=(np.log(1e-3), np.log(1e3)), method="bounded")
    return np.exp(best.x), 1.0 / np.mean(np.log1p(u / np.exp(best.x))), -best.fun


def fit_t(u: Floats) -> tuple[float, float, float]:
    """Scale, degrees of freedom and mean log density of the size."""

    def loss(p: Floats) -> float:
        scale, nu = np.exp(p)
        constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * np.pi) - p[0]
        mean = np.mean(np.log1p((u / scale) ** 2 / nu))
        return float(-(np.log(2.0) + constant - (nu + 1) / 2 * mean))

    best = minimize(loss, np.log([np.median(u), 3.0]), method="L-BFGS-B", bounds=[(-9, 9), (-3, 5)])
    return np.exp(best.x[0]), np.exp(best.x[1]), -best.fun


def row(name: str, z: Floats) -> str:
    u = np.sort(z[z > 0])
    text = f"  {name:9} {len(z):9} {np.mean(z == 0):6.3f}"
    text += "".join(f" {q:8.2f}" for q in np.quantile(z, QUANTILES))
    text += f" {np.mean(z > 3):7.4f} {np.mean(z > 10):7.4f}"
    if len(u) < 100:
        return text
    u = u[:: max(1, len(u) // FITTED)]
    s, a, lomax = fit_lomax(u)
    scale, nu, student = fit_t(u)
    return f"{text}   {s:7.3f} {a:6.2f}   {scale:6.3f} {nu:6.2f}   {lomax - student:+.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--windows", type=int, default=200, help="most windows per baseline")
    options = parser.parse_args()
    for folder in options.folders:
        found, windows = collect(folder, options.windows)
        print(f"{folder.name}: {windows} normal windows")
        print(
            "  family    contrasts  zero      q.5      q.9     q.99    q.999"
            "     >3     >10     Lomax s      a    t scale     nu     diff"
        )
        for family in VITALS:
            if family.value in found:
                print(row(family.value, found[family.value]))
        if found:
            print(row("all", np.concatenate(list(found.values()))))


if __name__ == "__main__":
    main()
