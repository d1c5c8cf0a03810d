"""A topology map as a table and as plain data."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bayesrca.incident import KnownEdge, TopologyMap


def render_map(found: TopologyMap) -> RenderableType:
    """Return what a map holds as a rich renderable: a summary, and its edges, most used first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("edge", overflow="fold")
    table.add_column("kind")
    for heading in ("calls", "errors", "p50"):
        table.add_column(heading, justify="right")
    table.add_column("known by")
    table.add_column("confidence", justify="right")
    for known in sorted(found.edges, key=lambda known: -known.calls):
        table.add_row(
            f"{known.edge.source} -> {known.edge.target}",
            known.edge.kind,
            str(known.calls) if known.calls else "",
            format_share(known.error_share),
            format_seconds(known.latency),
            ", ".join(known.provenance),
            f"{known.confidence:.3f}",
        )
    parts: list[RenderableType] = [Text(summarise(found))]
    if found.edges:
        parts += [Text(), table]
    alone = find_unconnected(found)
    if alone:
        parts += [Text(), Text(f"Without any edge: {', '.join(alone)}")]
    return Group(*parts)


def summarise(found: TopologyMap) -> str:
    """Return how many components of which kinds there are, and by what edges are known."""
    kinds = Counter(str(known.component.kind) for known in found.components)
    ways = Counter(str(way) for known in found.edges for way in known.provenance)
    components = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common())
    edges = ", ".join(f"{n} by {way}" for way, n in ways.most_common())
    known = f" (known: {edges})" if edges else ""
    return f"{len(found.components)} components ({components}); {len(found.edges)} edges{known}"


def find_unconnected(found: TopologyMap) -> list[str]:
    """Return the names of the components that no edge touches."""
    joined = {end for known in found.edges for end in (known.edge.source, known.edge.target)}
    names = (known.component.name for known in found.components)
    return [name for name in names if name not in joined]


def format_share(share: float) -> str:
    """Return a share in percent, empty for NaN."""
    return "" if math.isnan(share) else f"{100 * share:.3g}%"


def format_seconds(seconds: float) -> str:
    """Return a duration in its own unit, empty for NaN."""
    if math.isnan(seconds):
        return ""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def map_to_json(found: TopologyMap) -> dict[str, Any]:
    """Return a map as plain data (docs/topology.md)."""
    return {
        "components": [
            {
                "name": known.component.name,
                "kind": known.component.kind.value,
                "parent": known.component.parent,
                "known_by": [way.value for way in known.provenance],
            }
            for known in found.components
        ],
        "edges": [_edge_to_json(known) for known in found.edges],
    }


def _edge_to_json(known: KnownEdge) -> dict[str, Any]:
    return {
        "source": known.edge.source,
        "target": known.edge.target,
        "kind": known.edge.kind.value,
        "known_by": [way.value for way in known.provenance],
        "calls": known.calls,
        "errors": known.errors,
        "traces": known.traces,
        "latency_seconds": None if math.isnan(known.latency) else known.latency,
        "confidence": known.confidence,
    }
