"""How much the answer owes to theta's prior and to theta's likelihood, by power-scaling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesrca.model.draws import Draws
from bayesrca.model.log_prior import compute_log_prior
from bayesrca.posterior.summary import RootProbabilities
from bayesrca.posterior.tree import build_tree

Floats = NDArray[np.float64]

SENSITIVITY_LIMIT = 0.05
"""Sensitivities from here on are remarkable (Kallioinen et al. 2024)."""
PARTS = ("prior", "likelihood")
CONFLICT = "potential prior-data conflict"
STRONG_PRIOR = "potential strong prior / weak likelihood"
_WATCHED = 1e-3
_BATCHES = 16
_SHIFTS = 4
"""Shifted copies of the weights that tell what a sensitivity of nothing looks like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityRow:
    """Power-scaling sensitivity of one quantity.

    Attributes:
        name: a parameter, ``p_cause[component]`` or ``p_none``.
        prior: change of its posterior law per doubling of the prior's power, as a distance in
            [0, 1] (cumulative Jensen-Shannon) divided by the change of log2(alpha).
        likelihood: the same for the likelihood.
        prior_noise: what ``prior`` would be on average by chance alone, with as many draws: the
            same of draws shifted against their weights. It shrinks with the root of their number.
        likelihood_noise: the same for the likelihood.
    """

    name: str
    prior: float
    likelihood: float
    prior_noise: float
    likelihood_noise: float

    @property
    def diagnosis(self) -> str:
        """`CONFLICT` where both are remarkable, `STRONG_PRIOR` where only the prior's is, else "".

        Remarkable is `SENSITIVITY_LIMIT` or more, and more than twice what chance alone gives.
        """
        prior = self.prior >= SENSITIVITY_LIMIT and self.prior > 2.0 * self.prior_noise
        likelihood = (
            self.likelihood >= SENSITIVITY_LIMIT and self.likelihood > 2.0 * self.likelihood_noise
        )
        if not prior:
            return ""
        return CONFLICT if likelihood else STRONG_PRIOR


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledAnswer:
    """The answer under a prior or a likelihood raised to a power.

    Attributes:
        part: ``prior`` or ``likelihood``: which of the two was raised.
        alpha: to which power; above 1 is narrower. A prior's standard deviations on the
            unconstrained scale are divided by sqrt(alpha).
        probabilities: [n + 1] p(component is a cause), "none of these" last.
        shift_mcse: [n + 1] Monte Carlo standard error of their differences from the answer's own.
        pareto_k: Pareto shape of the weights behind it; believe it below 0.7.
    """

    part: str
    alpha: float
    probabilities: Floats
    shift_mcse: Floats
    pareto_k: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """What the answer owes to the prior and to the likelihood of theta.

    Attributes:
        components: names of the n components.
        rows: leading causes, "none of these", then every parameter.
        scaled: answers under other powers; those that answer the question "had the prior been
            wider or narrower, would the answer differ?".
        base: [n + 1] the answer itself, as the probabilities of ``scaled``.
    """

    components: tuple[str, ...]
    rows: tuple[SensitivityRow, ...]
    scaled: tuple[ScaledAnswer, ...]
    base: Floats

    @property
    def largest_shift(self) -> float:
        """Largest absolute change of a probability over ``scaled`` answers of the prior."""
        return max(
            float(np.abs(s.probabilities - self.base).max())
            for s in self.scaled
            if s.part == "prior"
        )


def compute_sensitivity(
    draws: Draws,
    root: RootProbabilities,
    components: Sequence[str],
    *,
    seed: int,
    alphas: Sequence[float] = (0.8, 1.25),
    causes: int = 5,
) -> Sensitivity:
    """Power-scale theta's prior and likelihood (Kallioinen et al. 2024).

    What is scaled is theta's part: the prior of theta, and the likelihood of theta with the root
    cause summed out. The probability of a cause given theta stays as it is, so this tells what the
    answer owes to what the incident and the prior say about noise, effects and rates.

    Sensitivities are ArviZ's, of the draws in the tree (for the screen resampled by ``seed``);
    scaled answers reweight the draws themselves, with Pareto-smoothed weights.

    Args:
        draws: draws of either speed.
        root: their probabilities.
        components: names, in order.
        seed: the seed of the tree's resampling; that of the answer gives the tree's own draws.
        alphas: powers (> 0, not 1) of the scaled answers.
        causes: how many of the most probable components get a row; those below .001 never do.
    """
    return Sensitivity(
        components=tuple(components),
        rows=_rows(build_tree(draws, root, components, {}, seed=seed), root, causes),
        scaled=tuple(
            compute_scaled_answer(draws, root, part=part, alpha=alpha)
            for part in PARTS
            for alpha in alphas
        ),
        base=root.values,
    )


