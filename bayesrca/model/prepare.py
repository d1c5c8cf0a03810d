"""Prepare an incident's likelihood as the settings ask."""

from __future__ import annotations

from bayesrca.config import Settings
from bayesrca.evidence import Evidence
from bayesrca.kernels.propagation import PreparedLikelihood
from bayesrca.model.prior_file import prior_in_use


def prepare_likelihood(evidence: Evidence, settings: Settings) -> PreparedLikelihood:
    """Prepare the likelihood of one incident; to be used in a ``with`` block.

    Sets of several causes are chosen at the prior's centre, by this evidence.

    Raises:
        GraphTooWideError: the graph is too densely connected for the exact sum.
    """
    return PreparedLikelihood(
        evidence,
        none_prior=settings.none_prior,
        max_width=settings.max_width,
        max_causes=settings.max_causes,
        set_candidates=settings.set_candidates,
        centre=prior_in_use(settings)[0],
    )
