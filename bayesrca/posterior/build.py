"""Draws and evidence -> the posterior over root causes that users read."""

from __future__ import annotations

import numpy as np

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
    theta = np.einsum("cd,cdp->p", draws.weights, draws.thetas)
    explainer = Explainer(evidence, likelihood, theta, target)
    ranked = np.argsort(-root.values[:-1], kind="stable")
    return RootCausePosterior(
        causes=tuple(_cause(int(i), root, evidence, explainer) for i in ranked),
        none=root.probability(-1),
    )


def _cause(i: int, root: RootProbabilities, evidence: Evidence, explainer: Explainer) -> Cause:
    kind = int(np.argmax(root.by_kind[i]))
    return Cause(
        component=evidence.components[i],
        kind=KINDS[kind],
        kinds={k: float(p) for k, p in zip(KINDS, root.by_kind[i], strict=True)},
        probability=root.probability(i),
        explains=explainer.explain(i, kind),
    )
