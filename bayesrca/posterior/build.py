"""Draws and evidence -> the posterior over root causes that users read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence import Evidence
from bayesrca.kernels.propagation import KINDS, PreparedLikelihood
from bayesrca.model.draws import Draws
from bayesrca.posterior.explain import Explainer
from bayesrca.posterior.result import Cause, RootCausePosterior
from bayesrca.posterior.summary import RootProbabilities


def build_posterior(
    draws: Draws,
    root: RootProbabilities,
    evidence: Evidence,
    likelihood: PreparedLikelihood,
    target: int | None,
) -> RootCausePosterior:
    """Rank the components and say what speaks for each.

    Args:
        draws: draws of either speed.
        root: their probabilities.
        evidence: what the draws were made from.
        likelihood: the same, prepared.
        target: index of the target, or None.
    """
    explainer = Explainer(evidence, likelihood, _mean_theta(draws), target)
    ranked = np.argsort(-root.values[:-1], kind="stable")
    return RootCausePosterior(
        causes=tuple(_cause(int(i), root, evidence, explainer) for i in ranked),
        none=root.probability(-1),
    )


def most_probable_footprint(draws: Draws, likelihood: PreparedLikelihood) -> int:
    """Index of the footprint that is most probable over all hypotheses, at the mean of theta."""
    joint = likelihood.compute_footprint_log_joint(_mean_theta(draws))
    return int(np.logaddexp.reduce(joint, axis=0).argmax())


def _mean_theta(draws: Draws) -> NDArray[np.float64]:
    return np.asarray(np.einsum("cd,cdp->p", draws.weights, draws.thetas))


def _cause(i: int, root: RootProbabilities, evidence: Evidence, explainer: Explainer) -> Cause:
    kind = int(np.argmax(root.by_kind[i]))
    return Cause(
        component=evidence.components[i],
        kind=KINDS[kind],
        kinds={k: float(p) for k, p in zip(KINDS, root.by_kind[i], strict=True)},
        probability=root.probability(i),
        explains=explainer.explain(i, kind),
    )
