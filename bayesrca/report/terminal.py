"""An answer as text for the terminal, most important first."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bayesrca.posterior.onsets import say_first
from bayesrca.posterior.result import Answer, Cause, CauseSet, Probability

SHOWN = 5
"""Causes listed in full."""
SHOWN_KINDS = 3
"""Kinds of fault named where none holds most of the probability."""
WORTH = 0.01
"""Shapley values below this part of the excess, either way, are summed up; so are sets of several
causes below this probability."""


def render(answer: Answer, *, shown: int = SHOWN) -> RenderableType:
    """Return an answer as a rich renderable, the verdict first and the notes last.

    Args:
        answer: what to show.
        shown: causes to list (>= 1); the rest is summed up in one row.
    """
    parts: list[RenderableType] = [
        Text(answer.incident, style="bold"),
        Text(verdict(answer)),
        Text(),
        _ranking(answer, shown),
        Text(),
        *_sets(answer, shown),
        *_places(answer),
        *_shares(answer, shown),
        _reasons(answer, shown),
        *_order(answer, shown),
        *_changes(answer, shown),
        Text(),
        _health(answer),
    ]
    parts += [Text(f"Note: {note}", style="dim") for note in answer.notes]
    return Group(*parts)


def verdict(answer: Answer) -> str:
    """Return the answer in one or two plain sentences."""
    causes, none = answer.posterior.causes, answer.posterior.none
    best = causes[0]
    if not answer.alarm.anomalous:
        return (
            f"{answer.alarm.text} What follows ranks the causes there would be: do not act on it."
        )
    if none.value > best.probability.value:
        first = (
            f'Most probably "none of these" ({none.value:.0%}): no listed component explains it. '
            f"The best candidate is {best.component} ({best.probability.value:.0%})."
        )
    else:
        first = (
            f"{best.component} is the most probable cause ({best.probability.value:.0%}, "
            f"{_kind_words(best)}){_company(answer)}."
        )
    ambiguity = answer.posterior.ambiguity
    second = "" if ambiguity.word == "clear" else f" {ambiguity.text}"
    if not answer.healthy:
        second += " DO NOT ACT on this: the computation failed its health checks."
    return first + second


def _kind_words(cause: Cause) -> str:
    """Name the kind where it holds most of being the only cause, else say how it divides."""
    if cause.kinds[cause.kind] > 0.5 * cause.only.value:
        return f"{cause.kind} fault"
    parts = sorted(cause.kinds.items(), key=lambda item: -item[1])[:SHOWN_KINDS]
    return f"kind unclear: {', '.join(f'{kind} {p:.0%}' for kind, p in parts)}"


def _company(answer: Answer) -> str:
    """Say with whom the first cause acts, where it is in the most probable set of all."""
    best, (top, *_) = answer.posterior.causes[0], answer.posterior.sets
    others = [name for name in top.components if name != best.component]
    if not others or best.component not in top.components:
        return ""
    return f", together with {' and '.join(others)} ({top.probability.value:.0%})"


def _ranking(answer: Answer, shown: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rank", justify="right")
    table.add_column("component", overflow="fold")
    table.add_column("kind")
    table.add_column("probability", justify="right")
    table.add_column("MC error", justify="right")
    table.add_column(f"{100 * answer.interval_mass:g}% interval", justify="right")
    causes = answer.posterior.causes
    for rank, cause in enumerate(causes[:shown], start=1):
        table.add_row(str(rank), cause.component, cause.kind, *_cells(cause.probability))
    rest = causes[shown:]
    if rest:
        total = sum(c.probability.value for c in rest)
        table.add_row("", f"{len(rest)} others together", "", f"{total:.3f}", "", "")
    table.add_row("", "none of these", "", *_cells(answer.posterior.none))
    return table


def _cells(p: Probability) -> tuple[str, str, str]:
    return f"{p.value:.3f}", f"{p.mcse:.4f}", f"{p.interval[0]:.3f} - {p.interval[1]:.3f}"


def _sets(answer: Answer, shown: int) -> list[RenderableType]:
    """Set out several causes at once, where that has a probability worth telling."""
    if not any(len(s.components) > 1 and s.probability.value >= WORTH for s in _listed(answer)):
        return []
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("exactly these are the causes", overflow="fold")
    table.add_column("probability", justify="right")
    table.add_column("MC error", justify="right")
    table.add_column(f"{100 * answer.interval_mass:g}% interval", justify="right")
    for s in _listed(answer)[:shown]:
        table.add_row(" + ".join(s.components), *_cells(s.probability))
    return [table, Text()]


def _places(answer: Answer) -> list[RenderableType]:
    """Say in which host, service or other container the cause is."""
    lines: list[RenderableType] = []
    for level in answer.posterior.levels:
        named = [(n.component, n.probability.value) for n in level.nodes]
        worth = [(name, p) for name, p in named if p >= WORTH]
        if worth:
            lines.append(Text(f"a cause in {level.kind}: {_listing(worth)}"))
    return [*lines, Text()] if lines else []


def _listed(answer: Answer) -> list[CauseSet]:
    return [s for s in answer.posterior.sets if s.probability.value >= WORTH]


def _shares(answer: Answer, shown: int) -> list[RenderableType]:
    a = answer.attribution
    if a is None:
        return []
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("component", overflow="fold")
    for head in ("share", "std. error", "excess", "std. error"):
        table.add_column(head, justify="right")
    worth = [s for s in a.shares if abs(s.value) >= WORTH * a.excess]
    listed, rest = worth[:shown], worth[shown:] + [s for s in a.shares if s not in worth]
    for s in listed:
        cells = (f"{s.share:.3f}", f"{s.share_std_err:.3f}", f"{s.value:.3g}")
        table.add_row(s.component, *cells, f"{s.value_std_err:.2g}")
    if any(s.value for s in rest):
        total, value = sum(s.share for s in rest), sum(s.value for s in rest)
        table.add_row(f"{len(rest)} others together", f"{total:.3f}", "", f"{value:.3g}", "")
    unit = f" {a.unit}" if a.unit else ""
    return [
        Text("Share of the target's excess (Shapley), not a probability", style="bold"),
        Text(
            f"  {a.target}: {a.excess:.3g} ± {a.excess_std_err:.2g}{unit} in {a.family}, "
            f"{_clock(a.footprint[0])} to {_clock(a.footprint[1])}"
        ),
        table,
        Text(),
    ]


def _reasons(answer: Answer, shown: int) -> RenderableType:
    lines: list[RenderableType] = [Text("What speaks for them", style="bold")]
    worth = [c for c in answer.posterior.causes[:shown] if c.probability.value >= 0.01]
    for cause in worth or answer.posterior.causes[:1]:
        lines.append(Text(f"  {cause.component}", style="bold"))
        lines.append(Text(f"    {cause.explains.text}"))
        lines.append(Text(f"    {_where(cause)}"))
        lines += [Text(f"    {line}") for line in _in_code(cause)]
    return Group(*lines)


def _order(answer: Answer, shown: int) -> list[RenderableType]:
    """Say who moved first, and set out the order."""
    first = say_first(answer.onsets, _clock)
    if not first:
        return []
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("order", "component", "series", "moved at", "between"):
        table.add_column(head, overflow="fold")
    for o in answer.onsets[:shown]:
        between = f"{_clock(o.lower)} and {_clock(o.upper)}"
        table.add_row(str(o.rank), o.component, o.signal, _clock(o.time), between)
    return [Text(), Text("Order of onset", style="bold"), Text(f"  {first}"), table]


def _changes(answer: Answer, shown: int) -> list[RenderableType]:
    """Rank the changes of the system that may have brought it about."""
    if answer.changes is None:
        return []
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("change", "component", "id", "took effect"):
        table.add_column(head, overflow="fold")
    table.add_column("probability", justify="right")
    for c in answer.changes.ranking[:shown]:
        p = f"{c.probability:.3f}"
        table.add_row(c.kind, c.component or "", c.id or "", _clock(c.time), p)
    table.add_row("none of these", "", "", "", f"{answer.changes.none:.3f}")
    return [Text(), Text("Which change brought it about", style="bold"), table]


def _where(cause: Cause) -> str:
    start, end = cause.explains.footprint
    when = f"active {_clock(start)} to {_clock(end)}"
    told = cause.explains
    if told.edges:
        steps = [f"{e.target} ({e.probability:.0%})" for e in told.edges]
        when += f"; most probable path: {' -> '.join([told.path[0], *steps])}"
    elif len(told.path) > 1:
        when += f"; path: {' -> '.join(told.path)}"
    others = [a for a in told.affected if a.component not in told.path]
    if others:
        when += f"; also affected: {_listing([(a.component, a.probability) for a in others])}"
    return when


def _in_code(cause: Cause) -> list[str]:
    """Say in which places of its code the cause shows its fault, where one is likely at all."""
    found = [
        (f"{r.region} {r.change}", r.at_fault.value)
        for r in cause.explains.regions
        if r.at_fault is not None and r.at_fault.value >= WORTH
    ]
    return [f"at fault in its code: {_listing(found)}"] if found else []


def _listing(named: list[tuple[str, float]]) -> str:
    """Names with their probabilities, the first few of many."""
    words = [f"{name} ({p:.0%})" for name, p in named[:SHOWN]]
    more = len(named) - len(words)
    return ", ".join(words) + (f" and {more} more" if more else "")


def _clock(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"{seconds:g} s"


def _health(answer: Answer) -> Text:
    d = answer.diagnostics
    if answer.method == "nuts":
        numbers = (
            f"R-hat {d.r_hat:.4f}, ESS {d.ess:.0f}, {d.divergences} divergences, "
            f"{d.n_chains} chains, {d.n_draws} draws"
        )
    else:
        numbers = f"Pareto k-hat {d.pareto_k:.2f}, ESS {d.ess:.0f} of {d.n_draws} draws"
    name = {"nuts": "NUTS (full sampling)", "screen": "the screen (importance sampling)"}
    state = "healthy" if d.healthy else "NOT HEALTHY: " + "; ".join(d.problems)
    spent = sum(answer.timings.values())
    return Text(
        f"Answered by {name[answer.method]}: {numbers}; {state}. "
        f"Seed {answer.seed}, {spent:.1f} s.",
        style="green" if d.healthy else "bold red",
    )
