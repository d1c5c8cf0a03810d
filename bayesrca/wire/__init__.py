"""Domain objects to protobuf messages and back: pure, strict, lossless.

The one place that knows both sides, shared by the server and the client. Decoding trusts nothing:
whatever a message can get wrong becomes a `BayesRcaError` whose ``field`` is the path of the
offending field in the request, e.g. ``incident.signals[3].values``.

Games and Shapley estimates are read and written by `bayesrca.wire.attribution`, which is imported
where it is used: it needs the native core.
"""

from bayesrca.wire.analyses import (
    AnalysisState,
    AnalysisUpdate,
    StoredAnalysis,
    analysis_id,
    analysis_name,
    checked_request_id,
    copy_request,
    decode_analyses,
    decode_analysis,
    decode_page,
    decode_update,
    encode_create_request,
    encode_states,
)
from bayesrca.wire.answers import decode_answer, encode_answer
from bayesrca.wire.attribution_arrays import GameArrays, decode_game_arrays
from bayesrca.wire.attribution_settings import (
    AttributionSettings,
    IntervalGuarantee,
    ShapleyMethod,
    ToleranceKind,
    decode_attribution_settings,
    encode_attribution_settings,
)
from bayesrca.wire.incidents import decode_incident, encode_incident
from bayesrca.wire.paging import Page
from bayesrca.wire.requests import AnalyzeCall, decode_request, encode_request
from bayesrca.wire.settings import decode_settings, encode_settings
from bayesrca.wire.sources import decode_source, encode_source
from bayesrca.wire.vocabulary import word_of

__all__ = [
    "AnalysisState",
    "AnalysisUpdate",
    "AnalyzeCall",
    "AttributionSettings",
    "GameArrays",
    "IntervalGuarantee",
    "Page",
    "ShapleyMethod",
    "StoredAnalysis",
    "ToleranceKind",
    "analysis_id",
    "analysis_name",
    "checked_request_id",
    "copy_request",
    "decode_analyses",
    "decode_analysis",
    "decode_answer",
    "decode_attribution_settings",
    "decode_game_arrays",
    "decode_incident",
    "decode_page",
    "decode_request",
    "decode_settings",
    "decode_source",
    "decode_update",
    "encode_answer",
    "encode_attribution_settings",
    "encode_create_request",
    "encode_incident",
    "encode_request",
    "encode_settings",
    "encode_source",
    "encode_states",
    "word_of",
]
