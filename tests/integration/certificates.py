"""Certificates for tests of TLS, made by OpenSSL's command."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    cert: Path
    key: Path


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        found = shutil.which("openssl")
        if found is None:
            pytest.skip("the openssl command is not installed")
        self._openssl = found
        self._folder = folder
        self._pair = Pair(folder / f"{name}.pem", folder / f"{name}.key")
        self._run("req", "-x509", *self._new(self._pair, name), "-days", "2")
        self.cert = self._pair.cert

    def issue(self, name: str, san: str) -> Pair:
        """Make a certificate for one subject alternative name, e.g. ``IP:127.0.0.1``."""
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, extra = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        extra.write_text(f"subjectAltName={san}\n", encoding="utf-8")
        self._run("req", *self._new(Pair(request, pair.key), name))
        self._run(
            "x509", "-req", "-in", request, "-CA", self._pair.cert, "-CAkey", self._pair.key,
            "-CAcreateserial", "-extfile", extra, "-days", "2", "-out", pair.cert,
        )  # fmt: skip
        return pair

    def channel(self, address: str, own: Pair | None = None) -> grpc.Channel:
        """A channel that trusts this authority, and shows a certificate if there is one."""
        credentials = grpc.ssl_channel_credentials(
            self.cert.read_bytes(),
            None if own is None else own.key.read_bytes(),
            None if own is None else own.cert.read_bytes(),
        )
        return grpc.secure_channel(address, credentials, options=[("grpc.enable_retries", 0)])

    def _new(self, pair: Pair, name: str) -> list[object]:
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        return [*key, "-keyout", pair.key, "-subj", f"/CN={name}", "-out", pair.cert]

    def _run(self, *arguments: object) -> None:
        command = [self._openssl, *map(str, arguments)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
