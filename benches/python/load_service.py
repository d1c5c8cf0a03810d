"""Small calls of a real server under load: `python benches/python/load_service.py [--check]`

Starts `python -m bayesrca.service` on this machine, sends it calls with ghz (a Go module: `go
install github.com/bojand/ghz/cmd/ghz@v0.93.0`), and ends both. Two questions:

- latency: health checks at a fixed rate, in turns while the server is idle and while every worker
  samples; p50 and p99 of each turn, and the ratio of the medians over the turns;
- cost: calls as fast as 16 callers get them answered; calls a second, and the CPU time the server's
  front process used for each. Over TLS too, with a token where the method needs one.

Everything is bounded by --calls and --rounds. `--check` exits with 1 when the busy p99 is more than
three times the idle one. On a machine that others use, the ratio of one run says little.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bayesrca.client import Client
from bayesrca.config import Method, Settings
from bayesrca.errors import ServiceError
from bayesrca.ingest import load_incident
from bayesrca.service import Scope
from bayesrca.service.credentials import new_token

ROOT = Path(__file__).resolve().parents[2]
HEALTH = "grpc.health.v1.Health/Check"
REFUSED = "bayesrca.api.v1.RootCauseService/Analyze"
"""An empty request of it is read, found wanting and refused: all that the front itself does."""
LIMIT = 3.0
PATIENCE = 300.0


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        process: its front.
        address: ``HOST:PORT``.
    """

    process: subprocess.Popen[str]
    address: str

    def cpu_seconds(self) -> float:
        """CPU time the front has used; its workers are processes of their own."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8")
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(*arguments: str) -> Iterator[Server]:
    """Run a server until the block ends; it is ready when the block begins."""
    command = [sys.executable, "-m", "bayesrca.service", "--port", "0", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        address = ""
        for line in process.stderr:
            if line.startswith("listening on "):
                address = line.split()[-1]
            if line == "ready\n":
                break
        else:
            sys.exit("the server did not become ready")
        # Its log must not fill the pipe.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield Server(process, address)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def sampling(server: Server, workers: int) -> Iterator[None]:
    """Keep every worker at NUTS while the block runs."""
    incident = load_incident(ROOT / "examples" / "search_delay")
    settings = Settings(method=Method.NUTS, draws=4000, tune=4000)
    ended, begun = threading.Event(), threading.Barrier(workers + 1)

    def sample() -> None:
        begun.wait()
        while not ended.is_set():
            try:
                client.analyze(incident, seed=1, settings=settings)
            except ServiceError:
                if not ended.is_set():
                    raise

    with Client(server.address) as client:
        threads = [threading.Thread(target=sample) for _ in range(workers)]
        for thread in threads:
            thread.start()
        begun.wait()
        ended.wait(2.0)  # until the workers are at it
        try:
            yield
        finally:
            ended.set()
            client.close()  # which ends the calls, and so the sampling
            for thread in threads:
                thread.join()


@dataclass(frozen=True)
class Load:
    """What ghz measured; times in milliseconds."""

    rate: float
    p50: float
    p99: float


def send(ghz: str, server: Server, method: str, calls: int, *options: str) -> Load:
    """Send calls of a method, and wait for all their answers."""
    command = [ghz, "--call", method, "-n", str(calls), "-d", "{}", "-O", "json", "--count-errors"]
    done = subprocess.run(
        [*command, *options, server.address],
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    told = json.loads(done.stdout)
    wanted = {"OK"} if method == HEALTH else {"InvalidArgument"}
    if {*told["statusCodeDistribution"]} != wanted:
        sys.exit(f"{method}: {told['statusCodeDistribution']}")
    at = {row["percentage"]: row["latency"] / 1e6 for row in told["latencyDistribution"]}
    return Load(rate=told["rps"], p50=at[50], p99=at[99])


def latency(ghz: str, server: Server, given: argparse.Namespace) -> float:
    """Print the turns; return how many times the idle p99 the busy one is, by their medians."""
    calls, options = given.calls, ("--insecure", "-c", "4", "--rps", str(given.rate))
    turns: dict[str, list[Load]] = {"idle": [], "busy": []}
    print(f"{HEALTH}, {given.rate} calls/s, ms        p50      p99")
    for _ in range(given.rounds):
        turns["idle"].append(send(ghz, server, HEALTH, calls, *options))
        with sampling(server, given.workers):
            turns["busy"].append(send(ghz, server, HEALTH, calls, *options))
    for name, loads in turns.items():
        for load in loads:
            print(f"{name:40}{load.p50:9.2f}{load.p99:9.2f}")
    idle, busy = (statistics.median(load.p99 for load in loads) for loads in turns.values())
    print(f"{'p99, busy over idle':49}{busy / idle:9.2f}\n")
    return busy / idle


def cost(
    ghz: str, server: Server, label: str, methods: Sequence[str], calls: int, *options: str
) -> None:
    """Print calls a second and the front's CPU time for each."""
    for method in methods:
        send(ghz, server, method, min(calls, 200), *options)
        before = server.cpu_seconds()
        load = send(ghz, server, method, calls, "-c", "16", "--connections", "4", *options)
        used = (server.cpu_seconds() - before) / calls
        name = f"{method.rpartition('.')[2]}, {label}"
        print(f"{name:40}{load.rate:9.0f}{1e6 * used:9.0f}{load.p99:9.1f}")


def make_certificate(folder: Path) -> list[str]:
    """Make a certificate for the loopback address; return the server's options."""
    cert, key = folder / "tls.pem", folder / "tls.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", key, "-out", cert],
        check=True, capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    return ["--tls-cert-file", str(cert), "--tls-key-file", str(key)]


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 1) - 1))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--rate", type=int, default=200, help="calls a second, for latency")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    ghz = shutil.which("ghz") or shutil.which("ghz", path=str(Path.home() / "go" / "bin"))
    if ghz is None:
        print("skipped: ghz is not installed; this file's head says how to get it")
        return 0
    with serving("--workers", str(given.workers)) as server:
        ratio = latency(ghz, server, given)
        print(f"{'16 callers, 4 connections':40}  calls/s   us CPU   p99 ms")
        cost(ghz, server, "plain", (HEALTH, REFUSED), given.calls, "--insecure")
    with tempfile.TemporaryDirectory() as folder:
        token, line = new_token("bench", "bench", [Scope.ANALYZE, Scope.READ], None)
        credentials = Path(folder) / "credentials.toml"
        credentials.write_text(line, encoding="utf-8")
        tls = make_certificate(Path(folder))
        shown = json.dumps({"authorization": f"Bearer {token}"})
        with serving("--no-warm", "--credentials-file", str(credentials), *tls) as server:
            options = ("--cacert", tls[1], "-m", shown, "--reflect-metadata", shown)
            cost(ghz, server, "TLS and token", (HEALTH, REFUSED), given.calls, *options)
    return int(given.check and ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
