"""The credentials file: whose token or certificate may do what, for which tenant."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bayesrca.errors import InvalidSettingsError
from bayesrca.service.caller import Caller, Scope
from bayesrca.service.configuration import suggest

_TOKEN_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEYS = ("sha256", "san", "tenant", "scopes", "expires")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One entry of the file.

    Attributes:
        caller: who shows it.
        digest: SHA-256 of the token; empty for a certificate.
        san: a subject alternative name of the certificate; empty for a token.
        expires: when it ends; None for never.
    """

    caller: Caller
    digest: bytes = b""
    san: str = ""
    expires: datetime | None = None

    def expired(self, now: datetime) -> bool:
        """Whether it has ended."""
        return self.expires is not None and now >= self.expires


@dataclass(frozen=True, slots=True)
class Credentials:
    """All entries of the file."""

    entries: tuple[Credential, ...]

    def by_token(self, token: str) -> Credential | None:
        """Return the entry of a token; None when there is none."""
        digest = hashlib.sha256(token.encode()).digest()
        found = None
        # To the end and without a look at where they differ: how long it takes tells nothing.
        for entry in self.entries:
            if entry.digest and hmac.compare_digest(entry.digest, digest):
                found = entry
        return found

    def by_names(self, names: Iterable[str]) -> Credential | None:
        """Return the one entry of a certificate with these names; None when not exactly one is."""
        wanted = {*names}
        found = [entry for entry in self.entries if entry.san and entry.san in wanted]
        return found[0] if len(found) == 1 else None

    @property
    def summary(self) -> str:
        """How many there are, for how many tenants."""
        tokens = sum(bool(entry.digest) for entry in self.entries)
        tenants = {entry.caller.tenant for entry in self.entries}
        certificates = len(self.entries) - tokens
        return f"{tokens} token(s), {certificates} certificate(s), {len(tenants)} tenant(s)"


def read_credentials(path: Path) -> Credentials:
    """Read a credentials file.

    Raises:
        InvalidSettingsError: it cannot be read or an entry will not do. No message repeats a value:
            it may be a token in the wrong place.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"cannot read the credentials {path}: {error.strerror}"
        raise InvalidSettingsError(msg, field="credentials_file") from error
    except ValueError as error:
        msg = f"the credentials {path} are no TOML in UTF-8"
        raise InvalidSettingsError(msg, field="credentials_file") from error
    entries = tuple(_entry(path, name, table) for name, table in document.items())
    for what, values in (
        ("sha256", [entry.digest for entry in entries if entry.digest]),
        ("san", [entry.san for entry in entries if entry.san]),
    ):
        if len({*values}) < len(values):
            raise _refusal(path, f"two entries have the same {what}")
    return Credentials(entries)


def new_token(
    subject: str, tenant: str, scopes: Iterable[Scope], expires: datetime | None
) -> tuple[str, str]:
    """Make a token.

    Returns:
        The token, which is nowhere stored, and its line of the credentials file.

    Raises:
        InvalidSettingsError: a name that will not do, or no scope.
    """
    token = f"brca_{secrets.token_urlsafe(_TOKEN_BYTES)}"
    digest = hashlib.sha256(token.encode()).hexdigest()
    words = ", ".join(f'"{scope}"' for scope in dict.fromkeys(scopes))
    ends = "" if expires is None else f", expires = {expires.isoformat(timespec='seconds')}"
    line = f'{subject} = {{ sha256 = "{digest}", tenant = "{tenant}", scopes = [{words}]{ends} }}'
    for what, name in (("subject", subject), ("tenant", tenant)):
        # A dot in a bare key would make it a table's.
        if not _NAME.fullmatch(name) or (what == "subject" and "." in name):
            msg = f"{what} must be made of letters, digits, - and _, got {name!r}"
            raise InvalidSettingsError(msg, field=what)
    if not words:
        msg = "a token without a scope may do nothing; give at least one"
        raise InvalidSettingsError(msg, field="scope")
    return token, line


def _entry(path: Path, name: str, table: object) -> Credential:
    if not isinstance(table, dict) or not _NAME.fullmatch(name):
        raise _refusal(path, "every entry is NAME = { ... }, NAME of letters, digits, -, _ and .")
    for key in table:
        if key not in _KEYS:
            raise _refusal(path, f"{name} has an unknown key {key!r}{suggest(key, _KEYS)}")
    digest, san = table.get("sha256", ""), table.get("san", "")
    if ("sha256" in table) == ("san" in table):
        raise _refusal(path, f"{name} needs either sha256, of a token, or san, of a certificate")
    if "sha256" in table and not (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
        raise _refusal(path, f"sha256 of {name} must be 64 lower-case hexadecimal digits")
    if "san" in table and not (isinstance(san, str) and san):
        raise _refusal(path, f"san of {name} must be a name of the certificate")
    tenant = table.get("tenant")
    if not (isinstance(tenant, str) and _NAME.fullmatch(tenant)):
        raise _refusal(path, f"{name} needs a tenant, of letters, digits, -, _ and .")
    expires = table.get("expires")
    if not (expires is None or (isinstance(expires, datetime) and expires.tzinfo)):
        raise _refusal(path, f"expires of {name} must be written like 2030-01-31T00:00:00Z")
    return Credential(
        caller=Caller(tenant=tenant, subject=name, scopes=_scopes(path, name, table)),
        digest=bytes.fromhex(digest),
        san=san,
        expires=None if expires is None else expires.astimezone(UTC),
    )


def _scopes(path: Path, name: str, table: Mapping[str, object]) -> frozenset[Scope]:
    words = table.get("scopes")
    if not (isinstance(words, list) and words and all(word in [*Scope] for word in words)):
        raise _refusal(path, f"scopes of {name} must be a list of {', '.join(Scope)}")
    return frozenset(Scope(word) for word in words)


def _refusal(path: Path, what: str) -> InvalidSettingsError:
    return InvalidSettingsError(f"the credentials {path}: {what}", field="credentials_file")
