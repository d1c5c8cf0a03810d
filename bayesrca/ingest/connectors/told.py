"""Events that whoever asks tells, as one source among others."""

from __future__ import annotations

from dataclasses import dataclass

from bayesrca.incident import Event
from bayesrca.ingest.connectors.interface import Ask, Asked, Haul, What


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Events that are known without asking.

    Attributes:
        name: who tells them.
        asked: what holds them, for the gap report.
        events: all of them.
        missing: what is known to be missing; empty for nothing.
    """

    name: str
    asked: str
    events: tuple[Event, ...]
    missing: str = ""

    offers = frozenset({What.EVENTS})

    def fetch(self, _: Ask) -> Haul:
        """Return the events, whatever time is asked for."""
        line = Asked(
            source=self.name,
            what=What.EVENTS,
            asked=self.asked,
            came=len(self.events),
            missing=self.missing,
        )
        return Haul(events=self.events, asked=(line,))
