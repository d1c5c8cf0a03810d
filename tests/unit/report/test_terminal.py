"""What a reader sees."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from bayesrca.analysis import analyze
from bayesrca.config import Method, Settings
from bayesrca.posterior.ambiguity import compute_ambiguity
from bayesrca.posterior.onsets import rank_onsets
from bayesrca.posterior.result import (
    Affected,
    Alarm,
    Answer,
    Cause,
    CauseSet,
    ChangeProbability,
    Changes,
    Level,
    NodeProbability,
    PathEdge,
    Probability,
)
from bayesrca.report.terminal import render, verdict
from tests.unit.posterior.synthetic import make_shop

FAST = Settings(method=Method.SCREEN, screen_scrambles=4, screen_points=16)


@pytest.fixture(scope="module")
def answer() -> Answer:
    return analyze(make_shop(), seed=4, settings=FAST).answer


def at(value: float) -> Probability:
    return Probability(value=value, mcse=0.001, interval=(value / 2, (1 + value) / 2))


def with_probabilities(
    answer: Answer, *values: float, none: float, together: tuple[float, ...] = ()
) -> Answer:
    """Give the first causes these probabilities alone, and the first two, three ... in a set."""
    alone = [c.component for c in answer.posterior.causes[: len(values)]]
    sets: dict[tuple[str, ...], float]
    sets = {(name,): p for name, p in zip(alone, values, strict=True)}
    sets |= {tuple(alone[: j + 2]): p for j, p in enumerate(together)}
    ranked = sorted(sets.items(), key=lambda item: -item[1])
    causes = tuple(
        replace(
            cause,
            kind="latency",
            kinds=dict.fromkeys(cause.kinds, 0.0) | {"latency": p},
            probability=at(sum(q for names, q in sets.items() if cause.component in names)),
            only=at(p),
        )
        for cause, p in zip(answer.posterior.causes, values, strict=False)
    )
    masses = np.array([*sets.values(), none])
    posterior = replace(
        answer.posterior,
        causes=causes,
        none=at(none),
        sets=tuple(CauseSet(components=names, probability=at(p)) for names, p in ranked),
        ambiguity=compute_ambiguity([*sets, ()], masses, n_components=5),
    )
    return replace(answer, posterior=posterior)


def text(answer: Answer, shown: int = 5, width: int = 160) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(render(answer, shown=shown))
    return capture.get()


def test_a_clear_cause_is_named_with_its_probability(answer: Answer) -> None:
    clear = with_probabilities(answer, 0.93, 0.03, none=0.04)
    best = clear.posterior.causes[0]
    assert verdict(clear) == f"{best.component} is the most probable cause (93%, latency fault)."


def test_an_ambiguous_one_counts_the_hypotheses_it_needs(answer: Answer) -> None:
    torn = with_probabilities(answer, 0.5, 0.3, none=0.2)
    assert torn.posterior.ambiguity.word == "ambiguous"
    assert "Ambiguous: 3 hypotheses are needed to hold 90%" in verdict(torn)


def test_two_candidates_are_both_named(answer: Answer) -> None:
    torn = with_probabilities(answer, 0.5, 0.1, none=0.4)
    best = torn.posterior.causes[0].component
    said = f"Two candidates: {best} (50%) or none of these (40%)."
    assert verdict(torn).endswith(said)


def test_causes_that_act_together_are_named_together(answer: Answer) -> None:
    pair = with_probabilities(answer, 0.1, 0.02, 0.01, none=0.02, together=(0.8, 0.05))
    first, second, _ = (c.component for c in pair.posterior.causes)
    assert verdict(pair).startswith(
        f"{first} is the most probable cause (95%, latency fault), together with {second} (80%)."
    )
    shown = text(pair)
    assert re.search(rf"{first} \+ {second} +0\.800 ", shown)
    assert "exactly these are the causes" in shown


def test_sets_that_hold_nothing_are_not_shown(answer: Answer) -> None:
    alone = with_probabilities(answer, 0.9, 0.08, none=0.01, together=(0.009,))
    assert "exactly these" not in text(alone)
    assert "together" not in verdict(alone)


def test_none_of_these_can_win(answer: Answer) -> None:
    said = verdict(with_probabilities(answer, 0.3, 0.1, none=0.6))
    assert said.startswith('Most probably "none of these" (60%)')
    assert "(30%)" in said


def test_nothing_may_act_on_an_unhealthy_answer(answer: Answer) -> None:
    sick = replace(
        answer, diagnostics=replace(answer.diagnostics, healthy=False, problems=("k-hat is bad",))
    )
    assert "DO NOT ACT" in verdict(sick)
    assert "NOT HEALTHY: k-hat is bad" in text(sick)
    assert "DO NOT ACT" not in verdict(replace(answer))


def test_nothing_anomalous_comes_first_and_forbids_acting(answer: Answer) -> None:
    said = "Nothing here is anomalous: p = 0.6."
    calm = Alarm(target_p=None, incident_p=0.6, anomalous=False, text=said)
    assert answer.healthy
    quiet = replace(answer, alarm=calm)
    assert not quiet.may_act
    assert verdict(quiet).startswith(said)
    assert "do not act" in verdict(quiet)
    loud = replace(answer, alarm=replace(calm, anomalous=True))
    assert loud.may_act
    assert "anomalous" not in verdict(loud)
    sick = replace(loud, diagnostics=replace(answer.diagnostics, healthy=False))
    assert not sick.may_act


def test_the_order_of_onsets_is_shown(answer: Answer) -> None:
    assert "Order of onset" not in text(replace(answer, onsets=()))
    onsets = rank_onsets(
        ["a", "b"],
        time=np.array([160.0, 100.0]),
        lower=np.array([150.0, 95.0]),
        upper=np.array([170.0, 105.0]),
        signal=["x", "y"],
    )
    shown = text(replace(answer, onsets=onsets))
    assert "b moved first, at 1970-01-01 00:01:40 UTC, 60 s before a." in shown
    assert re.search(r"1 +b +y +1970-01-01 00:01:40 UTC", shown)
    assert re.search(r"2 +a +x +1970-01-01 00:02:40 UTC", shown)


def test_changes_are_ranked_with_none_of_these_last(answer: Answer) -> None:
    assert "Which change" not in text(answer)
    deploy = ChangeProbability(
        id="abc", kind="deploy", component="cart", time=60.0, text="v2", probability=0.75
    )
    flag = replace(deploy, id=None, kind="flag", component=None, probability=0.05)
    shown = text(replace(answer, changes=Changes(none=0.2, ranking=(deploy, flag))))
    assert re.search(r"deploy +cart +abc +1970-01-01 00:01:00 UTC +0\.750", shown)
    assert re.search(r"flag +1970-01-01 00:01:00 UTC +0\.050\n *none of these +0\.200", shown)


def test_the_path_is_shown_with_its_probabilities(answer: Answer) -> None:
    first, *others = answer.posterior.causes
    explains = replace(
        first.explains,
        path=("store", "cart", "front"),
        edges=(
            PathEdge(source="store", target="cart", family="latency", probability=0.93),
            PathEdge(source="cart", target="front", family="latency", probability=0.88),
        ),
        affected=tuple(Affected(component=name, probability=0.9) for name in ("cart", *"abcdef")),
    )
    told = replace(first, explains=explains)
    shown = text(replace(answer, posterior=replace(answer.posterior, causes=(told, *others))))
    shown = re.sub(r"\s+", " ", shown)
    assert "most probable path: store -> cart (93%) -> front (88%)" in shown
    assert "also affected: a (90%), b (90%), c (90%), d (90%), e (90%) and 1 more" in shown


def test_places_are_shown(answer: Answer) -> None:
    nodes = tuple(
        NodeProbability(component=name, probability=at(p))
        for name, p in (("rack", 0.95), ("shed", 0.02), ("attic", 0.001))
    )
    posterior = replace(answer.posterior, levels=(Level(kind="host", nodes=nodes),))
    shown = text(replace(answer, posterior=posterior))
    assert "a cause in host: rack (95%), shed (2%)\n" in re.sub(r" +\n", "\n", shown)
    assert "attic" not in shown
    assert "a cause in" not in text(answer)


def test_everything_shown_is_there(answer: Answer) -> None:
    shown = text(answer)
    for cause in answer.posterior.causes:
        assert cause.component in shown
        assert f"{cause.probability.value:.3f}" in shown
    for note in answer.notes:
        assert note in re.sub(r"\s+", " ", shown)
    assert "none of these" in shown
    assert "Pareto k-hat" in shown
    assert "Seed 4" in shown
    assert not re.search(r"\bnan\b", shown)


@pytest.mark.parametrize(("mass", "head"), [(0.89, "89%"), (0.5, "50%"), (0.995, "99.5%")])
def test_intervals_are_named_by_their_mass(answer: Answer, mass: float, head: str) -> None:
    assert f" {head} interval" in text(replace(answer, interval_mass=mass))


def test_the_rest_is_summed_up(answer: Answer) -> None:
    shown = text(answer, shown=2)
    rest = sum(c.probability.value for c in answer.posterior.causes[2:])
    assert re.search(rf"3 others together\s+{rest:.3f}", shown)
    assert "others together" not in text(answer, shown=5)


def test_nuts_tells_its_own_numbers(answer: Answer) -> None:
    diagnostics = replace(
        answer.diagnostics,
        r_hat=1.002, ess=1234.0, divergences=0, n_chains=4, n_draws=4000, e_bfmi=0.9, pareto_k=None,
    )  # fmt: skip
    shown = text(replace(answer, method="nuts", diagnostics=diagnostics))
    assert "Answered by NUTS" in shown
    assert "R-hat 1.0020, ESS 1234, 0 divergences, 4 chains, 4000 draws" in shown


def test_a_resource_fault_is_named_with_its_resource(answer: Answer) -> None:
    first, *others = answer.posterior.causes
    words = "resource at fault: memory (97%); memory (rss) up (9.1 times its normal variation)."
    p = first.probability.value
    leak = replace(
        first,
        kind="resource",
        kinds={"latency": 0.2 * p, "errors": 0.1 * p, "resource": 0.7 * p},
        only=at(p),
        explains=replace(first.explains, text=words),
    )
    shown = text(replace(answer, posterior=replace(answer.posterior, causes=(leak, *others))))
    assert re.search(rf"{re.escape(leak.component)} is the most .* resource fault\)", shown)
    assert words in shown


def test_a_kind_that_holds_less_than_half_is_not_named(answer: Answer) -> None:
    first, *others = answer.posterior.causes
    p = first.probability.value
    kinds = {"latency": 0.4 * p, "errors": 0.25 * p, "resource": 0.35 * p}
    torn = replace(first, kind="latency", kinds=kinds, only=at(p))
    shown = text(replace(answer, posterior=replace(answer.posterior, causes=(torn, *others))))
    assert "fault)" not in shown
    assert "kind unclear: latency" in shown
    assert shown.index("latency 4") < shown.index("resource 3") < shown.index("errors 2")


def test_one_component_alone(answer: Answer) -> None:
    alone: tuple[Cause, ...] = answer.posterior.causes[:1]
    one = replace(answer, posterior=replace(answer.posterior, causes=alone))
    assert alone[0].component in text(one)


def test_markup_in_names_is_text(answer: Answer) -> None:
    odd = replace(answer.posterior.causes[0], component="[red]a[/] [bold")
    one = replace(answer, posterior=replace(answer.posterior, causes=(odd,)))
    assert "[red]a[/] [bold" in text(one)


@pytest.mark.parametrize("seconds", [1e18, -1e18, math.pi])
def test_any_clock_is_shown(answer: Answer, seconds: float) -> None:
    cause = answer.posterior.causes[0]
    moved = replace(cause, explains=replace(cause.explains, footprint=(seconds, seconds + 1)))
    one = replace(answer, posterior=replace(answer.posterior, causes=(moved,)))
    assert "active " in text(one)


def test_shares_are_shown_with_their_errors_and_called_no_probability(answer: Answer) -> None:
    assert answer.attribution is not None
    shown = text(answer)
    assert "Share of the target's excess (Shapley), not a probability" in shown
    best = answer.attribution.shares[0]
    assert best.component == "store"
    assert re.search(rf"store +{best.share:.3f} +{best.share_std_err:.3f} ", shown)
    assert f"front: {answer.attribution.excess:.3g} ± " in shown


def test_what_is_negative_is_shown_and_the_small_is_summed_up(answer: Answer) -> None:
    assert answer.attribution is not None
    sizes = {"a": 900.0, "b": 200.0, "c": 2.0, "d": 1.0, "target": -103.0}
    shares = tuple(
        replace(answer.attribution.shares[0], component=name, value=size, share=max(size, 0) / 1103)
        for name, size in sizes.items()
    )
    attribution = replace(answer.attribution, excess=1000.0, shares=shares)
    block = text(replace(answer, attribution=attribution)).split("not a probability")[1]
    block = block.split("What speaks")[0]
    assert re.search(r"target +0\.000 .* -103 ", block)
    assert re.search(r"2 others together +0\.003 +3\b", block)


def test_without_shares_nothing_is_said_of_them(answer: Answer) -> None:
    assert "Shapley" not in text(replace(answer, attribution=None))
