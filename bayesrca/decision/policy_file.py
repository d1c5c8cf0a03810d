"""Policies as TOML files and plain documents (docs/runbook-gates.md)."""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from bayesrca.decision.policy import (
    ExplainedShareRule,
    HealthRule,
    LossTable,
    Policy,
    RateLimit,
    Scope,
    Thresholds,
)
from bayesrca.errors import InvalidSettingsError

_TABLES: dict[str, type[Any]] = {
    "scope": Scope,
    "loss": LossTable,
    "rate_limit": RateLimit,
    "thresholds": Thresholds,
    "explained_share": ExplainedShareRule,
    "health": HealthRule,
}


def load_policy(path: str | Path) -> Policy:
    """Read a policy file.

    Raises:
        InvalidSettingsError: it cannot be read, is not TOML or holds no policy; the message names
            the file and the key.
    """
    path = Path(path)
    try:
        return parse_policy(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}); check the file and its permissions"
        raise InvalidSettingsError(msg, field="policy") from None
    except InvalidSettingsError as error:
        raise InvalidSettingsError(f"{path}: {error}", field=error.field) from None
    except (ValueError, RecursionError) as error:
        raise InvalidSettingsError(f"{path}: is not TOML ({error})", field="policy") from None


def parse_policy(document: object) -> Policy:
    """Return the policy that a document in the form of `policy_document` describes.

    Keys with a default may be absent.

    Raises:
        InvalidSettingsError: a key is unknown or missing, or its value outside its range; ``field``
            is its path.
    """
    top = _arguments(Policy, document, "")
    for name, table in _TABLES.items():
        if name in top:
            top[name] = table(**_arguments(table, top[name], name))
    return Policy(**top)


def _arguments(kind: type[Any], table: object, path: str) -> dict[str, Any]:
    """Return a table's entries; refuse those the class has no field for, and gaps."""
    if not isinstance(table, dict):
        msg = f"the policy's {path or 'document'} must be a table, got {table!r}"
        raise InvalidSettingsError(msg, field=path)
    known = {f.name: f for f in fields(kind)}
    prefix = f"{path}." if path else ""
    for key in table:
        if key not in known:
            near = get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            msg = f"the policy has no key {prefix}{key}; {hint}"
            raise InvalidSettingsError(msg, field=f"{prefix}{key}")
    for name, f in known.items():
        if name not in table and f.default is MISSING and f.default_factory is MISSING:
            msg = f"the policy lacks {prefix}{name}"
            raise InvalidSettingsError(msg, field=f"{prefix}{name}")
    return dict(table)
