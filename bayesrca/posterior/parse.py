"""The JSON form of an answer (docs/json.md) read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from math import isfinite, nan
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from bayesrca.errors import IncidentFormatError
from bayesrca.posterior.document import SCHEMA
from bayesrca.posterior.result import Answer, Probability, RootCausePosterior

_POSTERIOR = {"causes", "none", "sets", "ambiguity", "levels"}
"""Keys of the document that the domain keeps one level down."""
_YOUNGER = {"changes", "regions", "at_fault"}
"""Keys that the schema gained later: a document without them says nothing of them."""
_DEFINED = ("onsets", "interval_mass")
"""Parts of the document in which no number is ever undefined."""
_LARGEST_WHOLE = 1 << 1000
_WORDS = {str: "text", bool: "true or false", int: "a whole number", float: "a finite number"}


def parse_answer(document: object) -> Answer:
    """Return the answer that `answer_document` described.

    Exact but for diagnostics that are undefined: an infinite one is null in the document and comes
    back as NaN, or as None where None is legal, neither of which passes any check. Keys that are
    not known are passed over, for versions may add some.

    Args:
        document: parsed JSON.

    Raises:
        IncidentFormatError: it is no such document, or one of another schema; ``field`` is the
            path of the offending key.
    """
    if not isinstance(document, dict) or not isinstance(document.get("schema"), int):
        raise _error("", "is no answer; give what `bayesrca analyze --json` prints")
    if document["schema"] != SCHEMA:
        raise _error("schema", f"is {document['schema']}; this version reads {SCHEMA}")
    parts = {name: document[name] for name in _POSTERIOR if name in document}
    answer: Answer = _read(Answer, {**document, "posterior": parts}, "")
    if answer.method not in ("screen", "nuts"):
        raise _error("method", f"is {answer.method!r}; it must be screen or nuts")
    if not answer.posterior.causes:
        raise _error("causes", "is empty; an answer ranks every component")
    return answer


def _read(kind: Any, value: object, path: str) -> Any:
    """Return a JSON value as the type a field of the domain declares."""
    if get_origin(kind) is UnionType:
        if value is None:
            return None
        (kind,) = (k for k in get_args(kind) if k is not NoneType)
    if get_origin(kind) is tuple:
        return _read_tuple(get_args(kind), value, path)
    if get_origin(kind) is Mapping:
        return _read_mapping(get_args(kind)[1], _object(value, path), path)
    if kind is Probability:
        return _read_probability(value, path)
    if is_dataclass(kind):
        return _read_object(kind, _object(value, path), path)
    return _read_plain(kind, value, path)


def _read_mapping(kind: Any, value: dict[str, Any], path: str) -> dict[str, Any]:
    """Read entries by name; only a diagnostic may be undefined, and none stands in a mapping."""
    for name, entry in value.items():
        if entry is None:
            raise _error(f"{path}.{name}", f"must be {_WORDS[kind]}, got null")
    return {name: _read(kind, entry, f"{path}.{name}") for name, entry in value.items()}


def _object(value: object, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _error(path, f"must be an object, got {_shorten(value)}")
    return value


def _read_object(kind: Any, value: dict[str, Any], path: str) -> Any:
    found = {}
    for name, inner in _types(kind).items():
        if inner is Probability and name == "probability":
            found[name] = _read_probability(value, path)
            continue
        at = name if path == "" or kind is RootCausePosterior else f"{path}.{name}"
        if name not in value:
            if name in _YOUNGER:
                continue
            raise _error(at, "is missing")
        found[name] = _read(inner, value[name], at)
    return kind(**found)


def _read_probability(value: object, path: str) -> Probability:
    """Read the three keys of a probability, which stand beside others in a cause."""
    if not isinstance(value, dict) or not {"probability", "mcse", "interval"} <= set(value):
        raise _error(path, f"must hold probability, mcse and interval, got {_shorten(value)}")
    numbers = _read(tuple[float, float], value["interval"], f"{path}.interval")
    p = _read_plain(float, value["probability"], f"{path}.probability")
    mcse = _read_plain(float, value["mcse"], f"{path}.mcse")
    if not (0.0 <= p <= 1.0 and mcse >= 0.0 and 0.0 <= numbers[0] <= numbers[1] <= 1.0):
        raise _error(path, f"holds numbers that are no probability: {_shorten(value)}")
    return Probability(value=p, mcse=mcse, interval=numbers)


def _read_tuple(kinds: tuple[Any, ...], value: object, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _error(path, f"must be an array, got {_shorten(value)}")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise _error(path, f"must hold {len(kinds)} entries, got {len(value)}")
    return tuple(
        _read(k, v, f"{path}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True))
    )


def _read_plain(kind: type[Any], value: object, path: str) -> Any:
    """Return text, a truth value or a number; null for a number is NaN: it is undefined."""
    # A bool is an int in Python, but not in JSON; a whole number is a float there.
    if kind is float and type(value) is int and abs(value) <= _LARGEST_WHOLE:
        return float(value)
    if kind is float and value is None and not path.startswith(_DEFINED):
        return nan
    if type(value) is not kind or (isinstance(value, float) and not isfinite(value)):
        raise _error(path, f"must be {_WORDS[kind]}, got {_shorten(value)}")
    return value


@cache
def _types(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind)}


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _error(path: str, what: str) -> IncidentFormatError:
    return IncidentFormatError(f"{path or 'the document'} {what}", field=path)
