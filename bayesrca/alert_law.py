"""What alerts tell of the cause, as learned from labelled incidents: no component has a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

AlertLabel = tuple[str, str, str]
"""Where an alert stands (`bayesrca.evidence.alert_table`), what it is about, how it changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertLaw:
    """Weights of a component's alert features, by kind of fault (docs/learning.md, "Alerts").

    Attributes:
        labels: the L labels that are told apart.
        details: finer labels (one operation, one log template), and in how many incidents each
            fired, whatever their cause.
        incidents: labelled incidents it was learned from (>= 1).
        kinds: the K kinds of fault, in the labels' own words.
        bias: [K] log Bayes factor of a component of which all features are 0.
        weight: [K][P] what each feature adds to it.
    """

    labels: tuple[AlertLabel, ...]
    details: Mapping[AlertLabel, int] = field(repr=False, hash=False)
    incidents: int
    kinds: tuple[str, ...]
    bias: tuple[float, ...] = field(repr=False)
    weight: tuple[tuple[float, ...], ...] = field(repr=False)
