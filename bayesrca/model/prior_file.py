"""Learned priors of theta as files: JSON, versioned, and signed by the hash of their content.

The hash tells a file that was changed or cut short from one that `bayesrca learn` wrote. It is no
proof of who wrote it. docs/learning.md describes the format.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesrca.alert_law import AlertLabel, AlertLaw
from bayesrca.config import LearnedPrior, Settings
from bayesrca.errors import InvalidSettingsError
from bayesrca.evidence.alert_features import count_alert_features
from bayesrca.model.parameters import PRIORS, TRANSFORMS, unconstrained_prior

Floats = NDArray[np.float64]

FORMAT = "bayesrca-prior"
VERSION = 1
_AGAIN = "learn it again with this version (bayesrca learn)"


def prior_in_use(settings: Settings) -> tuple[Floats, Floats]:
    """Means and standard deviations, [p] each, of the prior an analysis uses."""
    if settings.prior is None:
        return unconstrained_prior()
    return np.array(settings.prior.mean), np.array(settings.prior.sd)


def describe_parameters(mean: Floats, sd: Floats) -> dict[str, dict[str, Any]]:
    """Return the parameters [p] as the file names them, one entry for each of `PRIORS`."""
    out: dict[str, dict[str, Any]] = {}
    start = 0
    for name, prior in PRIORS.items():
        end = start + len(prior.centre)
        out[name] = {
            "transform": TRANSFORMS[name],
            "mean": [float(x) for x in mean[start:end]],
            "sd": [float(x) for x in sd[start:end]],
        }
        start = end
    return out


def describe_alerts(law: AlertLaw) -> dict[str, Any]:
    """Return a law of alerts as the file holds it."""
    return {
        "labels": [list(label) for label in law.labels],
        "details": [[*label, count] for label, count in law.details.items()],
        "incidents": law.incidents,
        "kinds": list(law.kinds),
        "bias": list(law.bias),
        "weight": [list(row) for row in law.weight],
    }


def encode_prior(content: Mapping[str, Any]) -> bytes:
    """Return a prior file's bytes.

    Args:
        content: everything but ``format``, ``version`` and ``sha256``: ``parameters`` as
            `describe_parameters` gives them, ``gamma`` and ``provenance``, without NaN;
            ``alerts`` as `describe_alerts` gives it, where alerts were learned from.
    """
    document = {"format": FORMAT, "version": VERSION, **content}
    document["sha256"] = _hash(document)
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def load_prior(path: Path) -> LearnedPrior:
    """Read a prior file.

    Raises:
        InvalidSettingsError: it cannot be read, is not a prior file or one of another version, was
            changed since it was written, or does not fit the parameters of this version.
    """
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise _error(path, f"cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise _error(path, f"is not JSON; give a file that {_LEARN} wrote") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _error(path, f"is not a prior file; give one that {_LEARN} wrote")
    if document.get("version") != VERSION:
        found = document.get("version")
        raise _error(path, f"has version {found!r} and this one reads {VERSION}; {_AGAIN}")
    if document.get("sha256") != _hash(document):
        raise _error(path, "was changed after it was written: its hash does not match; " + _AGAIN)
    try:
        mean, sd = _parameters(document["parameters"])
        return LearnedPrior(
            name=path.name,
            sha256=document["sha256"],
            mean=mean,
            sd=sd,
            gamma=_number(document["gamma"]["value"], "gamma", low=0.0, high=1.0),
            incidents=_count(document["provenance"]["incidents"], "provenance.incidents"),
            groups=_count(document["provenance"]["groups"], "provenance.groups"),
            alerts=_alerts(document["alerts"]) if "alerts" in document else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _error(path, f"holds no complete prior ({error}); {_AGAIN}") from None


_LEARN = "`bayesrca learn`"


def _parameters(found: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    unknown = [name for name in found if name not in PRIORS]
    if unknown:
        msg = f"parameter {unknown[0]!r} is not known"
        raise ValueError(msg)
    mean: list[float] = []
    sd: list[float] = []
    for name, prior in PRIORS.items():
        if name not in found:
            msg = f"parameter {name!r} is missing"
            raise ValueError(msg)
        entry = found[name]
        if entry["transform"] != TRANSFORMS[name] or not (
            len(entry["mean"]) == len(entry["sd"]) == len(prior.centre)
        ):
            msg = f"parameter {name!r} has another form"
            raise ValueError(msg)
        mean += [_number(x, name) for x in entry["mean"]]
        sd += [_number(x, name, low=0.0) for x in entry["sd"]]
    return tuple(mean), tuple(sd)


def _alerts(found: Mapping[str, Any]) -> AlertLaw:
    kinds = tuple(_text(kind, "a kind of fault") for kind in found["kinds"])
    rows = tuple(tuple(_number(x, "a weight") for x in row) for row in found["weight"])
    bias = tuple(_number(x, "a bias") for x in found["bias"])
    labels = tuple(_label(label) for label in found["labels"])
    if not kinds or len(rows) != len(kinds) or len(bias) != len(kinds):
        msg = "alerts have a row of weights and a bias for each kind of fault"
        raise ValueError(msg)
    if {len(row) for row in rows} != {count_alert_features(labels)}:
        msg = "alerts have another number of weights than their labels ask for"
        raise ValueError(msg)
    return AlertLaw(
        labels=labels,
        details={_label(words): _count(count, "a count") for *words, count in found["details"]},
        incidents=_count(found["incidents"], "incidents"),
        kinds=kinds,
        bias=bias,
        weight=rows,
    )


def _label(words: Sequence[object]) -> AlertLabel:
    place, name, change = (_text(word, "a label") for word in words)
    return place, name, change


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        msg = f"{name} is {value!r}"
        raise TypeError(msg)
    return value


def _number(value: object, name: str, *, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a finite number in (low, high]."""
    number = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            number = float(value)
    if not (math.isfinite(number) and low < number <= high):
        msg = f"{name} is {value!r:.40}"
        raise ValueError(msg)
    return number


def _count(value: object, name: str) -> int:
    if type(value) is not int or value < 0:
        msg = f"{name} is {value!r:.40}"
        raise ValueError(msg)
    return value


def _hash(document: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of everything but the hash itself."""
    rest = {key: value for key, value in document.items() if key != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode()).hexdigest()


def _error(path: Path, what: str) -> InvalidSettingsError:
    return InvalidSettingsError(f"the prior file {path} {what}", field="prior")
