"""Simulated cells: a continuous series or a count, drawn from the densities of docs/concepts.md.

Written from those equations and not from the likelihood, which it is there to check.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit, logit, logsumexp

Floats = NDArray[np.float64]
Theta = Mapping[str, Any]

UP = 0.95
"""Share of effects that go up (eq. 4)."""
LARGE = 2.0
"""Null scales beyond which an untraced effect is held against the root's dose (eq. 8)."""


class Continuous:
    """One series: z, and its dose when the requests behind it are known."""

    def __init__(self, rng: np.random.Generator, *, has_dose: bool) -> None:
        self.has_dose = has_dose
        self.scale = float(rng.uniform(0.05, 0.3))  # null scale of the contrast
        self.dose_scale = self.scale * float(rng.uniform(0.3, 1.0))  # that of the excess work
        self.noise = float(np.exp(rng.normal(3.0, 1.0))) * self.dose_scale  # S
        self.z = 0.0

    def prepare(self, theta: Theta, f: int) -> None:
        """Set the laws of family f at theta."""
        self.noise_scale, self.tail = theta["noise_scale"][f], theta["tail_weight"][f]
        self.medians = theta["effect_size"][f], theta["root_effect_size"][f]

    def draw_quiet(self, rng: np.random.Generator) -> None:
        """Draw z when nothing is wrong (eq. 3)."""
        width = 3.0 if rng.random() < self.tail else 1.0
        self.z = float(width * self.noise_scale * rng.standard_t(4))

    def draw_effect(self, rng: np.random.Generator) -> None:
        """Draw z of an affected component (eq. 4)."""
        self._effect(rng, self.medians[0])

    def draw_root(self, rng: np.random.Generator) -> None:
        """Draw z of a root (eq. 4)."""
        self._effect(rng, self.medians[1])

    def _effect(self, rng: np.random.Generator, median: float) -> None:
        u = rng.random()
        size = median * u / (1.0 - u)
        self.z = float(size if rng.random() < UP else -size)

    @property
    def contrasts(self) -> Floats:
        """[m] z of every series of the cell."""
        return np.array([self.z])

    @property
    def size(self) -> float:
        """How far it moved, in null scales."""
        return float(np.abs(self.contrasts).max())

    @property
    def dose(self) -> float:
        """Log dose y."""
        return self._dose_at(self.z)

    @property
    def dose_at_large(self) -> float:
        """Log dose at z = 2."""
        return self._dose_at(LARGE)

    def _dose_at(self, z: float) -> float:
        c = self.scale * z
        if c > 600.0:  # softplus(x) = x = exp(c) / dose_scale
            return float(np.log(self.noise) + c - np.log(self.dose_scale))
        x = (np.expm1(c) if z >= 0 else c) / self.dose_scale
        return float(np.log(self.noise) + _log_softplus(x))

    def set_dose(self, y: float) -> None:
        """Set z so that the log dose is y."""
        t = y - np.log(self.noise)
        if t > 600.0:
            self.z = float((t + np.log(self.dose_scale)) / self.scale)
            return
        excess = self.dose_scale * inverse_log_softplus(t)
        self.z = float((np.log1p(excess) if excess >= 0 else excess) / self.scale)

    def row(self) -> dict[str, float]:
        """The cell's entries in the evidence, z apart."""
        if not self.has_dose:
            return {}
        c = self.scale * self.z
        if c > 600.0:
            jacobian = self.scale
        else:
            x = (np.expm1(c) if c >= 0 else c) / self.dose_scale
            slope = 1.0 if x < -30.0 else expit(x) / np.logaddexp(0.0, x)
            jacobian = slope * np.exp(max(c, 0.0)) * self.scale / self.dose_scale
        return {
            "dose": self.dose,
            "dose_noise": self.noise,
            "dose_jacobian": float(jacobian),
            "dose_low": self.dose_at_large,
        }


class Several(Continuous):
    """Several series without doses: all are quiet or one of them responds, unknown which.

    Args:
        count: number of series.
        correlation: of their quiet noise (a Gaussian copula), in [0, 1].
    """

    def __init__(self, rng: np.random.Generator, count: int, correlation: float) -> None:
        super().__init__(rng, has_dose=False)
        self.values, self.correlation = np.zeros(count), correlation

    @property
    def contrasts(self) -> Floats:
        """[m] z of every series of the cell."""
        return self.values

    def draw_quiet(self, rng: np.random.Generator) -> None:
        """Draw every series when nothing is wrong (eq. 3)."""
        m = len(self.values)
        common = correlated_normal(rng, m, self.correlation)
        width = np.where(rng.random(m) < self.tail, 3.0, 1.0)
        self.values = width * self.noise_scale * stats.t.ppf(stats.norm.cdf(common), 4)

    def _effect(self, rng: np.random.Generator, median: float) -> None:
        super()._effect(rng, median)
        self.values[rng.integers(len(self.values))] = self.z


