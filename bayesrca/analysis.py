"""The one place that knows all the steps from an incident to its answer."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesrca.attribution.excess import estimate_excess_attribution
from bayesrca.attribution.shares import ExcessAttribution
from bayesrca.config import LARGEST_SEED, Method, Settings
from bayesrca.errors import (
    CancelledError,
    InvalidGameError,
    InvalidSettingsError,
    NoEvidenceError,
)
from bayesrca.evidence import Evidence, build_evidence
from bayesrca.incident import ComponentKind, Incident, Topology
from bayesrca.kernels.propagation import PreparedLikelihood, native_version
from bayesrca.model import is_warm, warm
from bayesrca.model.draws import Draws
from bayesrca.model.loo import estimate_loo
from bayesrca.model.prepare import prepare_likelihood
from bayesrca.model.prior_file import prior_in_use
from bayesrca.model.screen import estimate_by_screen
from bayesrca.model.tempering import temper_as_set
from bayesrca.posterior.build import (
    build_posterior,
    most_probable_footprint,
    read_alarm,
    read_changes,
    read_onsets,
)
from bayesrca.posterior.diagnostics import compute_diagnostics, compute_sum_error, note_sums
from bayesrca.posterior.document import answer_document
from bayesrca.posterior.influence import Influence, estimate_influence
from bayesrca.posterior.levels import compute_level
from bayesrca.posterior.limits import PARETO_K_LIMIT
from bayesrca.posterior.result import Answer, Diagnostics, Level
from bayesrca.posterior.sensitivity import Sensitivity, compute_sensitivity
from bayesrca.posterior.summary import RootProbabilities, compute_root_probabilities
from bayesrca.posterior.tree import build_tree

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDDataLOO
    from xarray import DataTree

_LIBRARIES = ("numpy", "scipy", "pymc", "pytensor", "nutpie", "arviz", "numba")
_COMPILE_SECONDS = 40.0
"""Allowance for loading PyMC and compiling the model, which cannot be interrupted."""
_GRADIENTS_PER_DRAW = 4
"""Leapfrog steps of a draw, 3.0 by benches/python/bench_posterior.py, and nutpie's own work."""
MORE_POINTS = 4
"""How many times the points a screen is run again with when its weights are too uneven."""
_MOST_DRAWS_AGAIN = 1 << 16
"""Most draws of such a second screen; who asks for more has chosen their number himself."""
_SAFETY = 1.5
"""How much longer than estimated sampling may take before a deadline forbids it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One report from a running analysis.

    Attributes:
        step: ``evidence``, ``screen``, ``compile``, ``nuts``, ``diagnose`` or ``explain``, in this
            order. Those the method does not need are left out; after a failed gate ``screen``, or
            ``nuts`` and ``diagnose``, come once more.
        done: share of the step that is done, in [0, 1].
        divergences: divergent transitions so far (NUTS only, else 0).
    """

    step: str
    done: float
    divergences: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """An answer together with the draws behind it.

    Attributes:
        answer: the probabilities, explanations and diagnostics.
        topology: the incident's components and edges.
        draws: the draws behind it.
        root: probabilities per draw, in the order of ``components``.
        evidence: what they were made from.
        settings: how.
    """

    answer: Answer
    topology: Topology
    draws: Draws
    root: RootProbabilities
    evidence: Evidence
    settings: Settings

    @property
    def components(self) -> tuple[str, ...]:
        """Component names, in topology order."""
        return self.topology.names

    @property
    def attribution(self) -> ExcessAttribution | None:
        """Shapley shares of the target's excess, or None; a share is not a probability."""
        return self.answer.attribution

    def aggregate(self, kind: ComponentKind) -> Level:
        """Return p(it, or a component inside it, is a cause) of every component of one kind.

        Computed from the draws for any kind; `RootCausePosterior.levels` holds those of which a
        component contains another.
        """
        mass = self.answer.interval_mass
        return compute_level(self.draws, self.root, self.topology.components, kind, mass)

    def to_dict(self) -> dict[str, Any]:
        """Return the documented JSON form (docs/json.md)."""
        return answer_document(self.answer)

    def to_datatree(self) -> DataTree:
        """Return the draws as an ArviZ-readable DataTree; see `bayesrca.posterior.tree`."""
        answer = self.answer
        attrs = {
            "incident": answer.incident,
            "method": answer.method,
            "healthy": int(answer.healthy),
            "seed": str(answer.seed),
            "versions": json.dumps(dict(answer.versions)),
            "notes": json.dumps(list(answer.notes)),
        }
        return build_tree(self.draws, self.root, self.components, attrs, seed=answer.seed)

    def compute_sensitivity(self, alphas: Sequence[float] = (0.8, 1.25)) -> Sensitivity:
        """Tell what the answer owes to theta's prior and likelihood, by power-scaling.

        Args:
            alphas: powers (> 0, not 1) of prior and likelihood for which the answer is given.
        """
        return compute_sensitivity(
            self.draws, self.root, self.components, seed=self.answer.seed, alphas=alphas
        )

    def estimate_influence(
        self, *, seed: int, components: Sequence[str] | None = None
    ) -> Influence:
        """Answer again without each component's telemetry: what does the answer rest on?

        Args:
            seed: every stochastic number follows from it.
            components: names to leave out, one at a time; all that report anything by default.

        Raises:
            UnknownComponentError: a name that the topology does not have.
        """
        return estimate_influence(
            self.evidence,
            self.draws,
            self.root,
            seed=_checked_seed(seed),
            settings=self.settings,
            components=components,
        )

    def estimate_loo(self, *, seed: int) -> ELPDDataLOO:
        """Estimate each component's leave-one-out density; see `bayesrca.model.loo`.

        Args:
            seed: every stochastic number follows from it.

        Returns:
            ArviZ's ``ELPDDataLOO``, pointwise by component.

        Raises:
            NotSupportedError: no component's evidence has such a density.
        """
        return estimate_loo(
            self.evidence, self.draws, seed=_checked_seed(seed), settings=self.settings
        )