def _rows(tree: Any, root: RootProbabilities, causes: int) -> tuple[SensitivityRow, ...]:
    # Late and by name: it takes four CPU seconds and is untyped.
    psense: Any = import_module("arviz_stats").psense
    leading = np.argsort(-root.values[:-1], kind="stable")[:causes]
    leading = leading[root.values[leading] > _WATCHED]
    probabilities = tree["root_cause"].to_dataset().isel(component=leading)
    if not root.values[-1] > _WATCHED:
        probabilities = probabilities.drop_vars("p_none")
    both = tree.copy()
    both["posterior"] = both["posterior"].assign(probabilities.data_vars)
    found = [_flat(psense(both, group=part)) for part in PARTS]
    noise = [_noise(both, psense, part) for part in PARTS]
    names = sorted(found[0], key=lambda name: not name.startswith("p_"))
    return tuple(
        SensitivityRow(
            name=name,
            prior=found[0][name],
            likelihood=found[1][name],
            prior_noise=noise[0][name],
            likelihood_noise=noise[1][name],
        )
        for name in names
    )


def _noise(tree: Any, psense: Any, part: str) -> dict[str, float]:
    """Mean sensitivity to weights that belong to other draws of the same chain.

    Shifting keeps the autocorrelation of the chains, which shuffling would lose.
    """
    step = tree["posterior"].sizes["draw"] // (_SHIFTS + 1)
    shifted, group = tree.copy(), f"log_{part}"
    every = []
    for k in range(1, _SHIFTS + 1):
        rolled = tree[group].to_dataset().roll(draw=k * step)
        shifted[group] = shifted[group].assign(rolled.data_vars)
        every.append(_flat(psense(shifted, group=part)))
    return {name: float(np.mean([one[name] for one in every])) for name in every[0]}


def _flat(sensitivity: Any) -> dict[str, float]:
    """Values of a Dataset by name and label, e.g. ``noise_scale[latency]``."""
    out = {}
    for name, values in sensitivity.data_vars.items():
        if values.ndim == 0:
            out[str(name)] = float(values)
        else:
            labels = values[values.dims[0]].values
            out |= {f"{name}[{x}]": float(v) for x, v in zip(labels, values.values, strict=True)}
    return out


def compute_scaled_answer(
    draws: Draws, root: RootProbabilities, *, part: str, alpha: float
) -> ScaledAnswer:
    """Reweight the draws to the prior or likelihood (``part``) of power ``alpha`` (> 0, not 1)."""
    log_part = draws.log_likelihood
    if part == "prior":
        log_part = compute_log_prior(draws.thetas, draws.prior).sum(axis=-1)
    array_stats: Any = import_module("arviz_stats.base").array_stats
    log_weights = draws.log_weights + (alpha - 1.0) * log_part
    # ArviZ smooths the weights of left-out likelihoods, whose sign is the other.
    smooth, k = array_stats.psislw(-log_weights.ravel())
    weights = np.exp(smooth - smooth.max())
    weights = (weights / weights.sum()).reshape(log_weights.shape)
    probabilities = np.einsum("cd,cdn->n", weights, root.by_draw)
    return ScaledAnswer(
        part=part,
        alpha=float(alpha),
        probabilities=probabilities,
        shift_mcse=_shift_error(
            weights[..., None] * (root.by_draw - probabilities)
            - draws.weights[..., None] * (root.by_draw - root.values)
        ),
        pareto_k=float(k),
    )


def _shift_error(influence: Floats) -> Floats:
    """Error [n + 1] of a sum of influences [c, d, n + 1], from means of batches.

    A batch is a scramble of the screen, or a part of a chain that is long against its
    autocorrelation.
    """
    parts = max(1, _BATCHES // len(influence))
    batches = [b.sum(axis=1) for b in np.array_split(influence, parts, axis=1) if b.size]
    sums = np.concatenate(batches)
    return np.asarray(np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum(axis=0)))
