"""The fast posterior: importance draws around the mode, computed in the native core."""

from __future__ import annotations

from bayesrca.config import Settings
from bayesrca.kernels.propagation import PreparedLikelihood
from bayesrca.model.draws import Cancelled, Draws
from bayesrca.model.prior_file import prior_in_use


def estimate_by_screen(
    likelihood: PreparedLikelihood,
    *,
    seed: int,
    settings: Settings,
    cancelled: Cancelled | None = None,
) -> Draws:
    """Draw theta by importance sampling, in milliseconds (docs/concepts.md, "two speeds").

    Args:
        likelihood: the prepared incident.
        seed: 0 to 2^64 - 1; the same seed gives the same bits for any number of cores.
        settings: number of scrambles and points, cores, prior.
        cancelled: polled while working.

    Raises:
        CancelledError: ``cancelled`` returned True.
    """
    mean, sd = prior_in_use(settings)
    raw = likelihood.estimate_screen(
        prior_mean=mean,
        prior_sd=sd,
        scrambles=settings.screen_scrambles,
        points=settings.screen_points,
        seed=seed,
        threads=settings.cores,
        cancelled=cancelled,
    )
    shape = (settings.screen_scrambles, settings.screen_points)
    return Draws(
        thetas=raw.thetas.reshape(*shape, -1),
        log_weights=raw.log_weights.reshape(shape),
        log_root=raw.log_root.reshape(*shape, -1),
        log_likelihood=raw.log_likelihood.reshape(shape),
        prior=(mean, sd),
        pareto_k=raw.pareto_k,
    )
