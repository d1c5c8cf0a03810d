"""Options from defaults, a TOML file, the environment and flags, each with where it was set."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

from bayesrca.errors import InvalidSettingsError
from bayesrca.service.options import ServiceOptions

PREFIX = "BAYESRCA_SERVE_"
"""Of the variables that set options. Not ``BAYESRCA_`` alone: Kubernetes sets ``BAYESRCA_PORT``, an
address, in every container beside a Service called bayesrca."""
FILE_VARIABLE = f"{PREFIX}CONFIG"
DEFAULT = "default"

_WORDS = {"true": True, "yes": True, "on": True, "1": True}
_WORDS |= {"false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True, slots=True)
class Configuration:
    """Options, and where each of them was set.

    Attributes:
        options: the options.
        sources: by option: ``default``, the file's path, the variable's or the flag's name.
    """

    options: ServiceOptions
    sources: Mapping[str, str]

    @property
    def summary(self) -> str:
        """Where it came from, in a few words."""
        sources = sorted({source for source in self.sources.values() if source != DEFAULT})
        return ", ".join(sources) or "defaults"

    def to_toml(self) -> str:
        """Return every option with its source as a file that can be read back; no secrets in it."""
        values = {name: getattr(self.options, name) for name in self.sources}
        return "".join(
            f"# {name} is not set\n"
            if value is None
            else f"{name} = {_to_toml(value)}  # {self.sources[name]}\n"
            for name, value in values.items()
        )


def configure(
    flags: Mapping[str, object], environment: Mapping[str, str], file: Path | None = None
) -> Configuration:
    """Put the options together: defaults < file < environment < flags.

    Args:
        flags: options by name; None stands for a flag that was not given.
        environment: variables; those that begin with ``BAYESRCA_SERVE_`` set options.
        file: TOML file of options, top-level keys only; None for the one that
            ``BAYESRCA_SERVE_CONFIG`` names, if it is set. Relative paths in it start at its folder.

    Raises:
        InvalidSettingsError: an unknown name, a value of another type or out of its range, or a
            file that cannot be read; ``field`` is the option.
    """
    if file is None and environment.get(FILE_VARIABLE):
        file = Path(environment[FILE_VARIABLE])
    values: dict[str, object] = {}
    sources = dict.fromkeys(kinds(), DEFAULT)
    layers = (
        *(() if file is None else (_from_file(file),)),
        _from_environment(environment),
        {name: (given, _flag(name, given)) for name, given in flags.items() if given is not None},
    )
    for layer in layers:
        for name, (value, source) in layer.items():
            values[name], sources[name] = value, source
    try:
        options = ServiceOptions(**values)  # type: ignore[arg-type]  # each was read as its type
    except InvalidSettingsError as error:
        source = sources.get(error.field, DEFAULT)
        if source == DEFAULT:
            raise
        msg = f"{error}; it comes from {source}"
        raise InvalidSettingsError(msg, field=error.field) from error
    return Configuration(options, {name: sources[name] for name in _shown(sources)})


def kinds() -> Mapping[str, type]:
    """Return each option's type; an optional one's is that of its value."""
    hints = get_type_hints(ServiceOptions)
    found = {}
    for option in fields(ServiceOptions):
        hint = hints[option.name]
        if isinstance(hint, UnionType):
            (hint,) = (kind for kind in get_args(hint) if kind is not type(None))
        found[option.name] = hint
    return found


def dashed(name: str) -> str:
    """Return an option's name as flags are written."""
    return name.replace("_", "-")


def _flag(name: str, value: object) -> str:
    return f"--{'no-' if value is False else ''}{dashed(name)}"


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean ...?``, or nothing where no known word is like it."""
    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return f"; did you mean {by_folded[close[0]]!r}?" if close else ""


_Layer = Mapping[str, tuple[object, str]]


def _shown(sources: Mapping[str, str]) -> list[str]:
    hidden = {option.name for option in fields(ServiceOptions) if option.metadata["hidden"]}
    return [name for name in sources if name not in hidden or sources[name] != DEFAULT]


def _from_file(path: Path) -> _Layer:
    known = kinds()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        msg = f"cannot read the configuration {path}: {reason}"
        raise InvalidSettingsError(msg, field="config") from error
    layer = {}
    for name, value in document.items():
        if name not in known:
            msg = f"unknown key {name!r} in {path}{suggest(name, known)}"
            raise InvalidSettingsError(msg, field=name)
        layer[name] = (_from_toml(name, known[name], value, path), str(path))
    return layer


def _from_toml(name: str, kind: type, value: object, path: Path) -> object:
    if kind is float and type(value) is int:
        return float(value)
    if kind in (bool, int, float, str) and type(value) is kind:
        return value
    if kind is Path and isinstance(value, str):
        return path.parent / value
    if issubclass(kind, StrEnum) and isinstance(value, str):
        return _from_text(name, kind, value, f"{path}: {name}")
    msg = f"{path}: {name} must be {_NAMES[_plain(kind)]}, got {json.dumps(value, default=str)}"
    raise InvalidSettingsError(msg, field=name)


def _from_environment(environment: Mapping[str, str]) -> _Layer:
    known = {PREFIX + name.upper(): (name, kind) for name, kind in kinds().items()}
    layer = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable == FILE_VARIABLE:
            continue
        if variable not in known:
            msg = f"unknown variable {variable}{suggest(variable, known)}"
            raise InvalidSettingsError(msg, field=variable)
        name, kind = known[variable]
        layer[name] = (_from_text(name, kind, text, variable), variable)
    return layer


def _from_text(name: str, kind: type, text: str, where: str) -> object:
    read: Callable[[str], Any] = _boolean if kind is bool else kind
    try:
        return read(text)
    except ValueError as error:
        wanted = _NAMES[_plain(kind)]
        if issubclass(kind, StrEnum):
            wanted = f"one of {', '.join(kind)}"
        msg = f"{where} must be {wanted}, got {text!r}"
        raise InvalidSettingsError(msg, field=name) from error


def _boolean(text: str) -> bool:
    try:
        return _WORDS[text.strip().lower()]
    except KeyError as error:
        raise ValueError(text) from error


def _plain(kind: type) -> type:
    return str if issubclass(kind, str | Path) else kind


_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _to_toml(value: object) -> str:
    if isinstance(value, str | Path):
        # JSON's strings are TOML's, but for the one control character that JSON leaves as it is.
        return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
