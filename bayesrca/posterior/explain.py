"""What speaks for each cause, in numbers and in one plain sentence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence import FAMILIES, VITALS, Evidence, FamilyTable
from bayesrca.evidence.vitals import LARGEST_Z
from bayesrca.incident import Family
from bayesrca.kernels.propagation import KINDS, PreparedLikelihood
from bayesrca.posterior.alert_words import tell_alerts
from bayesrca.posterior.explained import compute_explained_share
from bayesrca.posterior.paths import find_hops, find_most_probable_path
from bayesrca.posterior.result import (
    Affected,
    Dose,
    ExplainedShare,
    Explanation,
    OwnEvidence,
    PathEdge,
    Probability,
    Region,
)
from bayesrca.posterior.summary import Members
from bayesrca.posterior.trace_words import tell_traces

Floats = NDArray[np.float64]

MEANS = "difference of means"
"""What the contrast of a vital is (`OwnEvidence.measure`)."""
_RESOURCE, _LINK, _CRASH = "resource", "link", "crash"
"""Kinds of fault that an explanation treats unlike the others."""
_OPENINGS = {
    "load": "at fault: the demand on it",
    _LINK: "at fault: the way to it, not the component itself",
    "code": "at fault: what it does, not how fast",
}
"""What is said first of a kind, where no series of its own says it."""
LIKELY = 0.5
"""Probability from which a component counts among those that the fault affected."""
_MOST_VITALS = 3
"""Most vitals an explanation names."""
_MOST_REGIONS = 5
"""Most code regions it lists."""
_WORTH = 0.1
"""Probability from which a second resource is named."""
_RESOURCES = {
    Family.LOAD: "load",
    Family.CPU: "cpu",
    Family.MEMORY: "memory",
    Family.DISK: "disk",
    Family.NETWORK: "network",
    Family.GENERIC: "another signal",
    Family.HOST: "the machine under it",
    Family.STATE: "its state",
    Family.EGRESS: "its waiting for others",
}


class Explainer:
    """Explains any component of one incident at one representative theta.

    Args:
        evidence: the incident's evidence.
        likelihood: the same, prepared.
        theta: [p] the unconstrained theta to explain at, e.g. its posterior mean.
        target: index of the target; None without one.
        sets: the sets of several components among the hypotheses, in their order.
        interval_mass: mass of the credible intervals, in (0, 1).
    """

    def __init__(
        self,
        evidence: Evidence,
        likelihood: PreparedLikelihood,
        theta: Floats,
        target: int | None,
        sets: Members = (),
        *,
        interval_mass: float,
    ) -> None:
        self._evidence = evidence
        self._likelihood = likelihood
        self._theta = theta
        self._target = target
        self._interval_mass = interval_mass
        self._footprint_log_joint = _joint_of_components(
            likelihood.compute_footprint_log_joint(theta), sets
        )
        self._footprint = self._footprint_log_joint.argmax(axis=1)
        self._own = likelihood.compute_own_log_ratios(theta)
        self._vital = likelihood.compute_vital_log_ratios(theta)
        self._at_fault = likelihood.compute_families_at_fault(theta)
        self._traced = likelihood.compute_trace_log_ratios(theta)
        self._patterns_shown = likelihood.compute_own_patterns_shown(theta)
        # With a target known, only paths in the alarm's family lead from a symptom to a cause.
        self._family = evidence.alarm_family if evidence.alarm_family is not None else 0
        self._towards = find_hops(evidence.families[self._family].edges, target)

    def explain(self, i: int, kind: int, *, leading: bool = True) -> Explanation:
        """Explain component i as the root of a fault of the given kind, an index into `KINDS`.

        Only a leading cause is told which share it explains and how its fault spread. Its code
        regions are told by `find_regions`.
        """
        s = int(self._footprint[i])
        own = tuple(
            self._own_evidence(f, table, i, s)
            for f, table in enumerate(self._evidence.families)
            if np.isfinite(table.contrast[i, s])
        ) + self._own_vitals(i, s)
        dose = self._dose(i, s, kind)
        # A fault on the way to a component leaves no excess of the component's own.
        share = self._share(i, dose) if leading and KINDS[kind] != _LINK else None
        edges, affected = self._spread(i, s, kind) if leading else ((), ())
        path = (edges[0].source, *(e.target for e in edges)) if edges else self._path(i)
        reaches = None if self._target is None else bool(path)
        start, end = self._evidence.footprints[s]
        return Explanation(
            own=own,
            dose=dose,
            explained_share=share,
            path=path,
            edges=edges,
            affected=affected,
            reaches_target=reaches,
            footprint=(float(start), float(end)),
            text=_sentence(
                self._opening(i, s, kind) or self._silent(own, kind),
                own,
                dose,
                share,
                path,
                reaches=reaches,
                traced=tell_traces(
                    self._evidence.traces, self._traced, self._evidence.components, i
                )
                + tell_alerts(self._evidence.alerts, i),
            ),
        )

    def find_regions(self, i: int, probability: Probability, by_kind: Floats) -> tuple[Region, ...]:
        """Return where component i shows its fault: its own probability, divided among places.

        What is divided is the part in which its own patterns show the fault, given its kinds and
        the representative theta.

        Args:
            i: the component.
            probability: of its being a cause.
            by_kind: [k] probability of its being the only cause, by kind.
        """
        traces = self._evidence.traces
        found = () if traces is None else [r for r in traces.regions if r.component == i]
        kinds = by_kind / by_kind.sum() if by_kind.sum() > 0.0 else np.full(len(KINDS), np.nan)
        shows = float(np.nan_to_num(kinds @ self._patterns_shown[i])) if found else 0.0
        return tuple(
            Region(
                region=r.region,
                change=r.change,
                probability=r.probability,
                at_fault=_part(probability, min(shows, 1.0) * min(r.probability, 1.0)),
            )
            for r in sorted(found, key=lambda r: -r.probability)[:_MOST_REGIONS]
        )

    def _own_evidence(self, f: int, table: FamilyTable, i: int, s: int) -> OwnEvidence:
        return OwnEvidence(
            family=FAMILIES[f].value,
            signal=table.signal[i],
            measure=table.measure[i],
            contrast=float(table.contrast[i, s]),
            scale=float(table.scale[i, s]),
            log_bayes_factor=float(self._own[f, i, s]),
        )

    def _own_vitals(self, i: int, s: int) -> tuple[OwnEvidence, ...]:
        """Return the series that speak loudest for a fault of the component's resources."""
        table = self._evidence.vitals
        rows = np.flatnonzero((table.component == i) & np.isfinite(table.z[:, s]))
        loudest = rows[np.argsort(-self._vital[rows, s], kind="stable")][:_MOST_VITALS]
        return tuple(
            OwnEvidence(
                family=VITALS[table.family[row]].value,
                signal=table.signal[row],
                measure=MEANS,
                contrast=float(table.contrast[row, s]),
                scale=float(table.scale[row, s]),
                log_bayes_factor=float(self._vital[row, s]),
            )
            for row in loudest
        )

    def _opening(self, i: int, s: int, kind: int) -> str:
        """Say what a fault of this kind would be; empty where the kind's own series say it."""
        if KINDS[kind] == _RESOURCE:
            return self._resource(i, s)
        if KINDS[kind] == _CRASH:
            ratio = float(self._evidence.crash_log_ratio[i, s])
            if ratio == 0.0:
                return "crashed: nothing tells whether it fell silent"
            what = "its telemetry fell silent" if ratio > 0.0 else "but its telemetry went on"
            return f"crashed: {what} (log Bayes factor {ratio:.1f})"
        return _OPENINGS.get(KINDS[kind], "")

    def _resource(self, i: int, s: int) -> str:
        """Say which resource is at fault."""
        vitals, states = self._evidence.vitals, self._evidence.states
        reported = np.unique(vitals.family[vitals.component == i])
        if (states.component == i).any():
            reported = np.union1d(reported, [VITALS.index(Family.STATE)])
        p = self._at_fault[i, reported, s]
        named = [
            f"{_RESOURCES[VITALS[reported[j]]]} ({p[j]:.0%})"
            for j in np.argsort(-p, kind="stable")[:2]
            if p[j] == p.max() or p[j] >= _WORTH
        ]
        unseen = 1.0 - p.sum()
        if unseen > p.max(initial=0.0):
            return f"resource at fault: one it does not report ({unseen:.0%})"
        if unseen >= _WORTH:
            named.append(f"one it does not report ({unseen:.0%})")
        return f"resource at fault: {', else '.join(named)}"

    def _silent(self, own: tuple[OwnEvidence, ...], kind: int) -> str:
        """Say so where a component reports nothing of the kind that it is taken to be."""
        if kind >= len(FAMILIES):
            return ""
        family = FAMILIES[kind].value
        if not own or any(e.family == family for e in own):
            return ""
        alarm = self._evidence.alarm_family
        rests = "; the kind rests on where the alarm was" if alarm == kind else ""
        return f"no {family} series of its own{rests}"

    def _dose(self, i: int, s: int, kind: int) -> Dose | None:
        if self._target is None or self._target == i:
            return None
        own = (kind,) if kind < len(FAMILIES) else ()
        families = (self._family, *own) if self._evidence.alarm_family is not None else own
        for f in families:
            table = self._evidence.families[f]
            pair = table.excess[[i, self._target], s]
            if np.isfinite(pair).all():
                return Dose(
                    family=FAMILIES[f].value,
                    unit=table.unit,
                    cause=float(pair[0]),
                    target=float(pair[1]),
                )
        return None

    def _share(self, i: int, dose: Dose | None) -> ExplainedShare | None:
        """Share of the target's excess, over all footprints in which i may be a cause."""
        if dose is None or self._target is None:
            return None
        table = self._evidence.families[FAMILIES.index(Family(dose.family))]
        both = [i, self._target]
        return compute_explained_share(
            dose.family,
            table.excess[both],
            table.dose_noise[both],
            self._footprint_log_joint[i],
            self._interval_mass,
        )

    def _spread(
        self, i: int, s: int, kind: int
    ) -> tuple[tuple[PathEdge, ...], tuple[Affected, ...]]:
        """Return the most probable path to the target and who else was probably affected."""
        f = self._family if self._target is not None or kind >= len(FAMILIES) else kind
        nodes, p_affected, pairs, p_edge = self._likelihood.compute_path_probabilities(
            self._theta, i, f, s
        )
        names = self._evidence.components
        path = None
        if self._target is not None:
            path = find_most_probable_path(pairs, p_edge, i, self._target)
        edges = tuple(
            PathEdge(
                source=names[pairs[e, 0]],
                target=names[pairs[e, 1]],
                family=FAMILIES[f].value,
                probability=float(p_edge[e]),
            )
            for e in path or ()
        )
        affected = tuple(
            Affected(component=names[nodes[j]], probability=float(p_affected[j]))
            for j in np.argsort(-p_affected, kind="stable")
            if p_affected[j] >= LIKELY and nodes[j] != i
        )
        return edges, affected

    def _path(self, i: int) -> tuple[str, ...]:
        if i not in self._towards:
            return ()
        names, here = [self._evidence.components[i]], i
        while self._towards[here] is not None:
            here = self._towards[here]  # type: ignore[assignment]
            names.append(self._evidence.components[here])
        return tuple(names)


