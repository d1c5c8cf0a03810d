"""Prepare an incident's likelihood as the settings ask."""

from __future__ import annotations

from bayesrca.config import BeyondWidth, Settings
from bayesrca.evidence import Evidence
from bayesrca.kernels.propagation import PreparedLikelihood
from bayesrca.model.prior_file import prior_in_use


def prepare_likelihood(evidence: Evidence, settings: Settings, *, seed: int) -> PreparedLikelihood:
    """Prepare the likelihood of one incident; to be used in a ``with`` block.

    Sets of several causes are chosen at the prior's centre, by this evidence.

    Args:
        evidence: the incident's evidence.
        settings: limits, prior, and whether sums past ``max_width`` may be estimated.
        seed: 0 to 2^64 - 1; only estimated sums depend on it.

    Raises:
        GraphTooWideError: the graph is too densely connected for the exact sum, and the sum may
            not be estimated or too many components call each other in a cycle.
    """
    return PreparedLikelihood(
        evidence,
        none_prior=settings.none_prior,
        max_width=settings.max_width,
        estimate_seed=seed if settings.beyond_width is BeyondWidth.ESTIMATE else None,
        max_causes=settings.max_causes,
        set_candidates=settings.set_candidates,
        centre=prior_in_use(settings)[0],
    )
