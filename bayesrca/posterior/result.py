"""The answer: a posterior over root causes, what explains each, and how healthy it is.

Plain frozen dataclasses of built-in types. They travel unchanged to JSON, to protobuf and back, so
the local answer and the served one are the same objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bayesrca.attribution.shares import ExcessAttribution


@dataclass(frozen=True, slots=True, kw_only=True)
class Probability:
    """A posterior probability with its two different uncertainties.

    Attributes:
        value: posterior probability, in [0, 1], averaged over the parameters.
        mcse: Monte Carlo standard error of ``value`` (>= 0): how much another seed would move it.
        interval: central credible interval of the probability over the parameters, of mass
            `Answer.interval_mass`: how much not knowing noise scales, base rates and the like
            leaves it open. ``(low, high)``.
    """

    value: float
    mcse: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnEvidence:
    """What one component's own telemetry in one family says.

    Attributes:
        family: signal family, e.g. ``latency`` or ``memory``.
        signal: name of the series that was read.
        measure: what the contrast is: ``log ratio`` of mean levels, ``difference of shares`` that
            failed, ``arcsine of root`` of a share or ``root of rate``, each a difference;
            ``difference of means`` of a resource's series, in its own unit.
        contrast: change in the footprint, as ``measure`` says.
        scale: standard deviation of such a contrast when nothing is wrong (same unit).
        log_bayes_factor: natural log of p(series | this is the root) / p(series | quiet); of a
            resource's series, of p(series | this resource is at fault) / p(series | quiet).
    """

    family: str
    signal: str
    measure: str
    contrast: float
    scale: float
    log_bayes_factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Dose:
    """Excess work at the cause and at the target: conserved along a true path.

    Attributes:
        family: ``latency`` (excess seconds) or ``errors`` (excess failed requests).
        unit: unit of both amounts.
        cause: excess at the cause during the footprint.
        target: excess at the target during the same footprint.
    """

    family: str
    unit: str
    cause: float
    target: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What speaks for one cause.

    Attributes:
        own: own evidence: latency and errors where the component reports them, then its (at most
            three) load, saturation and generic series that speak loudest for a resource fault.
        dose: excess work at cause and target, None when either does not report it.
        path: component names from the cause to the target along which the fault can travel,
            both ends included; empty when the graph has no such path or no target is known.
        reaches_target: whether such a path exists; None when the incident names no target.
        footprint: ``(start, end)`` in seconds of the most probable interval of the fault.
        text: the same in one plain sentence.
    """

    own: tuple[OwnEvidence, ...]
    dose: Dose | None
    path: tuple[str, ...]
    reaches_target: bool | None
    footprint: tuple[float, float]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One component as a root cause.

    Attributes:
        component: its name.
        kind: most probable fault kind, ``latency``, ``errors`` or ``resource``.
        kinds: posterior probability of each kind jointly with this cause; sums to the value.
        probability: posterior probability that this component is the cause.
        explains: what speaks for it.
    """

    component: str
    kind: str
    kinds: Mapping[str, float]
    probability: Probability
    explains: Explanation


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """Whether the computation can be believed.

    Attributes:
        healthy: every gate passed: for NUTS R-hat < 1.01, ESS > 400 and no divergence; for the
            screen Pareto k-hat < 0.7; for both, no parameter's posterior mean more than 5 prior
            standard deviations from its prior's centre.
        problems: the gates that failed, in words; empty when healthy.
        n_draws: draws behind the answer, all chains together.
        n_chains: NUTS chains; 0 for the screen.
        r_hat: largest rank-normalised split R-hat over parameters and probabilities, infinite where
            it is undefined (one chain, too few draws); None for the screen.
        ess: smallest bulk or tail effective sample size for NUTS, 0 where it is undefined;
            that of importance sampling for the screen.
        divergences: divergent transitions; None for the screen.
        e_bfmi: smallest energy Bayesian fraction of missing information; None for the screen.
        pareto_k: Pareto shape of the importance weights; None for NUTS.
        reruns: times the sampler was run again at a higher target acceptance.
        max_width: components open at once in the exact sum over affected sets (2^width states).
    """

    healthy: bool
    problems: tuple[str, ...]
    n_draws: int
    n_chains: int
    r_hat: float | None
    ess: float
    divergences: int | None
    e_bfmi: float | None
    pareto_k: float | None
    reruns: int
    max_width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RootCausePosterior:
    """Posterior over "this component is the cause" and "none of these".

    Attributes:
        causes: every component of the topology, most probable first (ties by topology order).
        none: probability that no listed component is the cause.
    """

    causes: tuple[Cause, ...]
    none: Probability


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One analysis, without its draws.

    Attributes:
        incident: the incident's name.
        method: ``screen`` or ``nuts``: which of the two the numbers came from.
        posterior: the probabilities.
        interval_mass: mass of every credible interval in it, in (0, 1).
        diagnostics: whether to believe them.
        attribution: Shapley shares of the target's excess, None where it has none that can be told
            (a note says why). A share is not a probability: read it beside the posterior, never
            as it.
        notes: what was absent or assumed, one plain sentence each.
        seed: the seed that reproduces every number.
        versions: library name to version.
        timings: step name to seconds; the only numbers that differ between identical runs.
    """

    incident: str
    method: str
    posterior: RootCausePosterior
    interval_mass: float
    diagnostics: Diagnostics
    attribution: ExcessAttribution | None
    notes: tuple[str, ...]
    seed: int
    versions: Mapping[str, str]
    timings: Mapping[str, float] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether every health gate passed; nothing may act on an unhealthy answer."""
        return self.diagnostics.healthy
