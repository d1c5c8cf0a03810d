"""The propagation likelihood: evidence in, likelihood and root posterior out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from bayesrca import _core
from bayesrca.errors import GraphTooWideError, InvalidEvidenceError
from bayesrca.evidence import VITALS, Evidence, FamilyTable, TraceEvidence
from bayesrca.incident import Family

Floats = NDArray[np.float64]

PARAMETER_LAYOUT: tuple[tuple[str, int, str], ...] = tuple(_core.parameter_layout())
"""Name, length and transform (``log`` or ``logit``) of each parameter, in the order of theta."""

KINDS: tuple[str, ...] = tuple(_core.fault_kinds())
"""Kinds of fault, in the order of the hypotheses."""

N_PARAMETERS = sum(length for _, length, _ in PARAMETER_LAYOUT)
"""Length of theta."""

_ARRAYS = (
    "log_quiet",
    "log_wide",
    "log_affected",
    "dose",
    "dose_noise",
    "dose_jacobian",
    "dose_low",
    "dose_high",
)


_STATE = VITALS.index(Family.STATE)
_MAX_BLOCK: int = _core.max_block()
"""The core's limit of components in one knot of cycles."""
SET_SIZES: tuple[float, ...] = tuple(_core.set_sizes())
"""Prior probability of one, two and three causes, given that there is one."""


def native_version() -> str:
    """Version of the native core."""
    return str(_core.__version__)


def symbol_address(name: str) -> int:
    """Address of an exported C function; see ``bayesrca._core.symbol_address``."""
    return _core.symbol_address(name)


def compute_logp_grad(handle: int, theta: Floats) -> tuple[float, Floats]:
    """Log likelihood of an unconstrained theta, [p], and its gradient, by bare handle.

    Raises:
        KernelError: the handle is unknown or released.
    """
    return _core.logp_grad(handle, _floats(theta, "theta"))