def _part(whole: Probability, share: float) -> Probability:
    """Return a probability that is a known share of another."""
    low, high = whole.interval
    return Probability(
        value=whole.value * share, mcse=whole.mcse * share, interval=(low * share, high * share)
    )


def _joint_of_components(joint: Floats, sets: Members) -> Floats:
    """Log joint [n, s] of "component i is a cause", of any kind, alone or in a set, and footprint.

    Args:
        joint: [k, s] log joint of every hypothesis and footprint.
        sets: the sets among the hypotheses.
    """
    n_singles = len(joint) - 1 - len(sets)
    by_kind = joint[:n_singles].reshape(-1, len(KINDS), joint.shape[1])
    out = np.asarray(np.logaddexp.reduce(by_kind, axis=1))
    for members, row in zip(sets, joint[n_singles:-1], strict=True):
        out[list(members)] = np.logaddexp(out[list(members)], row)
    return out


def _sentence(
    first: str,
    own: tuple[OwnEvidence, ...],
    dose: Dose | None,
    share: ExplainedShare | None,
    path: tuple[str, ...],
    *,
    reaches: bool | None,
    traced: list[str],
) -> str:
    parts = [first] if first else []
    parts += _all_own_words(own) + traced or ["no telemetry of its own in that interval"]
    if dose is not None:
        parts.append(_dose_words(dose))
    if share is not None:
        parts.append(_share_words(share))
    if reaches is None:
        parts.append("no target to reach")
    elif not reaches:
        parts.append("the graph has no path from it to the target")
    elif len(path) > 1:
        parts.append(f"reaches the target in {len(path) - 1} hop{'s' if len(path) > 2 else ''}")
    else:
        parts.append("it is the target itself")
    return "; ".join(parts) + "."


