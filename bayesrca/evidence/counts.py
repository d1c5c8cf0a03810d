"""Laws of failed requests: how probable a footprint's failures are, quiet and affected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaln, expit, gammaln, logit

from bayesrca.evidence.frame import Frame
from bayesrca.evidence.nulls import NULLS

Floats = NDArray[np.float64]

REGIMES = ((0.3, 15.0), (0.5, 0.5))
"""Beta priors of the failure share beside the baseline's own: rarely failing, and anything."""
REGIME_WEIGHTS = (0.70, 0.25, 0.05)
"""Prior weights of the baseline's fit and of `REGIMES`."""
WIDE = (0.5, 2.0)
"""Beta law of the wide quiet component: failures nobody expected, for no traceable reason."""
EFFECT_LOG_MEDIAN, EFFECT_LOG_SD = np.log(2.5), 0.6
"""Log-normal law of the rise of the failure log-odds under a fault."""
EFFECT_PRECISION = 40.0
"""Beta precision of the failure share around its mean under a fault."""
REFERENCE_SHARE = 0.5
"""Weight of what is observed outside the footprint: neighbouring samples are not independent."""
MIN_SAMPLES = 10
"""Baseline samples with requests below which the baseline tells no usual share."""
MOST_TERMS = 64
"""Counts up to which probabilities of so many failures or fewer are added up exactly."""
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(12)
"""Quadrature over the rise of the log-odds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountLaws:
    """Counts of one component in every footprint, [s] each; NaN where it had no request.

    Fewer failures than usual are no effect of a fault: of them all that is read is that there was
    no excess, so that every law has the probability of that event.

    Attributes:
        log_quiet: log probability of the failures under the usual quiet law.
        log_wide: the same under the wide quiet law.
        log_affected: the same under a fault.
        failed: failed requests in the footprint.
        requests: requests in the footprint.
        reference: share that fails when quiet, in (0, 1).
        usual: [3, j, s] weights and Beta parameters a, b of the usual quiet law's mixture.
    """

    log_quiet: Floats
    log_wide: Floats
    log_affected: Floats
    failed: Floats
    requests: Floats
    reference: Floats
    usual: Floats

    @property
    def read(self) -> Floats:
        """[s] failures as they are read: where there is no excess, the most that is none."""
        return np.asarray(np.maximum(self.failed, np.ceil(self.requests * self.reference) - 1.0))

    @property
    def no_excess(self) -> NDArray[np.bool_]:
        """[s] whether fewer failed than usual."""
        return np.asarray(self.failed < self.requests * self.reference)


def compute_count_laws(
    frame: Frame, failed: Floats, requests: Floats, normal_failed: Floats, normal_requests: Floats
) -> CountLaws:
    """Probability of the failures in every footprint (docs/concepts.md eq. 10).

    The usual share comes from an adjacent baseline of at least `MIN_SAMPLES` samples, else from the
    rest of the window.

    Args:
        frame: the incident's time.
        failed: [b] failed requests per bin, whole numbers.
        requests: [b] requests per bin.
        normal_failed: [m] failed requests per baseline sample; empty without a baseline.
        normal_requests: [m] requests per baseline sample.
    """
    inside = frame.inside
    k1, n1 = failed @ inside.T, requests @ inside.T
    k0 = REFERENCE_SHARE * (failed @ ~inside.T)
    n0 = REFERENCE_SHARE * (requests @ ~inside.T)
    used = normal_requests > 0
    normal = normal_failed[used], normal_requests[used]
    usual = NULLS.get(partial(_usual_shares, *normal), "counts", *normal)
    a, b, log_w = usual[:, :1], usual[:, 1:2], usual[:, 2:3]
    if frame.against_baseline and len(usual) > len(REGIMES):
        # The rest of the window may fail for the same reason as the footprint: only the baseline
        # says what is usual.
        k0, n0 = np.zeros_like(k0), np.zeros_like(n0)
        log_w = log_w + REFERENCE_SHARE * usual[:, 3:]
    log_w = log_w + _log_beta_binomial(k0, n0, a, b, combinations=False)
    log_w -= np.logaddexp.reduce(log_w, axis=0)
    share = (np.exp(log_w) * (a + k0) / (a + b + n0)).sum(axis=0)
    share = np.clip(share, 1e-6, 1 - 1e-6)
    none = np.where(n1 > 0, 0.0, np.nan)
    blank = np.full_like(k1, np.nan)
    laws = CountLaws(
        log_quiet=blank,
        log_wide=blank,
        log_affected=blank,
        failed=k1 + none,
        requests=n1 + none,
        reference=share,
        usual=np.stack(np.broadcast_arrays(np.exp(log_w), a + k0, b + n0 - k0)),
    )
    wide_a, wide_b = (np.full((1, 1), x) for x in WIDE)
    return replace(
        laws,
        log_quiet=_log_law(laws, log_w, a + k0, b + n0 - k0),
        log_wide=_log_law(laws, np.zeros((1, 1)), wide_a, wide_b),
        log_affected=_log_law(laws, *_affected(share)),
    )


def _affected(share: Floats) -> tuple[Floats, Floats, Floats]:
    """Log weights and Beta parameters, [12, s], of the failure share under a fault."""
    rise = np.exp(EFFECT_LOG_MEDIAN + EFFECT_LOG_SD * NODES)[:, None]
    p = np.clip(expit(logit(share) + rise), 1e-9, 1 - 1e-9)
    log_w = np.log(NODE_WEIGHTS / NODE_WEIGHTS.sum())[:, None]
    return log_w, EFFECT_PRECISION * p, EFFECT_PRECISION * (1 - p)


def _log_law(laws: CountLaws, log_w: Floats, a: Floats, b: Floats) -> Floats:
    """[s] log probability of what is read under a mixture of Beta shares, [j, s] or [j, 1] each."""
    seen = ~np.isnan(laws.requests)
    k, n = np.where(seen, laws.read, 0.0), np.where(seen, laws.requests, 0.0)
    log_p = log_w + _log_beta_binomial(k, n, a, b)
    less = laws.no_excess
    if less.any():
        below = [np.broadcast_to(x, log_p.shape)[:, less] for x in (k, n, a, b)]
        log_p[:, less] += np.log(_compute_relative_tail(*below))
    out = np.minimum(np.logaddexp.reduce(log_p, axis=0), 0.0)
    return np.asarray(np.where(seen, out, np.nan))


def _compute_relative_tail(k: Floats, n: Floats, a: Floats, b: Floats) -> Floats:
    """Probability of k failures or fewer among n over that of k, under a Beta(a, b) share.

    Added up from k downwards. Past `MOST_TERMS` the share of failures is taken to have the Beta law
    of the same mean and variance, with the correction for continuity.
    """
    total, term = np.ones_like(k), np.ones_like(k)
    few = k <= MOST_TERMS
    for step in range(int(k[few].max(initial=0.0))):
        j = np.maximum(k - step, 0.0)
        term = term * (j / (n - j + 1.0) * (n - j + b) / np.maximum(j - 1.0 + a, a))
        total = total + term
    if not few.all():
        k, n, a, b = (x[~few] for x in (k, n, a, b))
        matched = (n * (a + b + 1.0) / (n + a + b) - 1.0) / (a + b)
        tail = betainc(matched * a, matched * b, (k + 0.5) / n)
        point = np.exp(_log_beta_binomial(k, n, a, b))
        total[~few] = np.maximum(tail / np.maximum(point, 1e-300), 1.0)
    return total


def _log_beta_binomial(
    k: Floats, n: Floats, a: Floats | float, b: Floats | float, *, combinations: bool = True
) -> Floats:
    """Log probability of k failures among n under a Beta(a, b) share; k and n may be fractions."""
    out = betaln(k + a, n - k + b) - betaln(a, b)
    if combinations:
        out = out + gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.asarray(out)


def _usual_shares(failed: Floats, requests: Floats) -> Floats:
    """[j, 4] Beta priors (a, b) of the failure share, their log weights and log likelihoods."""
    priors, weights = _regimes(failed, requests)
    each = _log_beta_binomial(failed, requests, priors[:, :1], priors[:, 1:], combinations=False)
    return np.column_stack([priors, np.log(weights), each.sum(axis=1)])


def _regimes(failed: Floats, requests: Floats) -> tuple[Floats, Floats]:
    """Beta priors [j, 2] of the failure share and their weights [j]."""
    fitted = _fit_beta(failed, requests)
    if fitted is None:
        weights = np.array(REGIME_WEIGHTS[1:])
        return np.array(REGIMES), weights / weights.sum()
    return np.array([fitted, *REGIMES]), np.array(REGIME_WEIGHTS)


def _fit_beta(k: Floats, n: Floats) -> tuple[float, float] | None:
    """Beta law of the failure share over baseline samples, by moments; None with too few."""
    if len(n) < MIN_SAMPLES:
        return None
    p = (k.sum() + 0.5) / (n.sum() + 1.0)
    inverse = np.mean(1.0 / n)
    binomial = p * (1 - p)
    spread = np.mean((k / n - p) ** 2)
    rho = (spread - binomial * inverse) / max(binomial * (1 - inverse), 1e-12)
    precision = 1.0 / np.clip(rho, 1e-5, 0.5) - 1.0
    return float(p * precision), float((1 - p) * precision)
