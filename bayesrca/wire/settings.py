"""`Settings` to their message and back."""

from __future__ import annotations

from typing import Any

from bayesrca.api.v1 import root_cause_service_pb2 as pb
from bayesrca.config import Settings
from bayesrca.errors import InvalidSettingsError
from bayesrca.wire.paths import located
from bayesrca.wire.vocabulary import BEYOND_WIDTHS, METHODS

# Everything with the same name on both sides. `cores` stays home: it changes no number, and how
# many threads a call may use is for the server to say.
_SAME = (
    "chains",
    "draws",
    "tune",
    "target_accept",
    "retry_target_accept",
    "screen_scrambles",
    "screen_points",
    "none_prior",
    "interval_mass",
    "max_bins",
    "max_width",
    "max_causes",
    "set_candidates",
)


def encode_settings(settings: Settings) -> pb.AnalysisSettings:
    """Return settings as a message that leaves nothing to the server's defaults but ``cores``.

    Raises:
        InvalidSettingsError: the settings hold a learned prior, which a server chooses for itself.
    """
    if settings.prior is not None:
        msg = "a server uses the prior file it was started with (bayesrca serve --prior)"
        raise InvalidSettingsError(msg, field="prior")
    message = pb.AnalysisSettings(
        method=METHODS.number(settings.method),
        beyond_width=BEYOND_WIDTHS.number(settings.beyond_width),
        deadline_seconds=settings.deadline,
    )
    for name in _SAME:
        setattr(message, name, getattr(settings, name))
    return message


def decode_settings(message: pb.AnalysisSettings, *, cores: int = 1) -> Settings:
    """Return the settings a message asks for; what it leaves out takes its default.

    Args:
        message: the message, as it came.
        cores: threads the analysis may use, >= 1.

    Raises:
        InvalidSettingsError: a value outside its range; ``field`` is a path of the request.
    """
    chosen: dict[str, Any] = {
        descriptor.name: value
        for descriptor, value in message.ListFields()
        if descriptor.name in _SAME
    }
    if message.HasField("deadline_seconds"):
        chosen["deadline"] = message.deadline_seconds
    method = METHODS.word(message.method, "settings.method")
    beyond_width = BEYOND_WIDTHS.word(message.beyond_width, "settings.beyond_width")
    with located("settings"):
        return Settings(method=method, beyond_width=beyond_width, cores=cores, **chosen)