def _all_own_words(own: tuple[OwnEvidence, ...]) -> list[str]:
    """Say each, but of the vitals only those that moved, unless none did."""
    vitals = [e for e in own if e.measure == MEANS]
    moved = [e for e in vitals if _size(e) >= 1.0]
    words = [_own_words(e) for e in (*(e for e in own if e.measure != MEANS), *moved)]
    if vitals and not moved:
        words.append(f"{', '.join(dict.fromkeys(e.family for e in vitals))} unchanged")
    return words


def _size(e: OwnEvidence) -> float:
    return abs(e.contrast) / e.scale


def _own_words(e: OwnEvidence) -> str:
    size = _size(e)
    if size < 1.0:
        return f"{e.family} unchanged"
    way = "up" if e.contrast >= 0 else "down"
    if e.measure == "log ratio":
        change = f"{e.family} {way} {abs(np.expm1(e.contrast)):.0%}"
    elif e.measure == "difference of shares":
        change = f"failing share {way} {100 * abs(e.contrast):.2f} percentage points"
    elif e.measure == MEANS:
        change = f"{e.family} ({e.signal}) {way}"
    else:
        change = f"{e.family} {way}"
    if size > LARGEST_Z:
        return f"{change} (more than {LARGEST_Z:.0f} times its normal variation)"
    return f"{change} ({size:.1f} times its normal variation)"


def _dose_words(d: Dose) -> str:
    amount = "excess waiting" if d.family == Family.LATENCY.value else "excess failures"
    unit = f" {d.unit}" if d.unit == "s" else ""
    return f"{amount} {d.cause:.3g}{unit} here, {d.target:.3g}{unit} at the target"


def _share_words(share: ExplainedShare) -> str:
    low, high = share.interval
    words = f"explains {share.value:.0%} ({low:.0%} to {high:.0%}) of the target's excess"
    if share.ratio > 1.05:
        words += f", being {share.ratio:.2g} times as large"
    return words
