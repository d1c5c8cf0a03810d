"""
Native core of bayesrca. Private and unstable: use the `bayesrca` package, which validates its arguments.
"""

from _typeshed import Incomplete
from collections.abc import Sequence
from typing import Any, Final, final

__all__ = ["__version__", "FamilyEvidence", "Screen", "footprint_log_joint", "logp_grad", "n_hypotheses", "own_log_ratios", "parameter_layout", "pareto_k", "prepare", "release", "root_log_posterior", "screen", "symbol_address", "width"]

__version__: Final[str]
"""
Version of the package, the same as the wheel's.
"""

@final
class FamilyEvidence:
    """
    Evidence of one signal family over n components and s footprints.

    All arrays are C-contiguous float64 unless said; NaN marks a missing entry.

    Args:
        edges: int64 [e, 2], pairs (from, to) along which a fault visible in this family travels.
        series_component: int64 [m], the component of each continuous series.
        z: [m, s], standardised contrasts.
        log_quiet: [n, s], log probability of the observed count under the usual quiet law.
        log_wide: [n, s], the same under the wide quiet law.
        log_affected: [n, s], the same for an affected component.
        dose: [n, s], log dose.
        dose_noise: [n, s], standard deviation of the dose in its own unit.
        dose_jacobian: [n, s], d(log dose)/d(z) of continuous cells.
        dose_low: [n, s], log dose at the lower edge of the observed count; of a continuous cell, at z = 2.
        dose_high: [n, s], log dose at its upper edge.

    Raises:
        InvalidEvidenceError: an array is not contiguous.
    """
    def __new__(cls, /, *, edges: Incomplete, series_component: Incomplete, z: Incomplete, log_quiet: Incomplete, log_wide: Incomplete, log_affected: Incomplete, dose: Incomplete, dose_noise: Incomplete, dose_jacobian: Incomplete, dose_low: Incomplete, dose_high: Incomplete) -> FamilyEvidence: ...

@final
class Screen:
    """
    Weighted draws of theta, with the posterior over hypotheses at each.
    """
    @property
    def log_likelihood(self, /) -> Incomplete:
        """
        Log likelihood of each draw, float64 [d].
        """
    @property
    def log_root(self, /) -> Incomplete:
        """
        Log posterior of every hypothesis at each draw, float64 [d, k].
        """
    @property
    def log_weights(self, /) -> Incomplete:
        """
        Log importance weights, float64 [d].
        """
    @property
    def mode(self, /) -> Incomplete:
        """
        Unconstrained posterior mode, float64 [p].
        """
    @property
    def n_gradients(self, /) -> int:
        """
        Gradient evaluations spent on finding the mode and its curvature.
        """
    @property
    def pareto_k(self, /) -> float:
        """
        Pareto shape of the importance weights.
        """
    @property
    def thetas(self, /) -> Incomplete:
        """
        Unconstrained draws, float64 [d, p], scramble by scramble.
        """

def footprint_log_joint(handle: int, theta: Incomplete) -> Incomplete:
    """
    Log joint of every hypothesis and footprint given theta: float64 [k, s].
    """

def logp_grad(handle: int, theta: Incomplete) -> tuple[float, Incomplete]:
    """
    Log likelihood (hypotheses summed out) and its gradient.

    Args:
        theta: float64 [p], unconstrained parameters in the order of `parameter_layout`.

    Returns:
        The log likelihood and float64 [p].
    """

def n_hypotheses(handle: int) -> int:
    """
    Number of hypotheses: two kinds (latency, errors) per component, then "none of these".
    """

def own_log_ratios(handle: int, theta: Incomplete) -> Incomplete:
    """
    Log Bayes factor of "root" against "quiet" of every cell given theta: float64 [families, n, s].
    """

def parameter_layout() -> list[tuple[str, int, str]]:
    """
    Name, length and transform (`log` or `logit`) of each parameter, in the order of theta.
    """

def pareto_k(log_weights: Incomplete) -> float:
    """
    Pareto shape k-hat of importance weights given by their logarithms, float64 [d].
    """

def prepare(*, n_components: int, footprint_log_prior: Incomplete, target: int | None, alarm_family: int | None, root_log_factor: Incomplete, families: Sequence[FamilyEvidence], none_prior: float, max_width: int) -> int:
    """
    Prepare an incident's likelihood and return its handle.

    Args:
        n_components: number of components n (>= 1).
        footprint_log_prior: float64 [s], log prior of each footprint.
        target: index of the component that raised the alarm, or None.
        alarm_family: family of the alarm (0 latency, 1 errors); given exactly when the target is.
        root_log_factor: float64 [n, s], log factor (<= 0) on a component being the root in a footprint.
        families: evidence of latency and errors, in this order.
        none_prior: prior probability of "none of these", in (0, 1).
        max_width: components that may be open at once in the exact sum over affected sets.

    Raises:
        InvalidEvidenceError: shapes, ranges or values are wrong.
        GraphTooWideError: the exact sum would exceed `max_width`.
        KernelError: too many incidents are prepared at once.
    """

def release(handle: int) -> None:
    """
    Free a prepared likelihood; waits for calls in progress.

    Raises:
        KernelError: the handle is unknown or already released.
    """

def root_log_posterior(handle: int, thetas: Incomplete, *, threads: int) -> tuple[Incomplete, Incomplete]:
    """
    Log posterior of every hypothesis given each theta.

    Args:
        thetas: float64 [d, p], C-contiguous.
        threads: threads to use (>= 1); never changes a bit of the result.

    Returns:
        float64 [d, k] with rows that sum to one after `exp`, and float64 [d] log likelihoods.
    """

def screen(handle: int, *, prior_mean: Incomplete, prior_sd: Incomplete, scrambles: int, points: int, seed: int, threads: int, cancelled: Any | None = None) -> Screen:
    """
    Explore theta's posterior by importance sampling around its mode.

    Args:
        handle: a prepared likelihood.
        prior_mean: float64 [p], means of the unconstrained theta's independent normal priors.
        prior_sd: float64 [p], their standard deviations (> 0).
        scrambles: independent Sobol scrambles (>= 2).
        points: points per scramble (2 to 65536).
        seed: seed of the scrambles; the same seed gives the same bits for any number of threads.
        threads: threads to use (>= 1).
        cancelled: polled while working; True stops with CancelledError.

    Raises:
        InvalidEvidenceError: a size or the prior is out of range.
        CancelledError: `cancelled` returned True.
        KernelError: unknown handle, or a posterior that is nowhere finite.
    """

def symbol_address(name: str) -> int:
    """
    Address of an exported C function, for registration with a compiler.

    `bayesrca_logp_grad(int64 handle, const double *theta, double *logp, double *gradient) -> int64`: 0 on success;
    1 unknown or released handle, 2 log likelihood not finite, 3 internal error. It takes no lock and needs no GIL.

    Args:
        name: the symbol.

    Raises:
        KeyError: no such symbol.
    """

def width(handle: int) -> int:
    """
    Most components open at once in the exact sum over affected sets.
    """
