"""What the workers run in tests of the service: analyses that behave as the incident's name says.

``WORD`` or ``WORD:ARGUMENT``; any other name gives a made-up answer that depends on the incident,
the settings and the seed alone. Each answer tells the worker's process id among its versions.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from bayesrca.analysis import Progress
from bayesrca.config import Method, Settings
from bayesrca.errors import BayesRcaError, CancelledError, NoEvidenceError
from bayesrca.incident import Incident
from bayesrca.posterior.result import (
    Alarm,
    Ambiguity,
    Answer,
    Cause,
    CauseSet,
    Diagnostics,
    Explanation,
    Probability,
    RootCausePosterior,
)
from tests.unit.decision.kit import make_answer

WARM_FILE = "BAYESRCA_TEST_WARM_FILE"


class PanicError(BaseException):
    """Like a panic of the native core: not an `Exception`."""


def analyze(
    incident: Incident,
    *,
    seed: int,
    settings: Settings,
    cancelled: Callable[[], bool],
    progress: Callable[[Progress], None] | None = None,
    screened: Callable[[SimpleNamespace], None] | None = None,
) -> SimpleNamespace:
    word, _, argument = incident.name.partition(":")
    answer = made_up(incident, seed, settings)
    if progress is not None:
        progress(Progress(step="screen", done=1.0))
    if screened is not None and settings.method is Method.AUTO:
        screened(SimpleNamespace(answer=replace(answer, notes=("the screen's",))))
    if progress is not None:
        progress(Progress(step="nuts", done=0.25, divergences=2))
    act = _ACTS.get(word)
    if act is not None:
        act(argument, cancelled)
    return SimpleNamespace(answer=answer, to_datatree=lambda: _Tree(seed))


class _Tree:
    """Draws of 600 000 bytes, of which no two analyses share any."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def to_netcdf(self, *, engine: str) -> bytes:
        assert engine == "h5netcdf"
        return np.random.default_rng(self._seed).bytes(600_000)


def made_up(incident: Incident, seed: int, settings: Settings) -> Answer:
    rng = np.random.default_rng([seed, len(incident.signals)])
    names = incident.topology.names
    shares = rng.dirichlet(np.ones(len(names) + 1))
    causes = tuple(
        Cause(
            component=name,
            kind="latency",
            kinds={"latency": float(share), "errors": 0.0},
            probability=Probability(
                value=float(share), mcse=float(rng.random()), interval=(0.0, float(share))
            ),
            only=Probability(value=float(share), mcse=0.0, interval=(0.0, float(share))),
            explains=Explanation(
                own=(),
                dose=None,
                explained_share=None,
                path=(),
                edges=(),
                affected=(),
                reaches_target=None,
                footprint=(0.0, 1.0),
                text="",
            ),
        )
        for name, share in zip(names, shares, strict=False)
    )
    return Answer(
        incident=incident.name,
        method="screen",
        posterior=RootCausePosterior(
            causes=causes,
            none=Probability(value=float(shares[-1]), mcse=0.0, interval=(0.0, 1.0)),
            sets=tuple(CauseSet(components=(c.component,), probability=c.only) for c in causes),
            ambiguity=Ambiguity(
                entropy=0.7,
                effective=2.0,
                credible=((names[0],), ()),
                credible_mass=0.9,
                word="two candidates",
                text="made up",
            ),
            levels=(),
        ),
        interval_mass=settings.interval_mass,
        diagnostics=Diagnostics(
            healthy=True,
            problems=(),
            n_draws=10,
            n_chains=0,
            r_hat=None,
            ess=10.0,
            divergences=None,
            e_bfmi=None,
            pareto_k=0.5,
            reruns=0,
            max_width=2,
        ),
        attribution=None,
        alarm=Alarm(target_p=None, incident_p=0.01, anomalous=True, text="made up"),
        onsets=(),
        notes=(repr(settings),),
        seed=seed,
        versions={"worker": str(os.getpid())},
        timings={"all": 0.0},
    )


def warm_when_told() -> None:
    path = Path(os.environ[WARM_FILE])
    while not path.exists():
        time.sleep(0.01)


def warm_never() -> None:
    msg = "no compiler in this test"
    raise RuntimeError(msg)


def _sleep(seconds: str, cancelled: Callable[[], bool]) -> None:
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        if cancelled():
            msg = "cancelled in the middle"
            raise CancelledError(msg)
        time.sleep(0.005)


def _stubborn(seconds: str, _: Callable[[], bool]) -> None:
    time.sleep(float(seconds))


def _die(_: str, __: Callable[[], bool]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_once(path: str, cancelled: Callable[[], bool]) -> None:
    if not Path(path).exists():
        Path(path).touch()
        _die("", cancelled)


def _count_and_die(path: str, cancelled: Callable[[], bool]) -> None:
    with Path(path).open("a", encoding="utf-8") as log:
        log.write("x")
    _die("", cancelled)


def _panic(text: str, _: Callable[[], bool]) -> None:
    raise PanicError(text)


def _boom(text: str, _: Callable[[], bool]) -> None:
    raise RuntimeError(text)


def _hoard(_: str, __: Callable[[], bool]) -> None:
    """Ask for more than the process may have."""
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used * resource.getpagesize() + (256 << 20), limits[1]))
    try:
        np.ones(1 << 27)  # 1 GiB
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def _abort(_: str, __: Callable[[], bool]) -> None:
    """What native code does that cannot allocate."""
    os.abort()


def _no_evidence(text: str, _: Callable[[], bool]) -> None:
    raise NoEvidenceError(text, field="incident.signals")


def _refuse(reason: str, _: Callable[[], bool]) -> None:
    error = BayesRcaError("x" * 100_000 + "é" * 10_000, field="f" * 50_000)
    error.reason = reason
    raise error


def _too_late(_: str, __: Callable[[], bool]) -> None:
    msg = "the deadline passed before any answer existed"
    raise CancelledError(msg)


_ACTS: dict[str, Callable[[str, Callable[[], bool]], None]] = {
    "sleep": _sleep,
    "stubborn": _stubborn,
    "die": _die,
    "die-once": _die_once,
    "count-and-die": _count_and_die,
    "panic": _panic,
    "boom": _boom,
    "hoard": _hoard,
    "abort": _abort,
    "no-evidence": _no_evidence,
    "refuse": _refuse,
    "too-late": _too_late,
}


def certain(
    incident: Incident,
    *,
    seed: int,
    settings: Settings,
    cancelled: Callable[[], bool],
    progress: Callable[[Progress], None] | None = None,
    screened: Callable[[SimpleNamespace], None] | None = None,
) -> SimpleNamespace:
    """Answers that the policy of `tests.unit.decision.kit` lets run, or holds."""
    sets = {"torn": {"a": 0.5, "b": 0.46875}}.get(incident.name, {"a": 0.9375, "b": 0.03125})
    answer = make_answer(sets, healthy=incident.name != "unwell")
    act = _ACTS.get(incident.name)
    if act is not None:
        act("", cancelled)
    found = analyze(incident, seed=seed, settings=settings, cancelled=cancelled)
    found.answer = replace(answer, incident=incident.name, seed=seed)
    return found
