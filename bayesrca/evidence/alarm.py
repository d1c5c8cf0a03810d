"""Where the alarm was: the target, and the family in which it was noticed."""

from __future__ import annotations

import numpy as np

from bayesrca.evidence.evidence import FAMILIES, FamilyTable
from bayesrca.incident import Family, Incident


def place_alarm(
    incident: Incident, tables: tuple[FamilyTable, FamilyTable], notes: list[str]
) -> tuple[int | None, int | None, bool]:
    """Return the target's index, the alarm's index into `FAMILIES`, and whether it is in a vital.

    Both are None without a target. An alarm is in a vital, or a state, when the series it names is
    one, or when it names none and the target has neither latency nor errors.

    The family is that of the series the target names, else the one in which the target moved most.
    A target without a usable series still has its place in the graph: its family is then the one
    in which those that can reach it moved most.

    Args:
        incident: the incident.
        tables: its evidence.
        notes: receives what was absent or assumed.
    """
    if incident.target is None:
        notes.append("No target was given: any component may have been noticed first.")
        return None, None, False
    name = incident.target.component
    index = incident.topology.index(name)
    if not any(index in edge for table in tables for edge in table.edges):
        notes.append(f"The declared graph does not connect the target {name!r} with anything.")
    how, in_vitals = "was not named", not any(table.observed[index] for table in tables)
    if incident.target.signal is not None:
        signals = incident.signals_of(name)
        family = next(s.family for s in signals if s.name == incident.target.signal)
        if family in FAMILIES:
            return index, FAMILIES.index(family), False
        how = f"is in {family.value}"
        in_vitals = family is not Family.EGRESS
    if any(table.observed[index] for table in tables):
        chosen = int(np.argmax([_strength(t, index) for t in tables]))
        notes.append(
            f"The alarm's series {how}: the fault was taken to have reached the target in "
            f"{FAMILIES[chosen].value}, where it moved most."
        )
    else:
        sums = [sum(max(_strength(t, i), 0.0) for i in _reaching(t, index)) for t in tables]
        chosen = int(np.argmax(sums))  # latency when nothing moved
        why = (
            "where what can reach it moved most"
            if max(sums) > 0
            else "as no latency or error series that can reach it moved"
        )
        notes.append(
            f"The target {name!r} has no usable latency or error series: of the alarm only its "
            f"place in the graph was used, and it was taken to be in {FAMILIES[chosen].value}, "
            f"{why}."
        )
    return index, chosen, in_vitals


def _strength(table: FamilyTable, i: int) -> float:
    """How far a component moved up at most, in null scales; -infinity when unobserved."""
    z = table.contrast[i] / table.scale[i]
    return float(np.nanmax(z)) if not np.isnan(z).all() else -np.inf


def _reaching(table: FamilyTable, target: int) -> set[int]:
    """Components from which a fault can travel to the target, without the target."""
    into: dict[int, list[int]] = {}
    for a, b in table.edges:
        into.setdefault(int(b), []).append(int(a))
    found, left = {target}, [target]
    while left:
        new = [i for i in into.get(left.pop(), ()) if i not in found]
        found.update(new)
        left.extend(new)
    return found - {target}
