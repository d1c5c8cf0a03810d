"""`bayesrca topology` in this process: options, exit codes, files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bayesrca.cli import main

Call = Callable[..., tuple[object, str, str]]
EXAMPLE = Path(__file__).parents[2] / "examples" / "search_delay"


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["bayesrca", "topology", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return stop.value.code or 0, said.out, said.err

    return run


def test_the_table_has_every_edge(call: Call) -> None:
    code, out, err = call(EXAMPLE)
    assert (code, err) == (0, "")
    graph = json.loads((EXAMPLE / "graph.json").read_text())
    edges = {f"{second} -> {first}" for first, second in graph["edges"]}
    shown = {line.split("  ")[0] for line in out.splitlines() if " -> " in line}
    assert shown == edges
    assert "0.900" in out


def test_json_and_a_picture(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "map.svg"
    code, out, _ = call(EXAMPLE, "--json", "--plot", file)
    assert code == 0
    assert all(e["confidence"] == pytest.approx(0.9) for e in json.loads(out)["edges"])
    assert file.read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((EXAMPLE, "--plot", "map.txt"), 2, "its name must end with .pdf, .png, .svg"),
        ((EXAMPLE, "--plot", "/nowhere/map.svg"), 2, "the folder /nowhere does not exist"),
        (("/nowhere",), 4, "does not exist; give the folder of one incident"),
    ],
)
def test_what_cannot_be_done(
    call: Call, arguments: tuple[object, ...], code: int, said: str
) -> None:
    stopped, out, err = call(*arguments)
    assert (stopped, out) == (code, "")
    assert said in err
