"""``bayesrca serve``, ``bayesrca config`` and ``bayesrca token``."""

from __future__ import annotations

from bayesrca.cli_output import say
from bayesrca.service import Configuration
from bayesrca.service import serve as run
from bayesrca.service.flags import with_flags


def _print(configuration: Configuration) -> None:
    say(configuration.to_toml())


serve = with_flags(run, "Answer analyses over gRPC until stopped (docs/operations.md).")
config = with_flags(
    _print, "Print what `serve` would run with, and where each option was set; reads back as TOML."
)
