"""The stable JSON form, the page that documents it, and what the terminal shows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import pytest
from rich.console import Console

from bayesrca.cli_output import check_plot_file
from bayesrca.errors import InvalidSettingsError
from bayesrca.evaluation.outcome import DataSetResult, NormalOutcome
from bayesrca.evaluation.plot import plot_reliability
from bayesrca.evaluation.run import Results
from bayesrca.evaluation.summary import backtest_document
from bayesrca.evaluation.table import render
from tests.integration.kit import ROOT
from tests.unit.evaluation.kit import make_outcome, make_prediction

OUTCOMES = (
    make_outcome([0.9, 0.05, 0.02], ["c0"], none=0.03, case="a"),
    make_outcome([0.2, 0.7], ["c0", "c1"], none=0.1, case="b", fault="dead"),
    make_outcome([0.2, 0.7], ["c1"], none=0.1, case="c", fault=None, healthy=False),
    make_outcome(None, ["c0"], case="d [bold]"),
)
NORMAL = (
    NormalOutcome(case="a", prediction=make_prediction([0.85, 0.1])),
    NormalOutcome(case="a", prediction=make_prediction([0.5, 0.1])),
    NormalOutcome(case="b", prediction=None, reason="no series"),
)
RESULT = DataSetResult(
    name="shop", outcomes=OUTCOMES, unlabelled=(("e", "names no root cause"),), normal=NORMAL
)
SCORES = [
    "n",
    "top1",
    "top3",
    "top5",
    "mrr",
    "map3",
    "log_score",
    "set_log_score",
    "brier",
    "ece",
    "gates",
]


def parsed(result: DataSetResult = RESULT) -> dict[str, object]:
    text = json.dumps(backtest_document([result]), allow_nan=False)
    document = json.loads(text)
    assert list(document) == ["datasets"]
    found: dict[str, object] = document["datasets"]["shop"]
    return found


def test_the_keys_are_a_contract() -> None:
    found = parsed()
    more = ["no_incident", "converged", "cpu_seconds_per_case", "by_fault", "failures", "cases"]
    assert list(found) == [*SCORES, *more]
    assert isinstance(found["by_fault"], Mapping)
    assert list(found["by_fault"]) == ["dead", "slow", "unknown"]
    for scores in found["by_fault"].values():
        assert list(scores) == [*SCORES, "converged", "cpu_seconds_per_case"]
        assert list(scores["gates"]) == ["0.8", "0.9", "0.95"]
        assert list(scores["gates"]["0.9"]) == ["coverage", "precision", "n", "interval"]


def test_values() -> None:
    found = parsed()
    assert found["n"] == 4
    assert found["top1"] == 0.75
    assert found["converged"] == 0.5
    assert found["cpu_seconds_per_case"] == 0.5
    assert found["no_incident"] == {"fired": 1, "n": 2, "failed": 1}
    assert found["failures"] == [
        {"case": "d [bold]", "reason": "no series"},
        {"case": "e", "reason": "names no root cause"},
    ]
    assert isinstance(found["gates"], Mapping)
    assert found["gates"]["0.8"] == {
        "coverage": 0.25, "precision": 1.0, "n": 1, "interval": None,
    }  # fmt: skip
    assert isinstance(found["cases"], list)
    assert found["cases"][1] == {
        "case": "b",
        "truth": ["c0", "c1"],
        "ranking": [["c1", 0.7], ["c0", 0.2]],
        "none": 0.1,
        "healthy": True,
    }


def test_nothing_to_score_is_null_and_never_nan() -> None:
    empty = parsed(DataSetResult(name="shop", outcomes=()))
    assert empty["n"] == 0
    assert empty["top1"] is empty["brier"] is empty["no_incident"] is None
    failed = parsed(DataSetResult(name="shop", outcomes=OUTCOMES[3:]))
    assert failed["top1"] == failed["mrr"] == 0.0
    assert failed["brier"] is failed["ece"] is None


def test_the_page_documents_every_key() -> None:
    page = (ROOT / "docs" / "backtest.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    shown = json.loads(example)["datasets"]["examples"]
    found = parsed()
    assert list(shown) == list(found)
    assert list(shown["cases"][0]) == list(found["cases"][0])  # type: ignore[index]
    for key in found:
        assert f"`{key}`" in page


def shown(results: Results) -> str:
    console = Console(width=160, record=True, file=None, force_terminal=False)
    with console.capture() as text:
        console.print(render(results))
    return text.get()


def test_the_terminal_shows_all_of_it() -> None:
    text = shown(Results(data_sets=(RESULT,), done=7, planned=7))
    assert "shop" in text
    assert "  dead" in text
    assert "1/1" in text
    assert "n.e." in text
    assert "No incident, shop: 1/2 normal windows fire at 0.8; 1 could not be analysed." in text
    assert "shop: d [bold]: failed, counted as a miss: no series" in text
    assert "shop: e: left out: names no root cause" in text
    assert "STOPPED" not in text


def test_a_stopped_run_says_so() -> None:
    text = shown(Results(data_sets=(RESULT,), done=7, planned=9, stopped="interrupted"))
    assert text.startswith("STOPPED (interrupted): 7 of 9 analyses.")


def test_alike_failures_share_a_line() -> None:
    outcomes = tuple(make_outcome(None, ["c0"], case=f"case{i}") for i in range(9))
    result = DataSetResult(name="shop", outcomes=outcomes)
    text = shown(Results(data_sets=(result,), done=9, planned=9))
    assert "shop: case0, case1, case2 and 6 more: failed" in text


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF")])
def test_the_reliability_diagram(suffix: str, magic: bytes) -> None:
    pytest.importorskip("matplotlib")
    nothing = DataSetResult(name="nothing", outcomes=())
    assert plot_reliability([RESULT, nothing], suffix).startswith(magic)
    assert plot_reliability([nothing], suffix).startswith(magic)


def test_a_plot_of_no_known_format() -> None:
    from pathlib import Path

    check_plot_file(Path("x.SVG"))
    with pytest.raises(InvalidSettingsError, match=r"\.pdf, \.png, \.svg"):
        check_plot_file(Path("x.txt"))
