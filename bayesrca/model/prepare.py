"""Prepare an incident's likelihood as the settings ask."""

from __future__ import annotations

from bayesrca.config import Settings
from bayesrca.evidence import Evidence
from bayesrca.kernels.propagation import PreparedLikelihood


def prepare_likelihood(evidence: Evidence, settings: Settings) -> PreparedLikelihood:
    """Prepare the likelihood of one incident; to be used in a ``with`` block.

    Raises:
        GraphTooWideError: the graph is too densely connected for the exact sum.
    """
    return PreparedLikelihood(
        evidence, none_prior=settings.none_prior, max_width=settings.max_width
    )
