"""How long an analysis goes on once it is cancelled: `python benches/python/cancel_latency.py`

Each round runs `analyze` in this process and has `cancelled` say True from a random moment of what
an uncancelled run took; the time from there to `CancelledError` is what a worker of the service is
busy for nobody, before it takes the next call. Wall times, for that is what the next caller waits:
on a machine that others use the largest says little.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from bayesrca.analysis import Progress, analyze
from bayesrca.config import Method, Settings
from bayesrca.errors import CancelledError
from bayesrca.incident import Incident
from bayesrca.ingest import load_incident
from bayesrca.model import warm

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "search_delay"


class Stop:
    """Says True from a moment on, and knows which step it fell into."""

    def __init__(self, after: float) -> None:
        self.at = time.monotonic() + after
        self.step = "evidence"
        self.struck = ""

    def hear(self, report: Progress) -> None:
        if not self.struck:
            self.step = report.step
            self()

    def __call__(self) -> bool:
        if time.monotonic() < self.at:
            return False
        if not self.struck:
            self.struck = self.step
        return True


def measure(incident: Incident, settings: Settings, after: float) -> tuple[float, str] | None:
    """Return the seconds that it went on and the step it stopped in; None when it had ended."""
    stop = Stop(after)
    try:
        analyze(incident, seed=1, settings=settings, cancelled=stop, progress=stop.hear)
    except CancelledError:
        return time.monotonic() - stop.at, stop.struck
    return None


def main() -> None:
    """Print a line for each method."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("incident", nargs="?", type=Path, default=EXAMPLE)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    incident = load_incident(arguments.incident)
    rng = np.random.default_rng(arguments.seed)
    warm()
    print(f"{incident.name}, {len(incident.topology.components)} components")
    for method in (Method.SCREEN, Method.NUTS):
        settings = Settings(method=method)
        begun = time.monotonic()
        analyze(incident, seed=1, settings=settings)
        whole = time.monotonic() - begun
        found = [
            one
            for _ in range(arguments.rounds)
            if (one := measure(incident, settings, rng.uniform(0.0, whole))) is not None
        ]
        times = np.array([seconds for seconds, _ in found]) * 1e3
        late = {step for seconds, step in found if seconds > 0.1}
        print(
            f"{method:<7} {len(found)} of {arguments.rounds} cancelled in time; ms: median "
            f"{np.median(times):.0f}, p90 {np.quantile(times, 0.9):.0f}, max {times.max():.0f}; "
            f"{np.mean(times > 100):.0%} above 100, in {sorted(late) or 'no step'}"
        )


if __name__ == "__main__":
    main()
