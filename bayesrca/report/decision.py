"""A decision as text for the terminal, the verdict first."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bayesrca.decision import Decision, ExpectedLoss


def render_decision(decision: Decision) -> RenderableType:
    """Return a decision as a rich renderable: what to do, what it costs, every check."""
    parts: list[RenderableType] = [Text(decision.text, style="bold"), Text()]
    if decision.expected_loss is not None and decision.worst_loss is not None:
        parts += [_losses(decision.expected_loss, decision.worst_loss), Text()]
    parts += [_checks(decision), Text()]
    if decision.valid_until is not None:
        parts.append(Text(f"The analysis may be acted on until {_clock(decision.valid_until)}."))
    versions = f"Policy {decision.policy_version[:12]}, answer {decision.answer_hash[:12]}."
    return Group(*parts, Text(versions, style="dim"))


def _losses(expected: ExpectedLoss, worst: ExpectedLoss) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("expected loss")
    for head in ("p(right)", "acting", "waiting"):
        table.add_column(head, justify="right")
    for name, loss in (("as it is", expected), ("at the lower bound", worst)):
        table.add_row(name, f"{loss.p:.3f}", f"{loss.acting:.4g}", f"{loss.waiting:.4g}")
    return table


def _checks(decision: Decision) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("check", "allows", "because"):
        table.add_column(head, overflow="fold")
    for check in decision.checks:
        table.add_row(check.name, check.verdict.name, check.text)
    return table


def _clock(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"{seconds:g} s"
