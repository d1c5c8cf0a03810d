"""Where in the code a span ran or a log record was written, as far as the telemetry tells."""

from __future__ import annotations

import re

from bayesrca.incident.logs import LONGEST_TEXT
from bayesrca.ingest.intern import choose, combine, rename
from bayesrca.ingest.table_file import TableFile, Text

_NAMESPACE = ("codenamespace",)
_FUNCTION = ("codefunctionname", "codefunction")
_FILE = ("codefilepath", "codefilepathname", "codefile")
_LINE = ("codelinenumber", "codelineno")
_STATEMENT = ("dbquerytext", "dbstatement")

_LEVEL = re.compile(
    r"^.{0,80}?\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|SEVERE|FATAL|CRITICAL)\b"
)
# A logger writes the place right after the level: `Class#line`, `File.java:line`, `pkg/f.go:12`.
# Anywhere else in a body such a word may be an order number or an address.
_SOURCES = r"(?:java|kt|scala|groovy|go|py|rb|rs|js|ts|mjs|c|cc|cpp|h|hpp|cs|fs|php|ex|erl|swift)"
_PLACE = re.compile(
    r"[\s\]:|,-]{1,8}(?:\[[^\]]{0,80}\]\s+)?[(\[]?"
    rf"(?P<where>[A-Za-z_$/][\w$./<>-]{{0,200}}?(?:#|\.{_SOURCES}:))(?P<line>\d{{1,6}})\b"
)


def read_code(file: TableFile) -> Text:
    """Return the code region of each row by OpenTelemetry's attributes.

    A function (with its namespace) or else a file, with ``#`` and the line where that is known; or
    else the statement sent to a database.
    """
    function = combine(
        file.text(_NAMESPACE), file.text(_FUNCTION), lambda n, f: f"{n}.{f}" if n and f else f
    )
    where = choose([function, file.text(_FILE)])
    place = combine(where, file.text(_LINE), lambda w, n: f"{w}#{n}" if w and n else w)
    found = choose([file.text(("code",)), place, file.text(_STATEMENT)])
    return found if file.own is not None else rename(found, lambda text: text[:LONGEST_TEXT])


def find_place(body: str) -> tuple[str, str]:
    """Return the level and the code region that a logger wrote into the body, else nothing."""
    level = _LEVEL.match(body)
    if level is None:
        return "", ""
    place = _PLACE.match(body, level.end())
    return level[1], f"{place['where'][:-1]}#{place['line']}" if place else ""