def compute_pareto_k(log_weights: Floats) -> float:
    """Pareto shape k-hat of importance weights given by their logarithms, [d].

    Vehtari, Simpson, Gelman, Yao & Gabry (2024). Infinity when there are too few weights to tell.
    """
    return _core.pareto_k(_floats(log_weights, "log_weights"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenDraws:
    """Importance draws of theta.

    Attributes:
        thetas: [d, p] unconstrained draws, scramble by scramble.
        log_weights: [d] log importance weights, unnormalised.
        log_root: [d, k] log posterior of every hypothesis given each draw.
        log_likelihood: [d] log likelihood of each draw.
        pareto_k: Pareto shape of the weights; believe the draws below 0.7.
    """

    thetas: Floats
    log_weights: Floats
    log_root: Floats
    log_likelihood: Floats
    pareto_k: float


class TraceLogRatios(NamedTuple):
    """Log Bayes factors of n components and e call edges; NaN where there is nothing to tell.

    Attributes:
        own_pattern: [n] of a component's own paths and log lines.
        own_self_time: [n] of its own times.
        gap: [e] of client time less server time.
        terminal: [e] of the call being the caller's last act.
        order: [e] of the caller's changes following a failed call.
    """

    own_pattern: Floats
    own_self_time: Floats
    gap: Floats
    terminal: Floats
    order: Floats


class PreparedLikelihood:
    """One incident's likelihood in the native core, freed on exit from its ``with`` block.

    Hypotheses are numbered ``len(KINDS) * component + kind``; then come the sets of several causes,
    in the order of ``sets``; the last one is "none of these". Nothing may use ``handle`` after the
    block ends.

    Args:
        evidence: the incident's evidence.
        none_prior: prior probability of "none of these", in (0, 1).
        max_width: components that may stay open at once in the exact sum over affected sets.
        estimate_seed: seed (0 to 2^64 - 1) from which sums that would need more are estimated, by
            draws that hold for every theta; None refuses them.
        max_causes: largest set of causes that is weighed, 1 to 3.
        set_candidates: components among which sets of several causes are formed: those most
            probable as single causes at ``centre``.
        centre: [p] theta at which the sets are chosen; needed for ``max_causes`` above 1.

    Raises:
        InvalidEvidenceError: arrays of the evidence disagree or hold illegal values.
        GraphTooWideError: the graph is too densely connected for the exact sum, and the sum may
            not be estimated or too many components call each other in a cycle.

    Attributes:
        handle: the likelihood's number in the core.
        n_hypotheses: number of hypotheses k.
        sets: the component indices of each set of several causes.
        width: most components open at once in any sum.
        n_estimated: sums over affected sets that are estimated; 0 when the likelihood is exact.
    """

    def __init__(
        self,
        evidence: Evidence,
        *,
        none_prior: float,
        max_width: int,
        estimate_seed: int | None = None,
        max_causes: int = 1,
        set_candidates: int = 10,
        centre: Floats | None = None,
    ) -> None:
        if centre is None:
            centre = np.zeros(N_PARAMETERS)
        vitals, self._vital_rows = _vitals(evidence)
        try:
            self.handle: int = _core.prepare(
                n_components=len(evidence.components),
                footprint_log_prior=_floats(evidence.footprint_log_prior, "footprint_log_prior"),
                target=evidence.target,
                alarm_family=evidence.alarm_family,
                alarm_in_vitals=evidence.alarm_in_vitals,
                root_log_factor=_floats(evidence.root_log_factor, "root_log_factor"),
                root_log_prior=_floats(evidence.root_log_weight, "root_log_prior"),
                crash_log_ratio=_floats(evidence.crash_log_ratio, "crash_log_ratio"),
                families=[_family(t) for t in evidence.families],
                vitals=vitals,
                traces=None if evidence.traces is None else _traces(evidence.traces),
                alert_log_ratio=_alerts(evidence),
                none_prior=none_prior,
                max_width=max_width,
                estimate_seed=estimate_seed,
                max_causes=max_causes,
                set_candidates=set_candidates,
                centre=_floats(centre, "centre"),
            )
        except GraphTooWideError as error:
            raise _named(error, evidence.components, max_width) from None
        self.n_components = len(evidence.components)
        self._prior = (none_prior, max_causes, evidence.root_log_weight)
        self.n_hypotheses: int = _core.n_hypotheses(self.handle)
        self.sets: tuple[tuple[int, ...], ...] = tuple(map(tuple, _core.sets(self.handle)))
        self.width: int = _core.width(self.handle)
        self.n_estimated: int = _core.n_estimated(self.handle)
        self._released = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Free the native memory; waits for calls in progress. Harmless when repeated."""
        if not self._released:
            self._released = True
            _core.release(self.handle)

    def compute_logp_grad(self, theta: Floats) -> tuple[float, Floats]:
        """Log likelihood of an unconstrained theta, [p], and its gradient, [p]."""
        return compute_logp_grad(self.handle, theta)

    def compute_sum_errors(self, theta: Floats) -> Floats:
        """Standard errors [k] of the hypotheses' log joints given theta [p].

        They come from estimated sums: 0 where all sums of a hypothesis are exact.
        """
        out: Floats = _core.sum_errors(self.handle, _floats(theta, "theta"))
        return out

    def compute_root_log_posterior(
        self, thetas: Floats, *, threads: int = 1
    ) -> tuple[Floats, Floats]:
        """Log posterior [d, k] of every hypothesis given each theta [d, p], and likelihoods [d].

        Both are logarithms. The number of threads never changes a bit of the result.
        """
        return _core.root_log_posterior(self.handle, _floats(thetas, "thetas"), threads=threads)

    def compute_outcome_log_prior(self) -> Floats:
        """Log prior of each component as the only cause, of each set, of "none of these", [o].

        That of eq. 19 without what theta and the telemetry make of it: sizes of sets and the
        weights of roots. Sets that are not weighed hold the mass that is missing to one.
        """
        none_prior, max_causes, log_weight = self._prior
        sizes = np.array(SET_SIZES[: min(max_causes, self.n_components)])
        log_size = np.log(sizes / sizes.sum())
        weight = np.exp(log_weight - log_weight.max())
        totals = np.zeros(len(SET_SIZES) + 1)  # elementary symmetric polynomials
        totals[0] = 1.0
        for w in weight:
            totals[1:] += w * totals[:-1]
        chosen = [(i,) for i in range(self.n_components)] + list(self.sets)
        some = [
            log_size[len(c) - 1] + np.log(weight[list(c)]).sum() - np.log(totals[len(c)])
            for c in chosen
        ]
        return np.append(np.log1p(-none_prior) + np.array(some), np.log(none_prior))

    def compute_footprint_log_joint(self, theta: Floats) -> Floats:
        """Log joint [k, s] of every hypothesis and footprint given theta [p]."""
        out: Floats = _core.footprint_log_joint(self.handle, _floats(theta, "theta"))
        return out

    def compute_own_log_ratios(self, theta: Floats) -> Floats:
        """Log Bayes factors [f, n, s] of "root" against "quiet" of every cell given theta [p]."""
        out: Floats = _core.own_log_ratios(self.handle, _floats(theta, "theta"))
        return out

    def compute_vital_log_ratios(self, theta: Floats) -> Floats:
        """Log Bayes factors [m, s] of "at fault" against "quiet" of every vital given theta [p]."""
        out: Floats = _core.vital_log_ratios(self.handle, _floats(theta, "theta"))
        return out[self._vital_rows]

    def compute_trace_log_ratios(self, theta: Floats) -> TraceLogRatios:
        """Log Bayes factors of "shows the fault" against "quiet" of spans and logs given theta [p].

        What changes now and then for no traceable reason counts less than in the evidence itself.
        """
        out: Floats = _core.trace_log_ratios(self.handle, _floats(theta, "theta"))
        n, e = self.n_components, (len(out) - 2 * self.n_components) // 3
        return TraceLogRatios(*np.split(out, [n, 2 * n, 2 * n + e, 2 * n + 2 * e]))

    def compute_own_patterns_shown(self, theta: Floats) -> Floats:
        """Probability [n, k] that a single cause shows its fault in its own patterns (eq. 22).

        Given theta [p], all spans and logs, and the kind; NaN where its own patterns tell nothing.
        """
        out: Floats = _core.own_patterns_shown(self.handle, _floats(theta, "theta"))
        return out

    def compute_families_at_fault(self, theta: Floats) -> Floats:
        """Probability [n, v, s] of each vital family, given theta [p] and a resource fault."""
        out: Floats = _core.families_at_fault(self.handle, _floats(theta, "theta"))
        return out

    def compute_path_probabilities(
        self, theta: Floats, component: int, family: int, footprint: int
    ) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64], Floats]:
        """Whom a fault at a component has affected, and which edges carried it.

        Given theta [p], that the fault began at the component and shows in the family (0 latency,
        1 errors), and the footprint; the alarm counts as in eq. 9.

        Returns:
            Components the root can reach, [m]; the probability that each is affected, [m]; edges
            (from, to) among them and the root, [e, 2]; the probability that each is live with an
            affected tail, [e].
        """
        return _core.path_probabilities(
            self.handle, _floats(theta, "theta"), component, family, footprint
        )

    def estimate_screen(
        self,
        *,
        prior_mean: Floats,
        prior_sd: Floats,
        scrambles: int,
        points: int,
        seed: int,
        threads: int = 1,
        cancelled: Callable[[], bool] | None = None,
    ) -> ScreenDraws:
        """Explore theta's posterior by importance sampling around its mode.

        Args:
            prior_mean: [p] means of the unconstrained theta's independent normal priors.
            prior_sd: [p] their standard deviations.
            scrambles: independent Sobol scrambles; their spread is the error.
            points: points per scramble.
            seed: 0 to 2^64 - 1; the same seed gives the same bits for any number of threads.
            threads: threads to use.
            cancelled: polled while working; True stops with `CancelledError`.

        Raises:
            CancelledError: ``cancelled`` returned True.
            KernelError: the posterior is nowhere finite.
        """
        raw = _core.screen(
            self.handle,
            prior_mean=_floats(prior_mean, "prior_mean"),
            prior_sd=_floats(prior_sd, "prior_sd"),
            scrambles=scrambles,
            points=points,
            seed=seed,
            threads=threads,
            cancelled=cancelled,
        )
        return ScreenDraws(
            thetas=raw.thetas,
            log_weights=raw.log_weights,
            log_root=raw.log_root,
            log_likelihood=raw.log_likelihood,
            pareto_k=raw.pareto_k,
        )


def _vitals(evidence: Evidence) -> tuple[_core.VitalEvidence, NDArray[np.int64]]:
    """Return the vitals and states as the core reads them, and the row of each vital among them."""
    table, states, onsets = evidence.vitals, evidence.states, evidence.onsets
    m, s = len(table.component), len(evidence.footprint_log_prior)
    if table.family.shape != (m,) or table.z.shape != (m, s):
        msg = f"vitals need a family and {s} contrasts for each of {m} series"
        raise InvalidEvidenceError(msg, field="vitals")
    missing = np.full((len(states.component), s), np.nan)
    component = np.concatenate([table.component, states.component])
    family = np.concatenate([table.family, np.full(len(missing), _STATE)])
    order = np.lexsort((family, component))
    row = np.empty(len(order), dtype=np.int64)
    row[order] = np.arange(len(order))
    unfixed = np.full_like(table.z, np.nan)

    def joined(name: str, vitals: Floats, of_states: Floats) -> Floats:
        return _floats(np.concatenate([vitals, of_states])[order], f"vitals.{name}")

    vitals = _core.VitalEvidence(
        component=np.ascontiguousarray(component[order], dtype=np.int64),
        family=np.ascontiguousarray(family[order], dtype=np.int64),
        z=joined("z", table.z, missing),
        log_fault=joined("log_fault", unfixed, states.log_fault),
        log_disturbed=joined("log_disturbed", unfixed, states.log_disturbed),
        demand=np.ascontiguousarray(evidence.demand, dtype=np.int64).reshape(-1, 2),
        onset=_floats(np.array([] if onsets is None else onsets.time), "onsets.time"),
        onset_error=_floats(
            np.array([] if onsets is None else onsets.upper - onsets.lower), "onsets.upper"
        ),
        window=float(np.ptp(evidence.footprints)),
    )
    return vitals, row[: len(table.component)]


def _traces(traces: TraceEvidence) -> _core.TraceEvidence:
    edges = np.stack([traces.edge_source, traces.edge_target], axis=1)
    return _core.TraceEvidence(
        own_pattern=_floats(traces.own_pattern, "traces.own_pattern"),
        own_self_time=_floats(traces.own_self_time, "traces.own_self_time"),
        edges=np.ascontiguousarray(edges, dtype=np.int64),
        gap=_floats(traces.edge_gap, "traces.edge_gap"),
        terminal=_floats(traces.edge_terminal, "traces.edge_terminal"),
        order=_floats(traces.edge_order, "traces.edge_order"),
    )


def _alerts(evidence: Evidence) -> Floats:
    log_ratio = () if evidence.alerts is None else evidence.alerts.log_ratio
    return _floats(np.asarray(log_ratio, dtype=np.float64), "alerts.log_ratio")


def _family(table: FamilyTable) -> _core.FamilyEvidence:
    return _core.FamilyEvidence(
        edges=np.ascontiguousarray(table.edges, dtype=np.int64),
        series_component=np.ascontiguousarray(table.series_component, dtype=np.int64),
        z=_floats(table.z, "z"),
        **{name: _floats(getattr(table, name), name) for name in _ARRAYS},
    )


def _floats(array: Floats, name: str) -> Floats:
    out = np.ascontiguousarray(array, dtype=np.float64)
    if out.dtype.kind != "f":
        msg = f"{name} must hold numbers"
        raise InvalidEvidenceError(msg, field=name)
    return out


def _named(
    error: GraphTooWideError, components: tuple[str, ...], max_width: int
) -> GraphTooWideError:
    """Say the component's name where the core only knows its index, and the remedy that helps."""
    index, needed, limit = (getattr(error, a) for a in ("component", "needed", "limit"))
    where = f"the graph is too densely connected above {components[index]!r} for an exact answer: "
    leave_out = "leave out edges a fault cannot travel"
    raise_limit = "raise max_width (--max-width) if the machine has the memory"
    cycle = f"{needed} components call each other in cycles, the limit is {limit}"
    width = f"{needed} components would stay open at once, the limit is {limit}"
    if limit != max_width:  # a limit of the core's own, which no setting moves
        what = f"{cycle}; {leave_out}"
    elif limit != _MAX_BLOCK:
        what = f"{width}; {raise_limit}, or {leave_out}"
    else:  # the core does not say which of its two limits this was
        what = f"{width}; {leave_out}, or, unless they call each other in cycles, {raise_limit}"
    return GraphTooWideError(where + what, field="topology.edges")
