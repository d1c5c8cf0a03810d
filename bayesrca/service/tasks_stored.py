"""What a worker does with the draws of a stored analysis."""

from __future__ import annotations

from pathlib import Path

from bayesrca.api.v1 import answer_pb2
from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.errors import ServiceError
from bayesrca.posterior.summaries import read_tree, summarize_tree
from bayesrca.service.messages import Call, Output, Stored
from bayesrca.wire import decode_answer
from bayesrca.wire.inspections import encode_summaries, plot_words

_MEDIA_TYPES = {"png": "image/png", "svg": "image/svg+xml"}


def diagnose(call: Call) -> Output:
    """Summarise the draws."""
    answer, draws = _content(call)
    response = pb.GetDiagnosticsResponse(
        diagnostics=answer_pb2.Answer.FromString(answer).diagnostics,
        parameters=encode_summaries(summarize_tree(read_tree(draws))),
    )
    return Output(response.SerializeToString())


def render(call: Call) -> Output:
    """Draw a picture of them."""
    from bayesrca.report.plots import ImageFormat, Plot, render_plot  # noqa: PLC0415  only here

    request = pb.RenderPlotRequest.FromString(call.request)
    plot, form = plot_words(request)
    answer, draws = _content(call)
    image = render_plot(
        decode_answer(answer_pb2.Answer.FromString(answer)),
        read_tree(draws),
        Plot(plot),
        form=ImageFormat(form),
        parameters=request.parameters,
    )
    return Output(
        pb.RenderPlotResponse(image=image, media_type=_MEDIA_TYPES[form]).SerializeToString()
    )


def _content(call: Call) -> tuple[bytes, bytes]:
    stored = call.settings
    assert isinstance(stored, Stored)
    try:
        return Path(stored.answer).read_bytes(), Path(stored.draws).read_bytes()
    except FileNotFoundError as error:
        msg = "the analysis was removed in the meantime"
        raise ServiceError(msg, reason="NOT_FOUND") from error
