"""Changes that could be the cause: deployments, flags and commits, and when they took effect."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayesrca.evidence.trace_evidence import Change, TraceTest
from bayesrca.incident import Event, Incident, TimeWindow

Floats = NDArray[np.float64]

APPLIED = ("deploy", "release", "rollout", "flag", "config", "migration", "scal", "restart")
"""Beginnings of kinds of events that take effect at once."""
WRITTEN = ("commit", "merge", "push", "change")
"""Beginnings of kinds of events that take effect when they are applied."""
UNAPPLIED = 0.05
"""Weight of a commit that nothing was seen to apply, where the record tells what was applied."""
INERT = 0.05
"""Weight of a commit that by its own words touches no running code."""
IS_PROBABLE = 0.5
"""Prior probability that one of the changes caused the incident, if there are any."""
SAME = 0.8
"""Probability that what a change breaks is what was changed; else it is any component, such as one
that the changed one now calls too often."""
EARLY = 0.1
"""Probability that the change that caused it is dated after the start, which is uncertain."""
EARLY_SECONDS = 60.0
"""Mean seconds by which it then is."""
DELAYS = ((0.6, 120.0), (0.4, 3600.0))
"""Weights and mean seconds of the time from a change to what it causes: at once, or by and by."""
LEAST_SPAN = 3600.0
"""Seconds that a record of changes covers at the least."""
TELLING = 3.0
"""Log Bayes factor from which what a test is about can be what a change is about."""
MENTIONS = 0.5
"""Probability that the change that caused it mentions what is seen to have changed."""
BY_CHANCE = (2.0, 8.0)
"""Beta law of the share of other changes that mention it: words in common are common."""

_INERT = re.compile(r"^(message: *)?(#|\[)?(docs?|tests?|ci|style)\b", re.IGNORECASE | re.MULTILINE)
_WORD = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{4,}")


def find_changes(
    incident: Incident, window: TimeWindow, tests: Sequence[TraceTest] = ()
) -> tuple[Change, ...]:
    """Find what was changed; events that share an id (a commit and its deployment) are one change.

    Args:
        incident: what happened.
        window: the time in question.
        tests: comparisons of spans and logs, to see which changes mention what changed.
    """
    groups: dict[object, list[int]] = {}
    for row, event in enumerate(incident.events):
        if event.kind.lower().startswith(APPLIED + WRITTEN):
            groups.setdefault(event.id if event.id is not None else row, []).append(row)
    told = any(e.kind.lower().startswith(APPLIED) for e in incident.events)
    names = [name.lower() for name in incident.topology.names]
    words = {w for t in tests if t.log_ratio >= TELLING for w in _words(t.subject)}
    # A change of `payment` mentions payment: which component it was counts by itself.
    words = {word for word in words if not any(word in name for name in names)}
    changes = []
    for rows in groups.values():
        events = [incident.events[row] for row in rows]
        lead = min(range(len(rows)), key=lambda i: (not _is_applied(events[i]), events[i].time))
        weight = UNAPPLIED if told and not _is_applied(events[lead]) else 1.0
        text = "\n".join(e.text for e in events)
        component = next((e.component for e in events if e.component is not None), None)
        changes.append(
            Change(
                event=rows[lead],
                rows=tuple(rows),
                component=-1 if component is None else incident.topology.index(component),
                age=window.start - events[lead].time,
                weight=weight * (INERT if _INERT.search(text) else 1.0),
                mentions=bool(words & _words(text)),
            )
        )
    return tuple(changes)


def compute_change_log_odds(changes: Sequence[Change]) -> Floats:
    """Log odds, [c], of each change's having caused the incident against no change's having done.

    By time and text alone: a change that is no cause is anywhere in the record, one that is comes
    before the incident's start by a law of delays. And by the share of changes that mention what is
    seen to have changed: a word that half of them use tells little.
    """
    if not changes:
        return np.empty(0)
    age = np.array([c.age for c in changes])
    weight = np.array([c.weight for c in changes])
    span = max(LEAST_SPAN, float(np.ptp(np.append(age, 0.0))))
    late = sum(w / mean * np.exp(-np.maximum(age, 0.0) / mean) for w, mean in DELAYS)
    early = np.exp(np.minimum(age, 0.0) / EARLY_SECONDS) / EARLY_SECONDS
    density = np.where(age >= 0.0, (1.0 - EARLY) * late, EARLY * early)
    mentions = np.array([c.mentions for c in changes])
    share = (mentions.sum() + BY_CHANCE[0]) / (len(changes) + sum(BY_CHANCE))
    fit = np.where(mentions, MENTIONS / share, (1.0 - MENTIONS) / (1.0 - share))
    prior = IS_PROBABLE / (1.0 - IS_PROBABLE) * weight / weight.sum()
    with np.errstate(divide="ignore"):  # long after the start the density vanishes
        return np.asarray(np.log(prior * density * span * fit))


def compute_change_log_factor(changes: Sequence[Change], n: int) -> Floats:
    """Log factor, [n], on each component's prior as a root; the factors' mean is one.

    If a change caused the incident, the root is the component that was changed, with probability
    `SAME`; else, or if none did, all stand as before. So what changes give to some components is
    taken from the others.
    """
    odds = np.exp(compute_change_log_odds(changes))
    total = 1.0 + odds.sum()
    factor = np.full(n, 1.0 / total)
    for change, gain in zip(changes, odds / total, strict=True):
        same = SAME if change.component >= 0 else 0.0
        factor += (1.0 - same) * gain
        factor[change.component] += same * gain * n
    return np.log(factor)


def _is_applied(event: Event) -> bool:
    return event.kind.lower().startswith(APPLIED)


def _words(text: str) -> set[str]:
    """Words of at least four letters, names in camel case taken apart."""
    return {word.lower() for word in _WORD.findall(text) if len(word) > 3}
