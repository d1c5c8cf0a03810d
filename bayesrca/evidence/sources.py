"""An incident's series by owner and family, found in one pass over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from bayesrca.evidence.evidence import FAMILIES
from bayesrca.evidence.remarks import Remarks
from bayesrca.evidence.requests import find_requests
from bayesrca.evidence.seasonal import Seasonal
from bayesrca.evidence.units import compare_units
from bayesrca.evidence.vitals import is_vital
from bayesrca.incident import Family, Incident, Signal, Statistic


def is_read(signal: Signal) -> bool:
    """Whether a series counts as evidence."""
    if signal.component is None:
        return False
    return signal.family in (*FAMILIES, Family.STATE) or is_vital(signal)


class Sources:
    """Which series speak for a component.

    Args:
        incident: whose series.
        seasonal: those of them that have a season.

    Attributes:
        seconds: what one of each unit of a mean latency is worth, None where not comparable.
        remarks: what had to be assumed about single series so far.

    Raises:
        InvalidIncidentError: a component counts more requests than a float can.
    """

    def __init__(self, incident: Incident, seasonal: Seasonal) -> None:
        self._seasonal = seasonal
        self.remarks = Remarks()
        self._signals: dict[tuple[str, Family], list[Signal]] = {}
        for signal in incident.signals:
            if signal.component is not None:
                self._signals.setdefault((signal.component, signal.family), []).append(signal)
        self._requests = {
            name: find_requests(self.of(name, Family.LOAD)) for name in incident.topology.names
        }
        self.seconds: Mapping[str, float | None] = compare_units(
            s.unit
            for name in incident.topology.names
            for s in self.of(name, Family.LATENCY)
            if s.statistic is Statistic.MEAN
        )

    def of(self, component: str, family: Family) -> tuple[Signal, ...]:
        """Return the series of a component in one family, in their order."""
        return tuple(self._signals.get((component, family), ()))

    def latencies(self, component: str) -> tuple[Signal, ...]:
        """Return the latency series of a component, without their seasons."""
        return tuple(self._seasonal.of(self.of(component, Family.LATENCY)))

    def requests(self, component: str) -> Signal | None:
        """Return the series that counts a component's requests, None without one."""
        return self._requests[component]


def note_unread(signals: Iterable[Signal], notes: list[str]) -> None:
    """Note which series say nothing in this version: those of edges."""
    counts = Counter(signal.family.value for signal in signals if signal.edge is not None)
    if counts:
        listed = ", ".join(f"{family} {n}" for family, n in sorted(counts.items()))
        notes.append(f"Not read in this version: {counts.total()} series of edges ({listed}).")
