"""gaps.json: what was asked of the sources of an incident, what came, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bayesrca.ingest._files import expect_list, expect_object, expect_text, read_json
from bayesrca.ingest.connectors.interface import Asked

FILE_NAME = "gaps.json"


def read_notes(path: Path) -> tuple[str, ...]:
    """Return the sentences an answer has to repeat; no file, none.

    Raises:
        IncidentFormatError: the file is not JSON, or holds no ``notes`` of text.
    """
    content = read_json(path)
    if content is None:
        return ()
    notes = expect_list(path, expect_object(path, content).get("notes"), "notes")
    return tuple(dict.fromkeys(expect_text(path, n, f"notes[{i}]") for i, n in enumerate(notes)))


def gaps_to_json(notes: Sequence[str], asked: Sequence[Asked]) -> dict[str, Any]:
    """Return the content of the file: the notes, and every question with what became of it."""
    return {"notes": list(notes), "asked": [asdict(line) for line in asked]}
