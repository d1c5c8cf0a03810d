"""A real server process for tests, and what they send to it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import numpy as np

from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.config import Method, Settings
from bayesrca.incident import (
    Component,
    Edge,
    Family,
    Incident,
    Signal,
    Statistic,
    Target,
    TimeWindow,
    Topology,
)
from bayesrca.wire import AnalyzeCall, encode_request

ROOT = Path(__file__).resolve().parents[2]
SERVICE = "bayesrca.api.v1.RootCauseService"
ATTRIBUTION = "bayesrca.api.v1.AttributionService"
SCREEN = Settings(method=Method.SCREEN)
PATIENCE = 180.0


class Server:
    """`python -m bayesrca.service` on a free loopback port; ends with its context."""

    def __init__(
        self,
        *arguments: str,
        analyzer: str = "analyze",
        warmer: str = "",
        until: str = "listening on ",
    ) -> None:
        stand_ins = "tests.integration.stand_ins"
        command = [sys.executable, "-m", "bayesrca.service", "--port", "0", *arguments]
        if analyzer:
            command += ["--analyzer", f"{stand_ins}:{analyzer}"]
        if warmer:
            command += ["--warmer", f"{stand_ins}:{warmer}"]
        elif analyzer:
            command += ["--no-warm"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.wait_for(lambda line: until in line)
        except AssertionError:
            self.__exit__(None, None, None)
            raise

    @property
    def address(self) -> str:
        """``HOST:PORT``, as soon as it listens."""
        line = self.wait_for(lambda line: "listening on " in line)
        return line.partition("listening on ")[2].partition('"')[0]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, wanted: Callable[[str], bool]) -> str:
        """Return the first line of the server's log that fits."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for line in [*self.lines]:
                if wanted(line):
                    return line
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError("\n".join(["no such line:", *self.lines]))

    def until_ready(self) -> Self:
        self.wait_for(lambda line: line == "ready")
        return self

    def channel(self) -> grpc.Channel:
        """A plain channel: no retries, gRPC's own limits but for large answers."""
        options = [("grpc.enable_retries", 0), ("grpc.max_receive_message_length", 1 << 30)]
        return grpc.insecure_channel(self.address, options=options)

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def wait(self) -> int:
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGINT)
            self.signal(signal.SIGINT)
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()


def pages_of(server: Server) -> str:
    """Address of metrics and probes."""
    return server.wait_for(lambda line: "metrics and probes on " in line).rpartition(" ")[2]


def fetch(address: str, page: str) -> tuple[int, str]:
    """Status and content of a page."""
    try:
        with urllib.request.urlopen(f"{address}{page}", timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def make_incident(name: str = "slow checkout", samples: int = 40, extra: int = 0) -> Incident:
    """A shop of three services, `extra` further ones, and a checkout that became slow."""
    rng = np.random.default_rng(7)
    names = ["checkout", "cart/redis", "pay ment", *(f"extra {i}" for i in range(extra))]
    time_axis = np.arange(samples, dtype=np.float64) * 60.0
    signals = []
    for component in names:
        latency = rng.lognormal(-3.0, 0.1, samples)
        if component in ("checkout", "cart/redis"):
            latency[-samples // 4 :] *= 4.0
        latency[2] = np.nan
        signals.append(
            Signal(component, "latency", Family.LATENCY, Statistic.MEAN, time_axis, latency, "s")
        )
    return Incident(
        name=name,
        topology=Topology(
            tuple(Component(n) for n in names),
            (Edge("checkout", "cart/redis"), Edge("checkout", "pay ment")),
        ),
        signals=tuple(signals),
        baseline=TimeWindow(0.0, float(time_axis[samples // 2])),
        window=TimeWindow(float(time_axis[-samples // 4]), float(time_axis[-1])),
        target=Target("checkout", "latency"),
    )


def make_request(name: str = "slow checkout", settings: Settings = SCREEN) -> pb.AnalyzeRequest:
    call = AnalyzeCall(incident=make_incident(name), seed=3, settings=settings)
    return encode_request(call)


def gone(pid: int) -> bool:
    """Whether a process has ended; one that only waits to be reaped has."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.is_dir() and Path("/proc/self/stat").exists():
        try:
            return stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def eventually(check: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def mangled(message: bytes, rng: random.Random) -> bytes:
    """A request as an enemy, or a broken network, may send it."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.randrange(200))
    at = rng.randrange(len(message))
    if kind == 1:
        return message[:at]
    if kind == 2:
        return message[:at] + message
    turned = bytearray(message)
    for _ in range(rng.randrange(1, 4)):
        turned[rng.randrange(len(turned))] ^= 1 << rng.randrange(8)
    return bytes(turned)
