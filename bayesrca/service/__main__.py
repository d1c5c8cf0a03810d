"""`python -m bayesrca.service`: the server without the rest of the command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bayesrca.errors import BayesRcaError
from bayesrca.model.prior_file import load_prior
from bayesrca.service.app import run
from bayesrca.service.options import ServiceOptions


def main() -> int:
    """Serve; return the exit code: 0 after a drain, 2 when the options or the port will not do."""
    defaults = ServiceOptions()
    parser = argparse.ArgumentParser(prog="python -m bayesrca.service", description=__doc__)
    flag = argparse.BooleanOptionalAction
    parser.add_argument("--host", default=defaults.host)
    parser.add_argument("--port", type=int, default=defaults.port, help="0: any free port")
    parser.add_argument("--workers", type=int, default=defaults.workers)
    parser.add_argument("--queue", type=int, default=defaults.queue)
    parser.add_argument("--reflection", action=flag, default=defaults.reflection)
    parser.add_argument("--warm", action=flag, default=defaults.warm)
    parser.add_argument("--insecure", action=flag, default=defaults.insecure)
    parser.add_argument("--max-message-bytes", type=int, default=defaults.max_message_bytes)
    parser.add_argument("--drain-seconds", type=float, default=defaults.drain_seconds)
    parser.add_argument("--grace-seconds", type=float, default=defaults.grace_seconds)
    parser.add_argument("--prior", type=lambda path: load_prior(Path(path)))
    parser.add_argument("--data-dir", type=Path)
    for name in ("tenant-pending", "tenant-bytes", "retain-bytes"):
        default = getattr(defaults, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--retain-seconds", type=float, default=defaults.retain_seconds)
    # What the workers run: for tests of the service that must not wait for real analyses.
    parser.add_argument("--analyzer", default=defaults.analyzer, help=argparse.SUPPRESS)
    parser.add_argument("--warmer", default=defaults.warmer, help=argparse.SUPPRESS)
    try:
        run(ServiceOptions(**vars(parser.parse_args())))
    except BayesRcaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
