"""``bayesrca serve``, ``bayesrca config`` and ``bayesrca token``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from bayesrca.cli_output import say
from bayesrca.service import Configuration, Scope
from bayesrca.service import serve as run
from bayesrca.service.credentials import new_token
from bayesrca.service.flags import with_flags


def _print(configuration: Configuration) -> None:
    say(configuration.to_toml())


serve = with_flags(run, "Answer analyses over gRPC until stopped (docs/operations.md).")
config = with_flags(
    _print, "Print what `serve` would run with, and where each option was set; reads back as TOML."
)


def token(
    subject: Annotated[str, typer.Argument(help="Who will use it: its name in logs and records.")],
    *,
    tenant: Annotated[str, typer.Option(help="Whose analyses it reaches.")] = "default",
    scope: Annotated[list[Scope], typer.Option(help="What it may do; may be repeated.")],
    days: Annotated[
        float | None, typer.Option(help="Days until it expires; none: never.", min=0, max=36_500)
    ] = None,
) -> None:
    """Print a new token, then its line of the credentials file (docs/operations.md)."""
    expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
    made, line = new_token(subject, tenant, scope, expires)
    say(f"{made}\n{line}\n")
