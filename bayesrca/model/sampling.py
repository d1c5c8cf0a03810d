"""NUTS on the compiled model, with progress, cancellation and a deadline."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import nutpie

from bayesrca.config import Settings
from bayesrca.errors import CancelledError, SamplingError
from bayesrca.kernels.propagation import PreparedLikelihood
from bayesrca.model.compiled import compiled_for
from bayesrca.model.draws import Cancelled, Draws, Floats, Tell
from bayesrca.model.parameters import PRIORS, TRANSFORMS
from bayesrca.model.prior_file import prior_in_use

_POLL_SECONDS = 0.05
_PROGRESS_MILLISECONDS = 200
_SHORT_DEPTH = 2
"""Doublings of a trajectory: three leapfrog steps, a third of the way round a normal posterior that
the mass matrix has made round (docs/decisions/0020)."""
_FULL_DEPTH = 10
_KEPT_STATS = ("diverging", "energy", "n_steps", "depth", "step_size", "mean_tree_accept", "logp")


def estimate_by_nuts(
    likelihood: PreparedLikelihood,
    *,
    seed: int,
    settings: Settings,
    target_accept: float,
    full_trajectories: bool = False,
    cancelled: Cancelled | None = None,
    tell: Tell | None = None,
    stop_at: float | None = None,
) -> Draws | None:
    """Draw theta by the No-U-Turn sampler (Hoffman & Gelman 2014).

    The mass matrix is a diagonal with a low-rank correction, which nutpie learns from draws and
    gradients: theta's entries are correlated, and trajectories can be short once they no longer
    are. Compiles the model first when this process has not yet.

    Args:
        likelihood: the prepared incident; stays prepared until this returns.
        seed: 0 to 2^64 - 1; draws do not depend on ``settings.cores``.
        settings: chains, draws, tune, cores, prior.
        target_accept: target acceptance probability.
        full_trajectories: let trajectories run until they turn back, at most 1,023 steps, not 3.
        cancelled: polled while sampling.
        tell: told the progress.
        stop_at: `time.monotonic` value past which the draws would come too late.

    Returns:
        The draws, or None when ``stop_at`` passed first.

    Raises:
        CancelledError: ``cancelled`` returned True.
        SamplingError: no chain could be started.
    """
    compiled = compiled_for(likelihood.handle, prior_in_use(settings))
    try:
        sampler = nutpie.sample(
            compiled,
            **sampler_options(settings, target_accept, full_trajectories=full_trajectories),
            seed=seed,
            save_warmup=False,
            progress_bar=False,
            progress_callback=_progress(tell, settings),
            progress_rate=_PROGRESS_MILLISECONDS,
            blocking=False,
        )
        tree = _wait(sampler, cancelled, stop_at)
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        msg = f"the sampler could not start: {first}; try the screen (--method screen)"
        raise SamplingError(msg) from error
    if tree is None:
        return None
    return _draws(tree, likelihood, settings)


def sampler_options(
    settings: Settings, target_accept: float, *, full_trajectories: bool = False
) -> dict[str, Any]:
    """Arguments of `nutpie.sample` that decide how long it takes; see `estimate_by_nuts`."""
    return {
        "draws": settings.draws,
        "tune": settings.tune,
        "chains": settings.chains,
        "cores": settings.cores,
        "target_accept": target_accept,
        "adaptation": "low_rank",
        "maxdepth": _FULL_DEPTH if full_trajectories else _SHORT_DEPTH,
    }


def _wait(sampler: Any, cancelled: Cancelled | None, stop_at: float | None) -> Any:
    """Wait for the sampler in short steps; None when the deadline passed.

    Cancelling joins the sampler's threads before returning, so that the likelihood may be freed.
    """
    try:
        while True:
            try:
                return sampler.wait(timeout=_POLL_SECONDS)
            except TimeoutError:
                pass
            if cancelled is not None and cancelled():
                sampler.cancel()
                msg = "the analysis was cancelled while sampling"
                raise CancelledError(msg)
            if stop_at is not None and time.monotonic() >= stop_at:
                sampler.cancel()
                return None
    except KeyboardInterrupt:
        sampler.cancel()
        raise


def _progress(tell: Tell | None, settings: Settings) -> Any:
    if tell is None:
        return None
    total = settings.chains * (settings.draws + settings.tune)

    def report(chains: list[Any]) -> None:
        done = sum(c.finished_draws for c in chains)
        tell(min(1.0, done / total), sum(c.divergences for c in chains))

    return report


def _draws(tree: Any, likelihood: PreparedLikelihood, settings: Settings) -> Draws:
    posterior, stats = tree["posterior"], tree["sample_stats"]
    thetas = np.concatenate([_unconstrained(posterior[name].values, name) for name in PRIORS], -1)
    chains, draws = thetas.shape[:2]
    flat = thetas.reshape(chains * draws, -1)
    log_root, log_likelihood = likelihood.compute_root_log_posterior(flat, threads=settings.cores)
    kept = {name: np.asarray(stats[name].values) for name in _KEPT_STATS if name in stats}
    return Draws(
        thetas=thetas,
        log_weights=np.zeros((chains, draws)),
        log_root=log_root.reshape(chains, draws, -1),
        log_likelihood=log_likelihood.reshape(chains, draws),
        prior=prior_in_use(settings),
        sample_stats=kept,
        divergences=int(kept["diverging"].sum()),
    )


def _unconstrained(values: Floats, name: str) -> Floats:
    """Natural draws [c, d] or [c, d, 2] as unconstrained ones [c, d, 1 or 2]."""
    column = values if len(PRIORS[name].centre) > 1 else values[..., None]
    if TRANSFORMS[name] == "log":
        return np.asarray(np.log(column))
    return np.asarray(np.log(column) - np.log1p(-column))
