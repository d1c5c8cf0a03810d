"""`RootCausePosterior` to its message and back."""

from __future__ import annotations

from bayesrca.api.v1 import answer_pb2
from bayesrca.incident import ComponentKind
from bayesrca.posterior.result import (
    Ambiguity,
    Cause,
    CauseSet,
    Level,
    NodeProbability,
    RootCausePosterior,
)
from bayesrca.wire.explanations import decode_explanation, encode_explanation
from bayesrca.wire.parts import decode_probability, encode_probability, require, unique
from bayesrca.wire.vocabulary import COMPONENT_KINDS


def encode_posterior(posterior: RootCausePosterior) -> answer_pb2.RootCausePosterior:
    """Return a posterior as a message."""
    return answer_pb2.RootCausePosterior(
        causes=[_encode_cause(c) for c in posterior.causes],
        none=encode_probability(posterior.none),
        sets=[
            answer_pb2.CauseSet(
                components=s.components, probability=encode_probability(s.probability)
            )
            for s in posterior.sets
        ],
        ambiguity=_encode_ambiguity(posterior.ambiguity),
        levels=[_encode_level(level) for level in posterior.levels],
    )


def decode_posterior(message: answer_pb2.RootCausePosterior, field: str) -> RootCausePosterior:
    """Return the posterior a message holds.

    Raises:
        IncidentFormatError: a part is missing or repeated; ``field`` says which.
    """
    require(message, field, "none", "ambiguity")
    return RootCausePosterior(
        causes=tuple(
            _decode_cause(c, f"{field}.causes[{i}]") for i, c in enumerate(message.causes)
        ),
        none=decode_probability(message.none, f"{field}.none"),
        sets=tuple(_decode_set(s, f"{field}.sets[{i}]") for i, s in enumerate(message.sets)),
        ambiguity=_decode_ambiguity(message.ambiguity),
        levels=tuple(
            _decode_level(level, f"{field}.levels[{i}]") for i, level in enumerate(message.levels)
        ),
    )


def _encode_cause(cause: Cause) -> answer_pb2.Cause:
    return answer_pb2.Cause(
        component=cause.component,
        kind=cause.kind,
        kinds=[
            answer_pb2.KindProbability(kind=kind, probability=probability)
            for kind, probability in cause.kinds.items()
        ],
        probability=encode_probability(cause.probability),
        explains=encode_explanation(cause.explains),
        only=encode_probability(cause.only),
    )


def _decode_cause(message: answer_pb2.Cause, field: str) -> Cause:
    require(message, field, "probability", "explains", "only")
    return Cause(
        component=message.component,
        kind=message.kind,
        kinds=unique(((k.kind, k.probability) for k in message.kinds), f"{field}.kinds"),
        probability=decode_probability(message.probability, f"{field}.probability"),
        only=decode_probability(message.only, f"{field}.only"),
        explains=decode_explanation(message.explains, f"{field}.explains"),
    )


def _decode_set(message: answer_pb2.CauseSet, field: str) -> CauseSet:
    require(message, field, "probability")
    return CauseSet(
        components=tuple(message.components),
        probability=decode_probability(message.probability, f"{field}.probability"),
    )


def _encode_level(level: Level) -> answer_pb2.Level:
    return answer_pb2.Level(
        kind=COMPONENT_KINDS.number(ComponentKind(level.kind)),
        nodes=[
            answer_pb2.NodeProbability(
                component=n.component, probability=encode_probability(n.probability)
            )
            for n in level.nodes
        ],
    )


def _decode_level(message: answer_pb2.Level, field: str) -> Level:
    nodes = []
    for i, node in enumerate(message.nodes):
        require(node, f"{field}.nodes[{i}]", "probability")
        probability = decode_probability(node.probability, f"{field}.nodes[{i}].probability")
        nodes.append(NodeProbability(component=node.component, probability=probability))
    kind = COMPONENT_KINDS.word(message.kind, f"{field}.kind")
    return Level(kind=kind.value, nodes=tuple(nodes))


def _encode_ambiguity(ambiguity: Ambiguity) -> answer_pb2.Ambiguity:
    return answer_pb2.Ambiguity(
        entropy_nats=ambiguity.entropy,
        effective=ambiguity.effective,
        credible=[answer_pb2.Hypothesis(components=names) for names in ambiguity.credible],
        credible_mass=ambiguity.credible_mass,
        word=ambiguity.word,
        text=ambiguity.text,
    )


def _decode_ambiguity(message: answer_pb2.Ambiguity) -> Ambiguity:
    return Ambiguity(
        entropy=message.entropy_nats,
        effective=message.effective,
        credible=tuple(tuple(h.components) for h in message.credible),
        credible_mass=message.credible_mass,
        word=message.word,
        text=message.text,
    )