def analyze(
    incident: Incident,
    *,
    seed: int,
    settings: Settings | None = None,
    progress: Callable[[Progress], None] | None = None,
    screened: Callable[[Analysis], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Analysis:
    """Compute the posterior over root causes of one incident.

    With `Method.AUTO` the screen answers first and NUTS refines it; under a deadline that NUTS
    cannot meet, the screen's answer is returned and says so. The same incident, seed, settings and
    library versions give the same numbers to the last bit on one machine, whatever the cores.

    Args:
        incident: what happened.
        seed: 0 to 2^63 - 1; every stochastic number follows from it.
        settings: how to compute; defaults to `Settings()`.
        progress: told where the analysis is.
        screened: with `Method.AUTO`, given the screen's analysis before NUTS refines it; not
            called where the screen's is the answer. No number depends on it.
        cancelled: polled several times a second; True stops the work.

    Raises:
        NoEvidenceError: nothing in the incident tells one hypothesis from another.
        GraphTooWideError: the graph is too densely connected for the exact sum, and the settings
            refuse to estimate it or too many components call each other in a cycle.
        InvalidSettingsError: the seed is out of range.
        CancelledError: ``cancelled`` returned True, or the deadline passed before there was an
            answer: before the screen finished, or before NUTS did when `Method.NUTS` was asked for.
        SamplingError: NUTS could not start.
    """
    settings = settings or Settings()
    run = _Run(seed=_checked_seed(seed), settings=settings, progress=progress, cancelled=cancelled)
    run.note_prior()
    with run.step("evidence"):
        law = None if settings.prior is None else settings.prior.alerts
        evidence = build_evidence(incident, max_bins=settings.max_bins, alert_law=law)
    run.stop_if_asked()
    likelihood = prepare_likelihood(evidence, settings, seed=run.sum_seed)
    conclude = _Conclusion(incident, evidence, likelihood, run)
    with likelihood:
        run.stop_if_asked()
        offer = None if screened is None else lambda *by: screened(conclude(*by))
        return conclude(*run.estimate(likelihood, offer))


@dataclass(frozen=True, slots=True)
class _Conclusion:
    """What draws say about one incident."""

    incident: Incident
    evidence: Evidence
    likelihood: PreparedLikelihood
    run: _Run

    def __call__(self, draws: Draws, root: RootProbabilities, diagnostics: Diagnostics) -> Analysis:
        incident, evidence, run, settings = (
            self.incident,
            self.evidence,
            self.run,
            self.run.settings,
        )
        target = None
        if incident.target is not None:
            target = incident.topology.index(incident.target.component)
        with run.step("explain"):
            posterior = build_posterior(
                draws,
                root,
                evidence,
                self.likelihood,
                topology=incident.topology,
                target=target,
                interval_mass=settings.interval_mass,
            )
            run.stop_if_cancelled()
            footprint = most_probable_footprint(draws, self.likelihood)
            attribution = run.attribute(evidence, footprint)
        answer = Answer(
            incident=incident.name,
            method="screen" if draws.is_screen else "nuts",
            posterior=posterior,
            interval_mass=settings.interval_mass,
            diagnostics=diagnostics,
            attribution=attribution,
            alarm=read_alarm(evidence),
            onsets=read_onsets(evidence),
            changes=read_changes(root, evidence, incident.events),
            notes=(*evidence.notes, *run.notes, *note_sums(diagnostics, settings.max_width)),
            seed=run.seed,
            versions=library_versions() | _prior_version(settings),
            timings=run.timings,
        )
        return Analysis(
            answer=answer,
            topology=incident.topology,
            draws=draws,
            root=root,
            evidence=evidence,
            settings=settings,
        )


@cache
def library_versions() -> dict[str, str]:
    """Versions of everything that shapes a number, Python included."""
    libraries = {name: version(name) for name in _LIBRARIES}
    return {"bayesrca": native_version(), **libraries, "python": platform.python_version()}


def _prior_version(settings: Settings) -> dict[str, str]:
    return {} if settings.prior is None else {"prior": settings.prior.label}


def _checked_seed(seed: object) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        msg = f"seed must be a whole number from 0 to {LARGEST_SEED}, got {seed!r}"
        raise InvalidSettingsError(msg, field="seed")
    return seed


@dataclass(kw_only=True)
class _Run:
    """One analysis under way: its clock, its notes and its ways to estimate."""

    seed: int
    settings: Settings
    progress: Callable[[Progress], None] | None
    cancelled: Callable[[], bool] | None
    notes: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @property
    def sum_seed(self) -> int:
        """Seed of the sums over affected sets past the width limit."""
        return self._children()[4]

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step and report its beginning and end; stop before it when cancelled."""
        self.tell(name, 0.0)
        self.stop_if_cancelled()
        begun = time.monotonic()
        yield
        self.timings[name] = self.timings.get(name, 0.0) + time.monotonic() - begun
        self.tell(name, 1.0)

    def tell(self, step: str, done: float, divergences: int = 0) -> None:
        if self.progress is not None:
            self.progress(Progress(step=step, done=done, divergences=divergences))

    def note_prior(self) -> None:
        prior = self.settings.prior
        if prior is None:
            return
        tempered = f"; probabilities tempered by gamma {prior.gamma:g}" if prior.gamma < 1 else ""
        self.notes.append(
            f"The parameters' prior is {prior.label}, learned from {prior.incidents} incidents in "
            f"{prior.groups} groups{tempered}."
        )

    def stop_if_cancelled(self) -> None:
        if self.cancelled is not None and self.cancelled():
            msg = "the analysis was cancelled"
            raise CancelledError(msg)

    def stop_if_asked(self) -> None:
        """Stop when cancelled, or when the deadline has passed and there is no answer yet."""
        self.stop_if_cancelled()
        if self._is_late():
            msg = (
                f"the deadline of {self.settings.deadline} s passed before there was any answer; "
                "allow more time (--deadline), or name fewer components and edges"
            )
            raise CancelledError(msg, field="deadline")

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave no trace of what is done for an answer that is not the last."""
        kept = self.progress, [*self.notes], {**self.timings}
        self.progress = None
        yield
        self.progress, self.notes, self.timings = kept

    def estimate(
        self,
        likelihood: PreparedLikelihood,
        offer: Callable[[Draws, RootProbabilities, Diagnostics], None] | None,
    ) -> tuple[Draws, RootProbabilities, Diagnostics]:
        """Estimate by the method the settings and the deadline allow.

        Args:
            likelihood: of the evidence.
            offer: given the screen's estimate where NUTS is to refine it.
        """
        method = self.settings.method
        screen_seed, *nuts_seeds = self._children()[:3]
        if method is not Method.NUTS:
            screened = self._screen(likelihood, screen_seed)
            if method is Method.SCREEN or not self._time_for_nuts(likelihood):
                return self._checked(*screened, likelihood)
            if offer is not None:
                with self.aside():
                    offer(*self._checked(*screened, likelihood))
        refined = self._nuts(likelihood, nuts_seeds)
        if refined is not None:
            return refined
        if method is Method.NUTS:
            msg = (
                f"NUTS did not finish within the deadline of {self.settings.deadline} s; allow "
                "more time, or use --method auto to get the screen's answer"
            )
            raise CancelledError(msg, field="deadline")
        self.notes.append("NUTS did not finish within the deadline: this is the screen's answer.")
        return self._checked(*screened, likelihood)

    def attribute(self, evidence: Evidence, footprint: int) -> ExcessAttribution | None:
        """Share the target's excess; where that cannot be done, note why."""
        seed = self._children()[3]
        try:
            return estimate_excess_attribution(evidence, footprint=footprint, seed=seed)
        except (NoEvidenceError, InvalidGameError) as error:
            self.notes.append(f"No shares of the target's excess were computed: {error}.")
            return None

    def _children(self) -> list[int]:
        """Seeds that follow from the seed, so that no two steps share randomness."""
        return [int(s) for s in np.random.SeedSequence(self.seed).generate_state(5)]

    def _screen(self, likelihood: PreparedLikelihood, seed: int) -> tuple[Draws, int]:
        """Screen; once more with more points where a few of them carry the answer."""
        s = self.settings

        def estimate(points: int) -> Draws:
            with self.step("screen"):
                return estimate_by_screen(
                    likelihood,
                    seed=seed,
                    settings=replace(s, screen_points=points),
                    cancelled=self._is_to_stop,
                )

        try:
            draws = estimate(s.screen_points)
        except CancelledError:
            self.stop_if_asked()  # says which of the two it was
            raise
        assert draws.pareto_k is not None
        more = MORE_POINTS * s.screen_points
        if draws.pareto_k < PARETO_K_LIMIT or s.screen_scrambles * more > _MOST_DRAWS_AGAIN:
            return draws, 0
        try:
            return estimate(more), 1
        except CancelledError:
            if self._is_cancelled():
                raise
            self.notes.append("There was no time to screen again with more points.")
            return draws, 0

    def _checked(
        self, draws: Draws, reruns: int, likelihood: PreparedLikelihood
    ) -> tuple[Draws, RootProbabilities, Diagnostics]:
        s = self.settings
        draws = temper_as_set(draws, s, likelihood)
        with self.step("diagnose"):
            root = compute_root_probabilities(draws, s.interval_mass, likelihood.sets)
            diagnostics = compute_diagnostics(
                draws,
                root,
                reruns=reruns,
                max_width=likelihood.width,
                estimated_sets=likelihood.n_estimated,
                sum_error=compute_sum_error(draws, likelihood),
            )
        return draws, root, diagnostics

    def _nuts(
        self, likelihood: PreparedLikelihood, seeds: list[int]
    ) -> tuple[Draws, RootProbabilities, Diagnostics] | None:
        """Sample; once more and longer when a gate fails. None past the deadline."""
        if not is_warm():
            with self.step("compile"):
                warm()
        self.stop_if_cancelled()
        first = self._sample(likelihood, seeds[0], again=False)
        if first is None:
            return None
        checked = self._checked(first, 0, likelihood)
        if checked[2].healthy:
            return checked
        again = self._sample(likelihood, seeds[1], again=True)
        return checked if again is None else self._checked(again, 1, likelihood)

    def _sample(self, likelihood: PreparedLikelihood, seed: int, *, again: bool) -> Draws | None:
        from bayesrca.model.sampling import estimate_by_nuts  # noqa: PLC0415  loads PyMC

        s = self.settings
        with self.step("nuts"):
            return estimate_by_nuts(
                likelihood,
                seed=seed,
                settings=s,
                target_accept=s.retry_target_accept if again else s.target_accept,
                full_trajectories=again,
                cancelled=self.cancelled,
                tell=lambda done, divergences: self.tell("nuts", done, divergences),
                stop_at=self._stop_at(),
            )

    def _is_to_stop(self) -> bool:
        return self._is_late() or self._is_cancelled()

    def _is_cancelled(self) -> bool:
        return self.cancelled is not None and self.cancelled()

    def _is_late(self) -> bool:
        stop_at = self._stop_at()
        return stop_at is not None and time.monotonic() >= stop_at

    def _stop_at(self) -> float | None:
        deadline = self.settings.deadline
        return None if deadline is None else self.started + deadline

    def _time_for_nuts(self, likelihood: PreparedLikelihood) -> bool:
        """Whether NUTS can be expected to finish before the deadline."""
        stop_at = self._stop_at()
        if stop_at is None:
            return True
        s = self.settings
        centre, _ = prior_in_use(s)
        begun = time.monotonic()
        for _ in range(8):
            likelihood.compute_logp_grad(centre)
        gradient = (time.monotonic() - begun) / 8
        rounds = -(-s.chains // s.cores)
        sampling = _SAFETY * gradient * _GRADIENTS_PER_DRAW * (s.draws + s.tune) * rounds
        needed = sampling + (0.0 if is_warm() else _COMPILE_SECONDS)
        left = stop_at - time.monotonic()
        if needed <= left:
            return True
        self.notes.append(
            f"NUTS would need about {needed:.0f} s of the {max(left, 0.0):.1f} s left before the "
            "deadline: this is the screen's answer."
        )
        return False
