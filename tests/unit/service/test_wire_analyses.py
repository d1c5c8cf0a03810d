"""Names, ids, pages and stored analyses on the wire."""

from __future__ import annotations

import base64
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayesrca.api.v1 import analysis_pb2
from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.errors import IncidentFormatError, InvalidRequestError, InvalidSettingsError
from bayesrca.posterior.result import Diagnostics
from bayesrca.posterior.summaries import ParameterSummary
from bayesrca.wire import (
    AnalysisState,
    analysis_id,
    analysis_name,
    checked_request_id,
    decode_analysis,
    decode_page,
    encode_states,
)
from bayesrca.wire.inspections import (
    decode_diagnostics_response,
    encode_plot_request,
    encode_summaries,
    plot_words,
)

STATES = st.lists(st.sampled_from(AnalysisState))


@given(STATES, st.integers(1, 2**40), st.integers(0, 5000))
def test_the_token_of_a_page_leads_to_the_next(
    states: list[AnalysisState], last: int, size: int
) -> None:
    numbers = encode_states(states)
    first = decode_page(pb.ListAnalysesRequest(page_size=size, states=numbers))
    assert first.size == (min(size, 1000) if size else 50)
    assert (first.before, set(first.words)) == (None, set(states))
    token = first.token(last)
    again = pb.ListAnalysesRequest(page_size=size, states=numbers[::-1], page_token=token)
    assert decode_page(again).before == last
    if set(states) != {AnalysisState.FAILED}:
        other = pb.ListAnalysesRequest(states=encode_states(["FAILED"]), page_token=token)
        with pytest.raises(InvalidRequestError, match="another list"):
            decode_page(other)


@given(
    st.text()
    | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode())
    | st.sampled_from(["[" * 5000, "[1]", "[-1, []]", "[1, [[]]]", "[1e999, []]", '{"1": 2}']).map(
        lambda text: base64.urlsafe_b64encode(text.encode()).decode()
    )
)
def test_a_made_up_token_is_refused(token: str) -> None:
    if token:
        with pytest.raises(InvalidRequestError):
            decode_page(pb.ListAnalysesRequest(page_token=token))


@given(st.text(max_size=120))
def test_a_name_is_read_as_it_was_written_or_refused(text: str) -> None:
    try:
        identity = analysis_id(text)
    except InvalidRequestError:
        assert (
            not text.startswith("analyses/")
            or "/" in text[9:]
            or len(text) in (9, *range(101, 121))
        )
        return
    assert analysis_name(identity) == text


@given(st.uuids())
def test_an_id_has_one_form(value: uuid.UUID) -> None:
    assert checked_request_id(str(value).upper()) == str(value)
    for other in (value.hex, f"{{{value}}}", value.urn, str(value)[:-1], "x" * 36, ""):
        with pytest.raises(InvalidRequestError):
            checked_request_id(other)


def test_an_unknown_state_cannot_be_read() -> None:
    for state in (0, 99):
        with pytest.raises(IncidentFormatError):
            decode_analysis(analysis_pb2.Analysis(state=state))  # type: ignore[arg-type]


def test_summaries_come_back_as_they_went() -> None:
    summary = ParameterSummary(
        name="noise_scale[latency]",
        mean=0.1,
        sd=0.2,
        r_hat=1.001,
        ess_bulk=812.5,
        ess_tail=600.25,
        mcse_mean=0.003,
    )
    response = pb.GetDiagnosticsResponse(parameters=encode_summaries([summary]))
    diagnostics, summaries = decode_diagnostics_response(response)
    assert summaries == [summary]
    assert isinstance(diagnostics, Diagnostics)


def test_a_plot_is_asked_for_by_its_name() -> None:
    request = encode_plot_request("analyses/x", "causes", "svg", ())
    assert plot_words(request) == ("causes", "svg")
    request.ClearField("format")
    assert plot_words(request) == ("causes", "png")
    for plot, form in ((0, 1), (99, 1), (1, 99)):
        hostile = pb.RenderPlotRequest(plot=plot, format=form)  # type: ignore[arg-type]
        with pytest.raises(InvalidSettingsError):
            plot_words(hostile)
