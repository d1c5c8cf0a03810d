"""Handles and interrupts under several threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

from bayesrca.evidence import build_evidence
from bayesrca.ingest import load_incident
from bayesrca.kernels.propagation import PreparedLikelihood
from bayesrca.model.parameters import unconstrained_prior

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "search_delay"


def test_preparing_while_a_release_waits_for_a_screen() -> None:
    evidence = build_evidence(load_incident(EXAMPLE))
    mean, sd = unconstrained_prior()
    likelihood = PreparedLikelihood(evidence, none_prior=0.05, max_width=14)
    asked = threading.Event()
    calls = []

    def cancelled() -> bool:
        calls.append(1)
        if len(calls) > 1:  # the first question comes before the work begins
            asked.set()
        time.sleep(0.05)
        return False

    def explore() -> None:
        likelihood.estimate_screen(
            prior_mean=mean, prior_sd=sd, scrambles=16, points=256, seed=1, cancelled=cancelled
        )

    def prepare() -> None:
        PreparedLikelihood(evidence, none_prior=0.05, max_width=14).release()

    threads = [threading.Thread(target=t, daemon=True) for t in (explore, likelihood.release)]
    threads[0].start()
    assert asked.wait(10)
    threads[1].start()
    time.sleep(0.05)
    threads.append(threading.Thread(target=prepare, daemon=True))
    threads[2].start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_an_interrupt_stops_a_long_screen() -> None:
    code = f"""
        import bayesrca
        from bayesrca import Settings
        incident = bayesrca.load_incident({str(EXAMPLE)!r})
        print("ready", flush=True)
        settings = Settings(method="screen", screen_scrambles=256, screen_points=4096, cores=1)
        bayesrca.analyze(incident, seed=1, settings=settings)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert "KeyboardInterrupt" in error
