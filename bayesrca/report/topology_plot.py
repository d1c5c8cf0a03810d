"""A picture of a topology map."""

from __future__ import annotations

import io
import math
import warnings
from importlib import import_module
from itertools import pairwise
from typing import Any

from bayesrca.errors import NotSupportedError
from bayesrca.incident import Component, ComponentKind, KnownEdge, TopologyMap
from bayesrca.report.layers import Bend, place_in_layers
from bayesrca.report.topology import (
    find_unconnected,
    format_seconds,
    format_share,
    summarise,
)

MOST_COMPONENTS = 250
"""Components in one picture."""
_MOST_LABELS = 30
_LONGEST = 40
_ROW, _PER_LETTER, _GAP = 0.36, 0.062, 1.3  # inches
_COLOURS = {
    ComponentKind.SERVICE: "#dce9f5",
    ComponentKind.DATASTORE: "#e3f1dc",
    ComponentKind.QUEUE: "#f6edd3",
    ComponentKind.EXTERNAL: "#f1def0",
}
_OTHER, _CALM, _FAILING = "#ececec", (0.45, 0.45, 0.45), (0.75, 0.15, 0.10)


def plot_topology(found: TopologyMap, suffix: str) -> bytes:
    """Draw a map: callers on the left of those they call, hosts on the left of what they host.

    Lines grow with the logarithm of the calls and turn red with the share that failed; they are
    dashed where nothing was seen, and fainter the less sure the edge is.

    Args:
        found: the map.
        suffix: .pdf, .png or .svg.

    Returns:
        The content of the file.

    Raises:
        NotSupportedError: more than 250 components.
    """
    if len(found.components) > MOST_COMPONENTS:
        msg = (
            f"{len(found.components)} components are too many for a picture (up to "
            f"{MOST_COMPONENTS}); the table and --json have them all"
        )
        raise NotSupportedError(msg, field="plot")
    alone = set(find_unconnected(found))
    names = [known.component.name for known in found.components]
    pairs = [(known.edge.source, known.edge.target) for known in found.edges]
    layers = place_in_layers([name for name in names if name not in alone], pairs)
    lines = [summarise(found)]
    if alone:
        lines.append(_wrap("without any edge: " + ", ".join(_shorten(n) for n in sorted(alone))))
    sheet = _Sheet(layers)
    margin = 0.16 * (1 + "\n".join(lines).count("\n")) + 0.3
    width = max(sheet.width, 7.0)
    figure: Any = import_module("matplotlib.figure").Figure(figsize=(width, sheet.height + margin))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, width), ylim=(-margin, sheet.height))
    axes.axis("off")
    for known in found.edges:
        _draw_edge(axes, known, sheet, labelled=len(found.edges) <= _MOST_LABELS)
    for component in (part.component for part in found.components):
        if component.name in sheet.places:
            _draw_component(axes, component, sheet)
    axes.text(0.15, 0.12 - margin, "\n".join(lines), fontsize=8, va="bottom", color="0.25")
    content = io.BytesIO()
    with warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; the table spells it.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(content, format=suffix.lower().removeprefix("."), dpi=110)
    return content.getvalue()


class _Sheet:
    """Where everything goes, in inches.

    Attributes:
        places: left and right end, and height, of each box and of each bend of an edge.
        width: of the whole.
        height: of the whole.
    """

    def __init__(self, layers: list[list[str | Bend]]) -> None:
        most = max((len(layer) for layer in layers), default=0)
        self.height = _ROW * (most + 0.5) if layers else 0.2
        self.places: dict[str | Bend, tuple[float, float, float]] = {}
        left = 0.2
        for layer in layers:
            widths = [0.0 if isinstance(n, tuple) else _width(n) for n in layer]
            middle, step = left + max(widths) / 2, self.height / len(layer)
            for i, (name, wide) in enumerate(zip(layer, widths, strict=True)):
                half = wide / 2 if wide else max(widths) / 2
                self.places[name] = (middle - half, middle + half, self.height - step * (i + 0.5))
            left += max(widths) + _GAP
        self.width = left - _GAP + 0.2

    def route(self, source: str, target: str) -> list[tuple[float, float]]:
        """Return the points that an edge passes: ends, and both ends of its bends."""
        points = []
        bends = sorted(
            (b for b in self.places if isinstance(b, tuple) and b[:2] == (source, target)),
            key=lambda bend: bend[2],
        )
        for bend in bends:
            left, right, y = self.places[bend]
            points += [(left, y), (right, y)]
        start, end = self.places[source], self.places[target]
        if start[0] <= end[0]:
            return [(start[1], start[2]), *points, (end[0], end[2])]
        return [(start[0], start[2]), (end[1], end[2])]  # it closes a cycle


def _width(name: str) -> float:
    return _PER_LETTER * len(_shorten(name)) + 0.2


def _draw_component(axes: Any, component: Component, sheet: _Sheet) -> None:  # noqa: ANN401 - matplotlib's are loaded late
    left, right, y = sheet.places[component.name]
    box = {
        "boxstyle": "round,pad=0.3",
        "facecolor": _COLOURS.get(component.kind, _OTHER),
        "edgecolor": "0.4",
    }
    label = _shorten(component.name)
    axes.text(
        (left + right) / 2, y, label, ha="center", va="center", fontsize=8, zorder=3, bbox=box
    )


def _draw_edge(axes: Any, known: KnownEdge, sheet: _Sheet, *, labelled: bool) -> None:  # noqa: ANN401 - matplotlib's are loaded late
    points = sheet.route(known.edge.source, known.edge.target)
    share = 0.0 if math.isnan(known.error_share) else known.error_share
    colour = tuple(c + share * (f - c) for c, f in zip(_CALM, _FAILING, strict=True))
    arrow = import_module("matplotlib.patches").FancyArrowPatch(
        path=_smooth(points),
        arrowstyle="-|>",
        mutation_scale=9,
        facecolor="none",
        edgecolor=colour,
        alpha=0.25 + 0.75 * known.confidence,
        linewidth=0.7 + 0.45 * math.log10(1 + known.calls),
        linestyle="-" if known.calls else "--",
    )
    axes.add_patch(arrow)
    label = _label(known)
    if labelled and label:
        (x0, y0), (x1, y1) = points[-2:]
        box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"}
        axes.text(
            x0 + 0.6 * (x1 - x0), y0 + 0.65 * (y1 - y0), label,
            fontsize=6, ha="center", va="center", color=colour, zorder=2, bbox=box,
        )  # fmt: skip


def _smooth(points: list[tuple[float, float]]) -> Any:  # noqa: ANN401 - matplotlib's are loaded late
    """Return a curve through the points that leaves and enters each of them level."""
    path = import_module("matplotlib.path").Path
    corners, codes = [points[0]], [path.MOVETO]
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (x0 + x1) / 2
        corners += [(middle, y0), (middle, y1), (x1, y1)]
        codes += [path.CURVE4] * 3
    return path(corners, codes)


def _label(known: KnownEdge) -> str:
    parts = [format_seconds(known.latency)]
    if known.errors:
        parts.append(f"{format_share(known.error_share)} fail")
    return ", ".join(part for part in parts if part)


def _shorten(name: str) -> str:
    plain = "".join(c if c.isprintable() else " " for c in name)
    plain = plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 1]}\u2026"
    return plain.replace("$", r"\$")  # no formula


def _wrap(text: str, letters: int = 110) -> str:
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + len(word) > letters:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*lines, line])
