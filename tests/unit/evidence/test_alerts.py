"""Alerts: what they tell of each component, learned or not, and what they do to an answer."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesrca import Settings, analyze
from bayesrca.alert_law import AlertLaw
from bayesrca.config import Method
from bayesrca.errors import InvalidIncidentError
from bayesrca.evaluation.learn_alerts import fit_alert_law, make_alert_case
from bayesrca.evaluation.periods import cut_normal, cut_online
from bayesrca.evidence import build_evidence
from bayesrca.evidence.alert_evidence import build_alert_evidence
from bayesrca.evidence.alert_features import compute_alert_features, count_alert_features
from bayesrca.evidence.alert_table import build_alert_table, find_instances
from bayesrca.incident import (
    Alert,
    AlertKind,
    Component,
    Family,
    Incident,
    Signal,
    Statistic,
    TimeWindow,
    Topology,
)

NAMES = ("web-0", "web-1", "db", "cache", "queue")
TOPOLOGY = Topology(tuple(map(Component, NAMES)))
SCREEN = Settings(method=Method.SCREEN)
ALERTS = st.lists(
    st.one_of(
        st.builds(Alert, st.sampled_from(NAMES), st.sampled_from(["cpu", "qps"])),
        st.builds(
            Alert,
            st.sampled_from(NAMES),
            st.sampled_from(["GET", "POST"]),
            st.just(AlertKind.CALL),
            st.sampled_from(["500", "slow"]),
            st.none() | st.sampled_from(NAMES),
        ),
        st.builds(Alert, st.sampled_from(NAMES), st.just("line 7"), st.just(AlertKind.LOG)),
    ),
    max_size=12,
)


def incident(*alerts: Alert) -> Incident:
    return Incident("night", TOPOLOGY, (), alerts=alerts)


def some_law() -> AlertLaw:
    """What six incidents teach in which cpu fired at the cause and qps at everybody."""
    cases = []
    for i in range(30):
        root = i % 5
        alerts = [Alert(name, "qps") for name in NAMES]
        alerts += [Alert(NAMES[root], "cpu"), Alert(NAMES[i % 4], "disk")]
        cases.append(make_alert_case(alerts, TOPOLOGY, NAMES[root], kind="hog", group=i))
    law, converged = fit_alert_law(cases)
    assert converged
    return law


LAW = some_law()


def test_the_built_in_law_is_the_mean_ratio_over_labels() -> None:
    found = build_alert_evidence((Alert("db", "cpu"), Alert("db", "qps")), TOPOLOGY, None)
    rate = 1.5 / 6.0  # one of five, half a count each way
    np.testing.assert_allclose(found.log_ratio[2], np.log(0.5 / rate))
    np.testing.assert_allclose(found.log_ratio[0], np.log(0.5 / (1.0 - rate)))
    both = build_alert_evidence((Alert("db", "cpu"), Alert("web-0", "qps")), TOPOLOGY, None)
    expected = np.log((0.5 / rate + 0.5 / (1.0 - rate)) / 2.0)
    np.testing.assert_allclose(both.log_ratio[[0, 2]], expected)


@settings(deadline=None, max_examples=50)
@given(ALERTS, st.randoms(use_true_random=False))
def test_neither_order_nor_repeats_nor_numbering_matter(alerts: list[Alert], r: object) -> None:
    law = replace(LAW)
    first = build_alert_evidence(tuple(alerts), TOPOLOGY, law)
    again = build_alert_evidence(tuple(alerts[::-1] + alerts[:2]), TOPOLOGY, law)
    np.testing.assert_array_equal(first.log_ratio, again.log_ratio)
    order = list(range(len(NAMES)))
    r.shuffle(order)  # type: ignore[attr-defined]
    other = Topology(tuple(TOPOLOGY.components[i] for i in order))
    moved = build_alert_evidence(tuple(alerts), other, law)
    np.testing.assert_allclose(moved.log_ratio, first.log_ratio[order], atol=1e-9)


def test_names_play_no_part() -> None:
    renamed = {name: f"x{i}" for i, name in enumerate(NAMES[2:])}
    renamed |= {"web-0": "y-0", "web-1": "y-1"}
    alerts = (Alert("db", "cpu"), Alert("db", "GET", AlertKind.CALL, "500", "web-1"))
    other = Topology(tuple(Component(renamed[name]) for name in NAMES))
    there = tuple(
        replace(a, component=renamed[a.component], caller=a.caller and renamed[a.caller])
        for a in alerts
    )
    np.testing.assert_array_equal(
        build_alert_evidence(alerts, TOPOLOGY, LAW).log_ratio,
        build_alert_evidence(there, other, LAW).log_ratio,
    )


def test_a_law_finds_what_told_the_cause() -> None:
    everybody = tuple(Alert(name, "qps") for name in NAMES)
    found = build_alert_evidence((*everybody, Alert("queue", "cpu")), TOPOLOGY, LAW)
    assert found.learned
    assert found.log_ratio.argmax() == 4
    assert found.log_ratio[4] > 1.0
    assert found.log_ratio[:4].max() < 0.0


def test_a_law_of_another_system_is_not_used() -> None:
    found = build_alert_evidence((Alert("db", "humidity"),), TOPOLOGY, LAW)
    assert not found.learned
    assert "knows the labels of 0%" in found.notes[0]


def test_the_number_of_features_follows_from_the_labels() -> None:
    table = build_alert_table((Alert("db", "cpu"), Alert("db", "a", AlertKind.LOG)), TOPOLOGY)
    for labels in (table.labels, table.labels[:1], ()):
        shape = compute_alert_features(table, labels, {}, 1).shape
        assert shape == (5, count_alert_features(labels))


def test_instances_are_told_by_the_orchestrators_numbers() -> None:
    names = ("web-0", "web-1", "db-0", "web", "api-6d4cf56db6-x7k2p", "api-6d4cf56db6-abcde")
    found = find_instances(Topology(tuple(map(Component, names))))
    assert [(i, j) for i, j in zip(*np.nonzero(found), strict=True) if i < j] == [(0, 1), (4, 5)]


def test_an_alert_is_evidence_and_an_alarm() -> None:
    answer = analyze(incident(Alert("db", "cpu")), seed=0, settings=SCREEN).answer
    assert answer.alarm.anomalous
    assert answer.posterior.causes[0].component == "db"
    assert "1 alert on it (log Bayes factor of all alerts +0.7)" in (
        answer.posterior.causes[0].explains.text
    )
    assert answer.healthy
    # By hand: equal prior weights, single causes and pairs and triples by their mean factors.
    without = analyze(incident(), seed=0, settings=replace(SCREEN, max_causes=1)).answer
    alone = analyze(incident(Alert("db", "cpu")), seed=0, settings=replace(SCREEN, max_causes=1))
    odds = alone.answer.posterior.causes[0].probability.value / alone.answer.posterior.none.value
    before = without.posterior.causes[0].probability.value / without.posterior.none.value
    assert odds / before == pytest.approx(0.5 / 0.25)


def test_no_alerts_are_no_alarm_and_change_nothing() -> None:
    answer = analyze(incident(), seed=0, settings=replace(SCREEN, max_causes=1)).answer
    assert not answer.alarm.anomalous
    assert answer.alarm.text.startswith("Nothing here is anomalous: no alert fired")
    assert answer.posterior.none.value == pytest.approx(0.05)
    values = [c.probability.value for c in answer.posterior.causes]
    np.testing.assert_allclose(values, values[0])


def test_repeats_are_said() -> None:
    evidence = build_evidence(incident(Alert("db", "cpu"), Alert("db", "cpu", time=3.0)))
    assert "1 alerts are given twice and count once." in evidence.notes


@pytest.mark.parametrize(
    ("alert", "field"),
    [
        (Alert("nowhere", "cpu"), r"alerts\[0\].component"),
        (Alert("db", "GET", AlertKind.CALL, "", "nowhere"), r"alerts\[0\].caller"),
    ],
)
def test_an_unknown_component_is_refused(alert: Alert, field: str) -> None:
    with pytest.raises(InvalidIncidentError, match="'nowhere'") as error:
        incident(alert)
    assert error.value.field == field.replace("\\", "")


def test_only_calls_have_callers() -> None:
    with pytest.raises(InvalidIncidentError, match="leave the caller out"):
        Alert("db", "cpu", caller="web-0")


def test_without_its_component_an_incident_is_as_if_nobody_knew_of_it() -> None:
    alerts = [
        Alert("db", "GET", AlertKind.CALL, "500", "web-0"),
        Alert("cache", "GET", AlertKind.CALL, "500", "db"),
        Alert("db", "cpu"),
        Alert("queue", "qps"),
    ]
    case = make_alert_case(alerts, TOPOLOGY, "db", kind="hog", group=0)
    rest = Topology(tuple(c for c in TOPOLOGY.components if c.name != "db"))
    outside = [Alert("cache", "GET", AlertKind.CALL, "500"), Alert("queue", "qps")]
    expected = build_alert_table(outside, rest)
    assert case.absent.counts == expected.counts
    assert case.absent.details == expected.details
    assert not case.absent.calls.any()
    assert case.absent.components == rest.names


def test_one_alert_on_one_of_two_is_an_alarm() -> None:
    two = Topology((Component("a"), Component("b")))
    told = Incident("night", two, (), alerts=(Alert("a", "cpu"),))
    alarm = analyze(told, seed=0, settings=SCREEN).answer.alarm
    assert alarm.anomalous
    assert "1 alert fired on 1 component " in alarm.text


def with_series(*alerts: Alert) -> Incident:
    """The same system with a series of web-0, which a fault makes slow."""
    times = np.arange(60.0)
    values = 1.0 + 0.1 * np.sin(times) + 3.0 * (times >= 50)
    signal = Signal("web-0", "latency", Family.LATENCY, Statistic.MEAN, times, values, "s")
    return Incident(
        "night",
        TOPOLOGY,
        (signal,),
        baseline=TimeWindow(0.0, 49.0),
        window=TimeWindow(50.0, 59.0),
        alerts=alerts,
    )


def test_alerts_that_repeat_telemetry_move_nobody() -> None:
    told = (Alert("db", "cpu"), Alert("queue", "qps"))
    repeated = (Alert("web-0", "cpu"), Alert("cache", "GET", AlertKind.CALL, "500", "web-0"))
    plain = build_evidence(with_series(*told)).alerts
    more = build_evidence(with_series(*told, *repeated))
    assert plain is not None
    assert more.alerts is not None
    np.testing.assert_array_equal(more.alerts.log_ratio, plain.log_ratio)
    assert not more.alerts.counted[0]
    assert plain.log_ratio[0] == 0.0
    assert any(note.startswith("2 alerts are about components whose series") for note in more.notes)
    assert build_evidence(with_series(*repeated)).alerts is None


def test_a_normal_window_has_no_alert_of_the_incident() -> None:
    told = with_series(Alert("db", "cpu", time=52.0), Alert("db", "qps"))
    assert cut_normal(told, TimeWindow(10.0, 19.0)).alerts == ()
    assert cut_normal(with_series(Alert("db", "qps")), TimeWindow(10.0, 19.0)).alerts is None
    assert cut_online(told).alerts == (Alert("db", "cpu", time=52.0),)
