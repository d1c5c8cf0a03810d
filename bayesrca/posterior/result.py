"""The answer: a posterior over root causes, what explains each, and how healthy it is.

Plain frozen dataclasses of built-in types. They travel unchanged to JSON, to protobuf and back, so
the local answer and the served one are the same objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bayesrca.attribution.shares import ExcessAttribution
from bayesrca.errors import UnknownComponentError


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
class ExplainedShare:
    """Which share of the target's excess the cause's own excess accounts for.

    A ratio of two doses. It is neither a probability nor the Shapley share of
    `Answer.attribution`, which divides the target's excess among all components.

    Attributes:
        family: ``latency`` or ``errors``, of the doses compared.
        value: mean of ``min(1, max(0, cause's dose / target's))`` over the footprints by their
            posterior weight and over the noise of both doses, in [0, 1].
        interval: central interval of the same, of mass `Answer.interval_mass`.
        ratio: mean dose of the cause over mean dose of the target, not capped: above 1 where part
            of the cause's excess was lost on its way.
    """

    family: str
    value: float
    interval: tuple[float, float]
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PathEdge:
    """One edge, in the direction in which faults travel, and how probably it carried this one.

    Attributes:
        source, target: names of the components it came from and went to.
        family: signal family in which it travelled.
        probability: that this edge carried the fault, given its cause and footprint.
    """

    source: str
    target: str
    family: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """A component by name, with the probability that it was affected, given cause and footprint."""

    component: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """One code region of a component, as a place of its fault.

    Attributes:
        region: e.g. ``OrderController#52``, a function or a database statement.
        change: what happened there, e.g. ``vanished``, ``new``, ``rarer``, ``slower``.
        probability: posterior probability, given that the component is the cause and its fault is
            seen in one of its regions; those of one component, listed or not, sum to one.
        at_fault: posterior probability that the component is a cause and shows its fault here; None
            where an older version answered. Those of one component sum to at most the component's
            own: the rest shows elsewhere, or not in its spans and log lines.
    """

    region: str
    change: str
    probability: float
    at_fault: Probability | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What speaks for one cause.

    Attributes:
        own: own evidence: latency and errors where the component reports them, then its (at most
            three) load, saturation and generic series that speak loudest for a resource fault.
        dose: excess work at cause and target, None when either does not report it.
        explained_share: share of the target's excess that the cause accounts for; None without a
            dose, for a fault on the way to the component, where the target's excess is within its
            noise, and beyond the 10 most probable causes.
        path: component names from the cause to the target along which the fault can travel,
            both ends included: the most probable path where ``edges`` are known, else a shortest.
            Empty when the graph has no such path or no target is known.
        edges: the edges of the most probable path, each with the probability that it carried the
            fault; empty where that is not known, as it is of the 10 most probable causes only.
        affected: the other components that the fault affected with probability .5 or more, most
            probable first; empty likewise.
        reaches_target: whether such a path exists; None when the incident names no target.
        footprint: ``(start, end)`` in seconds of the most probable interval of the fault.
        text: the same in one plain sentence.
        regions: code regions in which spans and logs show a change, most probable first; at most 5.
    """

    own: tuple[OwnEvidence, ...]
    dose: Dose | None
    explained_share: ExplainedShare | None
    path: tuple[str, ...]
    edges: tuple[PathEdge, ...]
    affected: tuple[Affected, ...]
    reaches_target: bool | None
    footprint: tuple[float, float]
    text: str
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One component as a root cause.

    Attributes:
        component: its name.
        kind: most probable fault kind of the component as the only cause, a key of ``kinds``.
        kinds: posterior probability that the component is the only cause and its fault of this
            kind, for each kind of `bayesrca.kernels.propagation.KINDS`; they sum to ``only``. The
            model sums the kinds of several causes out.
        probability: posterior probability that this component is a cause, alone or with others.
        only: posterior probability that it is the only cause, at most ``probability``.
        explains: what speaks for it.
    """

    component: str
    kind: str
    kinds: Mapping[str, float]
    probability: Probability
    only: Probability
    explains: Explanation


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseSet:
    """Exactly these components as the causes, no other.

    Attributes:
        components: their names, in topology order; one or more.
        probability: posterior probability that they and only they are the causes.
    """

    components: tuple[str, ...]
    probability: Probability


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProbability:
    """A component with all that it contains, as one place.

    Attributes:
        component: its name.
        probability: posterior probability that it, or a component inside it at any depth, is a
            cause; two causes in one place count once.
    """

    component: str
    probability: Probability


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Probabilities at one level of the component hierarchy.

    Attributes:
        kind: kind of the components on it, e.g. ``host``.
        nodes: every component of that kind, most probable first (ties by topology order). Causes
            outside all of them are not counted here; nodes may share a set of causes, so the
            probabilities may sum to more than one.
    """

    kind: str
    nodes: tuple[NodeProbability, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambiguity:
    """How far the posterior decides between its exclusive hypotheses.

    Those are "exactly this component", "exactly this set of several" and "none of these"; kinds of
    fault are not told apart. Their probabilities sum to one.

    Attributes:
        entropy: of their probabilities, in nats (>= 0).
        effective: ``exp(entropy)``: as undecided as this many equally probable ones (>= 1).
        credible: the fewest of them that together hold at least `credible_mass`, most probable
            first, each by the names of its components; an empty name list is "none of these".
        credible_mass: the mass they had to reach, .9.
        word: ``clear`` (one holds the mass), ``two candidates`` (two do), ``no idea``
            (``effective`` is above 10, or above nine tenths of the number of components plus one)
            or ``ambiguous``.
        text: the same in one plain sentence.
    """

    entropy: float
    effective: float
    credible: tuple[tuple[str, ...], ...]
    credible_mass: float
    word: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """Whether the computation can be believed.

    Attributes:
        healthy: every gate passed: for NUTS R-hat < 1.01, ESS > 400 and no divergence; for the
            screen Pareto k-hat < 0.7; for both, no parameter's posterior mean more than 5 prior
            standard deviations from its prior's centre, and ``sum_error`` at most 0.5.
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
        reruns: times the sampler was run again at a higher target acceptance, or the screen with
            more points.
        max_width: components open at once in the exact sum over affected sets (2^width states).
        estimated_sets: sums over affected sets, one per family and place where the fault may have
            begun, that were estimated because they would hold open more than the settings allow; 0
            when the likelihood is exact.
        sum_error: largest standard error that this leaves in the log probability of a leading
            hypothesis (at least 1 %, at the mean theta); 0 when the likelihood is exact.
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
    estimated_sets: int = 0
    sum_error: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RootCausePosterior:
    """Posterior over sets of components as the causes, and "none of these".

    A component is a cause alone or in a set, so the probabilities of ``causes`` may sum to more
    than one; those of every considered set, single components included, and ``none`` sum to one.

    Attributes:
        causes: every component of the topology, most probable first (ties by topology order).
        none: probability that no listed component is a cause.
        sets: the sets of one or more components that may be the causes, most probable first (ties:
            single components first, in topology order): the first 10 and all others of 1e-6 or
            more. A set that the model did not consider has no probability.
        ambiguity: how far this decides.
        levels: one for each kind of component of which one contains another, in the order of
            `bayesrca.incident.ComponentKind`. Other kinds are places only of themselves.
    """

    causes: tuple[Cause, ...]
    none: Probability
    sets: tuple[CauseSet, ...]
    ambiguity: Ambiguity
    levels: tuple[Level, ...]

    def by_level(self, kind: str) -> tuple[NodeProbability, ...]:
        """Return the places of one level, e.g. ``host``, most probable first.

        Raises:
            UnknownComponentError: no component of this kind contains another.
        """
        for level in self.levels:
            if level.kind == kind:
                return level.nodes
        known = ", ".join(level.kind for level in self.levels) or "none"
        msg = f"no {kind!r} component contains another; levels of this answer: {known}"
        raise UnknownComponentError(msg, field="kind")


@dataclass(frozen=True, slots=True, kw_only=True)
class Onset:
    """When one component's telemetry began to move.

    Attributes:
        component, signal: its name, and that of the series it was read from.
        time: the most probable moment, in seconds on the incident's clock.
        lower, upper: earliest and latest moment within its uncertainty.
        rank: 1 plus the number of components that moved earlier beyond all doubt, their ``upper``
            before this ``lower``. Equal ranks are ties.
    """

    component: str
    signal: str
    time: float
    lower: float
    upper: float
    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeProbability:
    """One change of the system (a deployment, a commit, a flag) as what brought the incident about.

    Attributes:
        id: what its own system knows it by, or None.
        kind: e.g. ``deploy``.
        component: name of what was changed, or None where that is not known.
        time: when it took effect, in seconds on the incident's clock.
        text: what is known of it.
        probability: posterior probability, in [0, 1].
    """

    id: str | None
    kind: str
    component: str | None
    time: float
    text: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Posterior over the changes that were told; all of it and ``none`` sum to one.

    Attributes:
        none: probability that no change brought the incident about.
        ranking: every change, most probable first (of equals the one that came last).
    """

    none: float
    ranking: tuple[ChangeProbability, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Whether anything moved more than normal telemetry does, asked before any cause is ranked.

    Attributes:
        target_p: how extreme the target's own telemetry is, in (0, 1], small when it is; None
            without a target, or where it reports nothing.
        incident_p: the same of all telemetry together.
        anomalous: whether something is anomalous at all.
        text: the same in one plain sentence.
    """

    target_p: float | None
    incident_p: float
    anomalous: bool
    text: str


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
        alarm: whether anything is anomalous at all.
        onsets: when components began to move, earliest first; those whose moment is known.
        notes: what was absent or assumed, one plain sentence each.
        seed: the seed that reproduces every number.
        versions: library name to version.
        timings: step name to seconds; the only numbers that differ between identical runs.
        changes: which change brought it about, None where the incident tells of none.
    """

    incident: str
    method: str
    posterior: RootCausePosterior
    interval_mass: float
    diagnostics: Diagnostics
    attribution: ExcessAttribution | None
    alarm: Alarm
    onsets: tuple[Onset, ...]
    notes: tuple[str, ...]
    seed: int
    versions: Mapping[str, str]
    timings: Mapping[str, float] = field(default_factory=dict)
    changes: Changes | None = None

    @property
    def healthy(self) -> bool:
        """Whether every health gate passed; nothing may act on an unhealthy answer."""
        return self.diagnostics.healthy

    @property
    def may_act(self) -> bool:
        """Whether automation may act on this answer: it is healthy, and something is anomalous."""
        return self.healthy and self.alarm.anomalous
