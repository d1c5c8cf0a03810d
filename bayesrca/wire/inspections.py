"""Requests about the draws of a stored analysis, and what comes back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, fields
from typing import Any

from bayesrca.api.v1 import analysis_pb2
from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.errors import InvalidSettingsError
from bayesrca.posterior.result import Diagnostics
from bayesrca.posterior.summaries import ParameterSummary
from bayesrca.wire.answers import decode_diagnostics

_SUMMARY = tuple(field.name for field in fields(ParameterSummary))


def encode_summaries(
    summaries: Iterable[ParameterSummary],
) -> list[analysis_pb2.ParameterSummary]:
    """Return summaries as messages."""
    return [
        analysis_pb2.ParameterSummary(**dict(zip(_SUMMARY, astuple(one), strict=True)))
        for one in summaries
    ]


def decode_diagnostics_response(
    message: pb.GetDiagnosticsResponse,
) -> tuple[Diagnostics, list[ParameterSummary]]:
    """Return the gates and the parameters' summaries that a response holds."""
    return decode_diagnostics(message.diagnostics), [
        ParameterSummary(**{name: getattr(one, name) for name in _SUMMARY})
        for one in message.parameters
    ]


def encode_plot_request(
    name: str, plot: str, form: str, parameters: Sequence[str]
) -> pb.RenderPlotRequest:
    """Return a request for a picture.

    Raises:
        InvalidSettingsError: a plot or a form that does not exist.
    """
    return pb.RenderPlotRequest(
        name=name,
        plot=_number(analysis_pb2.Plot, "PLOT_", plot, "plot"),
        format=_number(analysis_pb2.ImageFormat, "IMAGE_FORMAT_", form, "format"),
        parameters=parameters,
    )


def plot_words(message: pb.RenderPlotRequest) -> tuple[str, str]:
    """Return the names of what to draw and as what, in lower case.

    Raises:
        InvalidSettingsError: numbers that stand for nothing.
    """
    plot = _word(analysis_pb2.Plot, "PLOT_", message.plot, "plot")
    form = message.format or analysis_pb2.IMAGE_FORMAT_PNG
    return plot, _word(analysis_pb2.ImageFormat, "IMAGE_FORMAT_", form, "format")


def _number(wire: Any, prefix: str, word: str, field: str) -> Any:  # noqa: ANN401
    words = _words(wire, prefix)
    if word not in words:
        msg = f"{field} must be one of {', '.join(words)}, got {word!r}"
        raise InvalidSettingsError(msg, field=field)
    return words[word]


def _word(wire: Any, prefix: str, number: int, field: str) -> str:  # noqa: ANN401
    for word, known in _words(wire, prefix).items():
        if known == number:
            return word
    msg = f"{field} is {number}, which stands for nothing that this server can draw"
    raise InvalidSettingsError(msg, field=field)


def _words(wire: Any, prefix: str) -> dict[str, int]:  # noqa: ANN401  a protobuf enum
    named = {name.removeprefix(prefix).lower(): number for name, number in wire.items()}
    return {word: number for word, number in named.items() if number}
