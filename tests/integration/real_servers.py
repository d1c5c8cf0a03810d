"""Real Prometheus and Alertmanager servers for tests, and a made-up shop for them to watch."""

from __future__ import annotations

import math
import os
import random
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.integration.kit import ROOT, eventually

SERVICES = ("front", "cart", "pay", "stock")
CALLS = (("front", "cart"), ("front", "pay"), ("cart", "stock"))
_BOUNDS = [0.005 * 2**i for i in range(12)]


def find_servers() -> tuple[str, str]:
    """Programs of Prometheus and Alertmanager, fetched if need be; skips where that cannot be."""
    done = subprocess.run(
        [ROOT / "scripts" / "fetch_servers.sh"],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    if done.returncode == 3:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    folder = os.environ.get("BAYESRCA_SERVERS", "target/servers")
    found = []
    for name in ("prometheus", "prometheus-alertmanager"):
        path = shutil.which(name, path=f"{ROOT / folder}{os.pathsep}{os.environ['PATH']}")
        assert path is not None
        found.append(path)
    return found[0], found[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(address: str, *command: str | Path) -> Iterator[None]:
    """A server from the moment it is ready, until it is told to end, by its own process id."""
    with subprocess.Popen(
        command,
        cwd=Path(command[0]).parent,  # where a fetched Alertmanager has its templates
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    ) as process:
        assert process.stderr is not None
        said: list[bytes] = []
        reader = threading.Thread(target=said.extend, args=(process.stderr,), daemon=True)
        reader.start()
        try:
            ready = eventually(lambda: process.poll() is not None or answers(address), 30)
            assert ready and process.poll() is None, b"".join(said).decode()
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
            reader.join(10)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/-/ready", timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


class Shop:
    """Four services that tell their request times as a histogram; one can be made slow.

    Callers wait for their callees, so that a fault shows above its place too.
    """

    def __init__(self) -> None:
        self.slow = ""
        self.address = ""
        self._rng = random.Random(11)
        self._counts = {name: [0] * (len(_BOUNDS) + 1) for name in SERVICES}
        self._sums = dict.fromkeys(SERVICES, 0.0)
        self._calls = dict.fromkeys(CALLS, 0)
        self._until = time.monotonic()
        self._lock = threading.Lock()

    def _time_of(self, name: str) -> float:
        own = 0.02 * math.exp(self._rng.gauss(0.0, 0.3)) * (12.0 if name == self.slow else 1.0)
        for caller, callee in CALLS:
            if caller == name:
                self._calls[caller, callee] += 1
                own += self._time_of(callee)
        place = next((i for i, bound in enumerate(_BOUNDS) if own <= bound), len(_BOUNDS))
        self._counts[name][place] += 1
        self._sums[name] += own
        return own

    def render(self) -> str:
        """The metrics of everything that has happened until now, at 40 requests a second."""
        with self._lock:
            now = time.monotonic()
            while self._until < now:
                self._until += 1 / 40
                self._time_of("front")
            lines = []
            metric = "http_server_request_duration_seconds"
            lines.append(f"# TYPE {metric} histogram")
            for name in SERVICES:
                labels = f'service_name="{name}",http_response_status_code="200"'
                total = 0
                for bound, count in zip([*_BOUNDS, "+Inf"], self._counts[name], strict=True):
                    total += count
                    lines.append(f'{metric}_bucket{{{labels},le="{bound}"}} {total}')
                lines.append(f"{metric}_sum{{{labels}}} {self._sums[name]}")
                lines.append(f"{metric}_count{{{labels}}} {total}")
            metric = "traces_service_graph_request_total"
            lines.append(f"# TYPE {metric} counter")
            lines += [
                f'{metric}{{client="{caller}",server="{callee}"}} {count}'
                for (caller, callee), count in self._calls.items()
            ]
            return "\n".join(lines) + "\n"

    @contextmanager
    def serving(self) -> Iterator[Shop]:
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = shop.render().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        thread.start()
        self.address = f"127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join(10)
