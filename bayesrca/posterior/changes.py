"""Which change caused the incident, given what the telemetry says of components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesrca.errors import InvalidEvidenceError
from bayesrca.evidence.changes import SAME, compute_change_log_odds
from bayesrca.evidence.trace_evidence import Change

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePosterior:
    """Posterior over changes; it and ``none`` sum to one.

    Attributes:
        none: probability that no change caused the incident.
        probability: [c] of each change.
        changes: the changes, in the same order.
    """

    none: float
    probability: Floats
    changes: tuple[Change, ...]

    @property
    def ranking(self) -> tuple[Change, ...]:
        """Changes, the most probable first; of equals the one that came last."""
        order = sorted(
            range(len(self.changes)), key=lambda i: (-self.probability[i], self.changes[i].age)
        )
        return tuple(self.changes[i] for i in order)


def compute_change_posterior(
    changes: Sequence[Change], probability: Floats, prior: Floats
) -> ChangePosterior:
    """Weigh changes by their time and text, and by what telemetry says of what they changed.

    If a change is the cause, its component is likely the root; if none is, any component may be.
    With every component ruled out, changes are told apart by time and text alone. The ratio
    of ``probability`` to ``prior`` is how well each explains the telemetry, so that a prior that
    already leans on changes (`compute_change_log_factor`) is not counted twice.

    Args:
        changes: what was changed, see `find_changes`.
        probability: [n] posterior probability of each component's being the cause.
        prior: [n] prior probabilities that it came from (> 0), up to a common factor.

    Raises:
        InvalidEvidenceError: arrays of different lengths, a probability outside [0, 1], or a prior
            that is not positive.
    """
    if probability.shape != prior.shape or probability.ndim != 1:
        msg = f"probabilities {probability.shape} and priors {prior.shape} need one entry each"
        raise InvalidEvidenceError(msg, field="prior")
    if not (np.isfinite(prior) & (prior > 0.0)).all():
        msg = "prior probabilities of components must be finite and positive"
        raise InvalidEvidenceError(msg, field="prior")
    if not ((probability >= 0.0) & (probability <= 1.0)).all():
        msg = "probabilities of components must lie between 0 and 1"
        raise InvalidEvidenceError(msg, field="probability")
    fits = probability / (prior / prior.sum())
    if not fits.any():
        fits = np.ones_like(fits)
    same = [fits[c.component] / fits.mean() if c.component >= 0 else 1.0 for c in changes]
    of = [SAME * fit + (1.0 - SAME) for fit in same]
    odds = np.exp(compute_change_log_odds(changes)) * np.array(of, dtype=np.float64)
    total = 1.0 + odds.sum()
    return ChangePosterior(
        none=float(1.0 / total), probability=odds / total, changes=tuple(changes)
    )
