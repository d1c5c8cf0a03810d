"""The server's certificate and the authorities of its clients' ones."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import cast

import grpc

from bayesrca.errors import InvalidSettingsError
from bayesrca.service.options import ServiceOptions
from bayesrca.service.watched import Watched


def server_credentials(options: ServiceOptions) -> grpc.ServerCredentials | None:
    """Return what a secure port needs; None where TLS is off.

    The files are looked at whenever a client connects: a renewed certificate needs no restart.

    Raises:
        InvalidSettingsError: a file cannot be read, or they do not belong together.
    """
    chain, key, authorities = (
        options.tls_cert_file,
        options.tls_key_file,
        options.tls_client_ca_file,
    )
    if chain is None or key is None:
        return None
    paths = [path for path in (chain, key, authorities) if path is not None]
    files = Watched(paths, lambda: _read(chain, key, authorities))
    handed_out = files.current()

    def fetch() -> grpc.ServerCertificateConfiguration:
        nonlocal handed_out
        now = files.current()
        unchanged, handed_out = now is handed_out, now
        # None tells gRPC that what it has is still good, which its stubs do not know.
        return cast("grpc.ServerCertificateConfiguration", None if unchanged else now)

    return grpc.dynamic_ssl_server_credentials(
        handed_out, fetch, require_client_authentication=authorities is not None
    )


def _read(chain: Path, key: Path, authorities: Path | None) -> grpc.ServerCertificateConfiguration:
    # gRPC itself says nothing of why it does not like a file.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    roots = None
    try:
        content = key.read_bytes(), chain.read_bytes()
        context.load_cert_chain(chain, key, password=_no_password)
        if authorities is not None:
            roots = authorities.read_bytes()
            context.load_verify_locations(authorities)
    except OSError as error:  # `ssl.SSLError` is one
        files = ", ".join(str(path) for path in (chain, key, authorities) if path is not None)
        msg = f"no certificate, private key and authorities for TLS in {files}: {error}"
        raise InvalidSettingsError(msg, field="tls_cert_file") from error
    return grpc.ssl_server_certificate_configuration([content], root_certificates=roots)


def _no_password() -> str:
    # Without this OpenSSL would ask at the terminal.
    msg = "the private key is encrypted; TLS needs it in the clear, readable by this user only"
    raise InvalidSettingsError(msg, field="tls_key_file")
