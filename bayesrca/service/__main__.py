"""`python -m bayesrca.service`: the server without the rest of the command line."""

from __future__ import annotations

import sys

import typer

from bayesrca.errors import BayesRcaError
from bayesrca.service import serve
from bayesrca.service.flags import with_flags


def main() -> None:
    """Serve; exit with 0 after a drain, 2 when the options, a file or a port will not do."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(with_flags(serve, "Answer over gRPC until stopped."))
    try:
        app(prog_name="python -m bayesrca.service")
    except BayesRcaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)


if __name__ == "__main__":
    main()
