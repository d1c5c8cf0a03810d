"""One command-line flag for every option of the server."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from bayesrca.service.configuration import FILE_VARIABLE, Configuration, configure, dashed, kinds
from bayesrca.service.options import ServiceOptions


def with_flags(run: Callable[[Configuration], None], text: str) -> Callable[..., None]:
    """Return a Typer command that takes every option as a flag and runs with what came of it.

    Its signature is made from `ServiceOptions`: written out, each option would stand in four
    places.

    Args:
        run: what to do with the options.
        text: the command's help.
    """

    def command(config: Path | None, **flags: object) -> None:
        run(configure(flags, os.environ, config))

    about = f"TOML file of options; {FILE_VARIABLE} names one too."
    config = Annotated[Path | None, typer.Option(help=about, dir_okay=False)]
    annotations = {"config": config} | {
        option.name: _annotation(option.name) for option in fields(ServiceOptions)
    }
    parameters = [_parameter(*item) for item in annotations.items()]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = annotations
    command.__doc__ = text
    return command


def _parameter(name: str, annotation: Any) -> inspect.Parameter:  # noqa: ANN401  any annotation
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=None, annotation=annotation)


def _annotation(name: str) -> Any:  # noqa: ANN401  any annotation
    option = ServiceOptions.__dataclass_fields__[name]
    default, flag = option.default, dashed(name)
    assert default is not MISSING
    names = [f"--{flag}"]
    if isinstance(default, bool):
        names, default = [f"--{flag}/--no-{flag}"], "on" if default else "off"
    text = option.metadata["help"]
    if default is not None:
        text += f" Default: {default}."
    # None, so that a flag that is not given is not mistaken for one that repeats the default.
    settings = typer.Option(*names, help=text, hidden=option.metadata["hidden"])
    return Annotated[kinds()[name] | None, settings]