def correlated_normal(rng: np.random.Generator, m: int, correlation: float) -> Floats:
    """[m] standard normal numbers, every two with the correlation given, in [0, 1]."""
    return np.asarray(
        np.sqrt(correlation) * rng.standard_normal()
        + np.sqrt(1.0 - correlation) * rng.standard_normal(m)
    )


class Count:
    """Failures among n requests, with their dose."""

    has_dose = True

    def __init__(self, rng: np.random.Generator) -> None:
        n = int(np.exp(rng.uniform(np.log(20), np.log(600))))
        p0 = float(np.exp(rng.uniform(np.log(1e-3), np.log(0.1))))
        precision = float(np.exp(rng.uniform(np.log(20), np.log(2000))))
        k = np.arange(n + 1)
        node, weight = np.polynomial.hermite_e.hermegauss(12)
        p = expit(logit(p0) + np.exp(np.log(2.5) + 0.6 * node))[:, None]
        p = np.clip(p, 1e-9, 1 - 1e-9)
        raised = stats.betabinom.logpmf(k, n, 40 * p, 40 * (1 - p))
        self.log_laws = np.stack(
            [
                stats.betabinom.logpmf(k, n, p0 * precision, (1 - p0) * precision),
                stats.betabinom.logpmf(k, n, 0.5, 2.0),
                logsumexp(raised, b=(weight / weight.sum())[:, None], axis=0),
            ]
        )
        self.usual, self.wide, self.affected = np.exp(self.log_laws)
        # Counts below the usual share are one event: no excess.
        less = k < n * p0
        self.log_laws[:, less] = logsumexp(self.log_laws[:, less], axis=1, keepdims=True)
        seen = np.where(less, less.sum() - 1, k)
        self.noise = float(np.sqrt(2 * n * p0 * (1 - p0) + 0.5))
        excess = (seen - n * p0) / self.noise
        self.sizes = np.abs(excess)
        self.doses = np.log(self.noise) + _log_softplus(excess)
        self.highs = np.log(self.noise) + _log_softplus(excess + 0.5 / self.noise)
        self.highs[-1] = np.inf
        self.k = 0

    def prepare(self, theta: Theta, f: int) -> None:
        """Set the laws of family f at theta."""
        tail = theta["tail_weight"][f]
        self.quiet = (1 - tail) * self.usual + tail * self.wide

    def draw_quiet(self, rng: np.random.Generator) -> None:
        """Draw the count when nothing is wrong (eq. 10)."""
        self.k = int(rng.choice(len(self.quiet), p=self.quiet / self.quiet.sum()))

    def draw_effect(self, rng: np.random.Generator) -> None:
        """Draw the count under a fault, affected and root alike (eq. 10)."""
        self.k = int(rng.choice(len(self.affected), p=self.affected / self.affected.sum()))

    draw_root = draw_effect

    @property
    def size(self) -> float:
        """How far it moved, in standard deviations of the quiet count."""
        return float(self.sizes[self.k])

    @property
    def dose(self) -> float:
        """Log dose y."""
        return float(self.doses[self.k])

    def set_dose(self, y: float) -> None:
        """Set the count whose interval of doses holds y."""
        self.k = int(np.searchsorted(self.highs, y))

    def row(self) -> dict[str, float]:
        """The cell's entries in the evidence."""
        k = self.k
        laws = np.minimum(self.log_laws[:, k], 0.0)
        return {
            **dict(zip(("log_quiet", "log_wide", "log_affected"), laws, strict=True)),
            "dose": self.dose,
            "dose_noise": self.noise,
            "dose_low": float(self.highs[k - 1]) if self.highs[k - 1] < self.highs[k] else -np.inf,
            "dose_high": float(self.highs[k]),
        }


def random_cells(
    rng: np.random.Generator, n: int, f: int, *, most: int = 1, correlation: float = 0.0
) -> list[Continuous | Count | None]:
    """Cells of n components: latencies with requests mostly, errors counted or not.

    Those without doses have up to `most` series.
    """

    def without_dose() -> Continuous:
        if most == 1:
            return Continuous(rng, has_dose=False)
        return Several(rng, int(rng.integers(1, most + 1)), correlation)

    cells: list[Continuous | Count | None] = []
    for _ in range(n):
        u = rng.random()
        if u < 0.1:
            cells.append(None)
        elif f == 0:
            cells.append(Continuous(rng, has_dose=True) if u > 0.3 else without_dose())
        else:
            cells.append(Count(rng) if u > 0.5 else without_dose())
    return cells


def _log_softplus(x: Any) -> Any:  # noqa: ANN401
    with np.errstate(divide="ignore"):
        return np.where(x < -30.0, x, np.log(np.logaddexp(0.0, x)))


def inverse_log_softplus(t: float) -> float:
    """Return the x whose softplus has logarithm t."""
    if t < -30.0:
        return t
    w = np.exp(t)  # softplus(x)
    return float(w if w > 40.0 else np.log(np.expm1(w)))
