"""``bayesrca decide``: whether a runbook may act on an answer."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from bayesrca.cli_output import OutputError, check_file, say, show
from bayesrca.errors import IncidentFormatError, InvalidSettingsError

if TYPE_CHECKING:
    from bayesrca.posterior.result import Answer

EXIT_REVIEW, EXIT_HOLD = 6, 7


def decide(
    answer: Annotated[
        Path, typer.Argument(metavar="ANSWER", help="What `bayesrca analyze --json` printed.")
    ],
    *,
    policy: Annotated[Path, typer.Option(help="Policy file (docs/runbook-gates.md).")],
    log: Annotated[
        Path | None,
        typer.Option(
            help="File of decisions: earlier runs are read from it, this decision is added. "
            "Without it no policy runs, for every policy limits its rate.",
            dir_okay=False,
        ),
    ] = None,
    kill_switch: Annotated[
        Path | None, typer.Option(help="Hold while a file of this name exists.")
    ] = None,
    analyzed_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="When the analysis was made, in ISO 8601 with a UTC offset, or in seconds of "
            "Unix time. [default: when ANSWER was last written]",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON (docs/runbook-gates.md).")
    ] = False,
) -> None:
    """Decide whether a runbook may act on an answer: RUN, REVIEW or HOLD, with the reasons.

    Exit codes: 0 RUN, 6 REVIEW, 7 HOLD; others mean that nothing was decided, so do not act.
    """
    if log is not None:
        check_file(log, "log")
    if kill_switch is not None and not kill_switch.parent.is_dir():
        msg = f"{kill_switch}: its folder does not exist; a switch there could not be seen"
        raise InvalidSettingsError(msg, field="kill_switch")
    # Late, to keep --help fast.
    from bayesrca.decision import Verdict, decision_document, load_policy  # noqa: PLC0415
    from bayesrca.decision import decide as run  # noqa: PLC0415

    rules = load_policy(policy)
    read, written = _read_answer(answer)
    with _history(log, rules.runbook) as (history, record):
        decision = run(
            read,
            rules,
            now=time.time(),
            analyzed_at=written if analyzed_at is None else _read_time(analyzed_at),
            history=history,
            kill_switch=kill_switch is not None and _is_there(kill_switch),
        )
        # Before it is told: a run that cannot be counted is not allowed.
        record(decision_document(decision))
    if as_json:
        say(json.dumps(decision_document(decision), indent=2, allow_nan=False) + "\n")
    else:
        from bayesrca.report.decision import render_decision  # noqa: PLC0415

        show(render_decision(decision))
    codes = {Verdict.REVIEW: EXIT_REVIEW, Verdict.HOLD: EXIT_HOLD}
    if decision.verdict in codes:
        raise typer.Exit(codes[decision.verdict])


def _read_answer(path: Path) -> tuple[Answer, float]:
    """Return an answer and when its file was last written, in seconds of Unix time."""
    from bayesrca.posterior.parse import parse_answer  # noqa: PLC0415

    try:
        with path.open("rb") as file:
            written = os.fstat(file.fileno()).st_mtime
            return parse_answer(json.load(file)), written
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}); check the file and its permissions"
        raise IncidentFormatError(msg, field="answer") from None
    except IncidentFormatError as error:
        raise IncidentFormatError(f"{path}: {error}", field=error.field) from None
    except (ValueError, RecursionError) as error:
        msg = f"{path}: is not JSON ({error}); give what `bayesrca analyze --json` prints"
        raise IncidentFormatError(msg, field="answer") from None


def _is_there(path: Path) -> bool:
    """Whether there is a file, or it cannot be told."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _read_time(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        msg = f"{text!r} is no time: give ISO 8601 with an offset, as 2026-03-02T10:00:00Z"
        raise InvalidSettingsError(msg, field="analyzed_at")
    return moment.timestamp()


@contextmanager
def _history(
    path: Path | None, runbook: str
) -> Iterator[tuple[list[float] | None, Callable[[dict[str, Any]], None]]]:
    """Yield when the runbook ran, and what records a decision; no other process is between.

    Raises:
        IncidentFormatError: a line of the log is no decision.
        OutputError: it cannot be read or written.
    """
    if path is None:
        yield None, lambda _document: None
        return
    try:
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            runs = [t for i, line in enumerate(file) for t in _run_of(path, i, line, runbook)]
            yield runs, lambda document: _append(file, document)
    except OSError as error:
        msg = f"cannot record the decision in {path}: {error.strerror or error}"
        raise OutputError(msg) from error


def _run_of(path: Path, i: int, line: bytes, runbook: str) -> list[float]:
    """Return when a decision let the runbook run; nothing where it did not."""
    try:
        entry = json.loads(line if line.endswith(b"\n") else b"")  # it was cut short
        if entry["runbook"] != runbook or entry["verdict"] != "run":
            return []
        return [float(entry["now"])]
    except (ValueError, TypeError, KeyError, OverflowError):
        msg = f"{path}: line {i + 1} is no decision; mend it, or begin another log"
        raise IncidentFormatError(msg, field="log") from None


def _append(file: BinaryIO, document: dict[str, Any]) -> None:
    file.write(json.dumps(document, allow_nan=False).encode() + b"\n")
    file.flush()
    os.fsync(file.fileno())
