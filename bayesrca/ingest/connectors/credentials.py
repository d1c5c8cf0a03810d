"""What is shown to a source of telemetry: from the environment or from files, never from a flag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bayesrca.errors import InvalidSettingsError

PREFIX = "BAYESRCA_"
_HIDDEN = "[hidden]"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Headers that are sent to a source and shown to nobody.

    Attributes:
        headers: by name; their values are secrets.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def redact(self, text: str) -> str:
        """Return the text without the secrets, should the server have repeated one."""
        for value in self.headers.values():
            for secret in {value, value.rpartition(" ")[2]}:
                if len(secret) >= 4:
                    text = text.replace(secret, _HIDDEN)
        return text


def read_credentials(
    source: str, environment: Mapping[str, str], *, keys: Mapping[str, str] | None = None
) -> Credentials:
    """Read what to show to a source.

    ``BAYESRCA_<SOURCE>_TOKEN``, or the file that ``BAYESRCA_<SOURCE>_TOKEN_FILE`` names, is a
    bearer token; the file that ``BAYESRCA_<SOURCE>_HEADERS_FILE`` names holds one ``Name: value`` a
    line.

    Args:
        source: the source's name, e.g. ``prometheus``.
        environment: variables.
        keys: further headers by the variables that hold them.

    Raises:
        InvalidSettingsError: a file cannot be read, or a line of it is no header. No message
            repeats a value.
    """
    prefix = f"{PREFIX}{source.upper()}_"
    headers: dict[str, str] = {}
    token = _from_file(environment, f"{prefix}TOKEN_FILE") or environment.get(f"{prefix}TOKEN", "")
    if token.strip():
        headers["Authorization"] = f"Bearer {token.strip()}"
    for header, variable in (keys or {}).items():
        value = _from_file(environment, f"{variable}_FILE") or environment.get(variable, "")
        if value.strip():
            headers[header] = value.strip()
    variable = f"{prefix}HEADERS_FILE"
    for number, line in enumerate(_from_file(environment, variable).splitlines(), start=1):
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not (colon and name.strip() and value.strip()):
            msg = f"line {number} of the file that {variable} names must be written `Name: value`"
            raise InvalidSettingsError(msg, field=variable)
        headers[name.strip()] = value.strip()
    for name, value in headers.items():
        if not (name.isascii() and value.isascii() and value.isprintable()):
            msg = f"the credentials of {source} hold a character that no header can carry"
            raise InvalidSettingsError(msg, field=prefix + "*")
    return Credentials(headers)


def read_authorities(environment: Mapping[str, str]) -> bytes | None:
    """Return the authorities that ``SSL_CERT_FILE`` names, in PEM; None unless it is set.

    Raises:
        InvalidSettingsError: the file cannot be read.
    """
    return _from_file(environment, "SSL_CERT_FILE").encode() or None


def _from_file(environment: Mapping[str, str], variable: str) -> str:
    path = environment.get(variable)
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        msg = f"cannot read the file that {variable} names ({reason})"
        raise InvalidSettingsError(msg, field=variable) from None
