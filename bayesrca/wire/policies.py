"""Policies and the switches beside them to their messages and back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayesrca.api.v1 import decision_pb2 as pb
from bayesrca.decision import Bound, Policy, Verdict, parse_policy, policy_document
from bayesrca.errors import BayesRcaError, InvalidRequestError, InvalidSettingsError
from bayesrca.wire.moments import seconds_of, set_moment
from bayesrca.wire.parts import require
from bayesrca.wire.vocabulary import Vocabulary

if TYPE_CHECKING:
    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message

VERDICTS = Vocabulary(Verdict, pb.Verdict, "VERDICT", error=InvalidSettingsError)
_BOUNDS = Vocabulary(Bound, pb.Bound, "BOUND", error=InvalidSettingsError)
_VOCABULARIES: dict[str, Vocabulary[Any]] = {"Verdict": VERDICTS, "Bound": _BOUNDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPolicy:
    """One version of a policy on a server.

    Attributes:
        name: ``policies/`` and the policy's version.
        policy: the policy.
        created: when it was first stored, in seconds of Unix time by the server's clock.
        creator: name of the credential that did.
        in_force: whether it is what its runbook is decided by.
    """

    name: str
    policy: Policy
    created: float
    creator: str
    in_force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KillSwitch:
    """A switch on a server that holds a runbook, or all of them.

    Attributes:
        runbook: which; empty for all.
        engaged: whether it holds.
        reason: why it was engaged or released.
        updated: when, in seconds of Unix time by the server's clock.
        updater: name of the credential that did.
    """

    runbook: str
    engaged: bool
    reason: str
    updated: float
    updater: str


def policy_name(version: str) -> str:
    """Return the name of the policy with a version."""
    return f"policies/{version}"


def policy_version(name: str, field: str) -> str:
    """Return the version in a policy's name.

    Raises:
        InvalidRequestError: it is not ``policies/{version}``.
    """
    version = name.removeprefix("policies/")
    if name != f"policies/{version}" or not re.fullmatch("[0-9a-f]{64}", version):
        msg = (
            f"{field} must be policies/{{version}}, with 64 hexadecimal digits, got {name[:100]!r}"
        )
        raise InvalidRequestError(msg, field=field)
    return version


def encode_policy(policy: Policy) -> pb.Policy:
    """Return a policy as a message, every default filled in."""
    message = pb.Policy()
    _fill(message, policy_document(policy))
    return message


def decode_policy(message: pb.Policy, field: str = "policy") -> Policy:
    """Return the policy a message holds; what is absent takes its default.

    Args:
        message: the message, as it came.
        field: path of the message, the start of every path in an error.

    Raises:
        InvalidSettingsError: it is no policy; ``field`` says where.
    """
    try:
        return parse_policy(_table(message))
    except BayesRcaError as error:
        path = f"{field}.{error.field}" if error.field else field
        raise InvalidSettingsError(str(error), field=path) from error


def encode_stored_policy(stored: StoredPolicy) -> pb.StoredPolicy:
    """Return a stored policy as a message."""
    message = pb.StoredPolicy(
        name=stored.name,
        policy=encode_policy(stored.policy),
        creator=stored.creator,
        in_force=stored.in_force,
    )
    set_moment(message.create_time, stored.created)
    return message


def decode_stored_policy(message: pb.StoredPolicy, field: str = "policy") -> StoredPolicy:
    """Return the stored policy a message describes.

    Raises:
        IncidentFormatError: the policy is missing.
        InvalidSettingsError: it is none.
    """
    require(message, field, "policy")
    return StoredPolicy(
        name=message.name,
        policy=decode_policy(message.policy, f"{field}.policy"),
        created=seconds_of(message.create_time),
        creator=message.creator,
        in_force=message.in_force,
    )


def encode_kill_switch(switch: KillSwitch) -> pb.KillSwitch:
    """Return a switch as a message."""
    message = pb.KillSwitch(
        runbook=switch.runbook,
        engaged=switch.engaged,
        reason=switch.reason,
        updater=switch.updater,
    )
    set_moment(message.update_time, switch.updated)
    return message


def decode_kill_switch(message: pb.KillSwitch) -> KillSwitch:
    """Return the switch a message describes."""
    return KillSwitch(
        runbook=message.runbook,
        engaged=message.engaged,
        reason=message.reason,
        updated=seconds_of(message.update_time),
        updater=message.updater,
    )


def _fill(message: Any, table: dict[str, Any]) -> None:  # noqa: ANN401  any message
    """Set the fields of a message from a table with the same keys."""
    for name, value in table.items():
        kind = message.DESCRIPTOR.fields_by_name[name].enum_type
        if isinstance(value, dict):
            _fill(getattr(message, name), value)
        elif isinstance(value, list):
            getattr(message, name).extend(value)
        elif kind is not None:
            setattr(message, name, _VOCABULARIES[kind.name].number(_word(kind.name, value)))
        elif value is not None:
            setattr(message, name, value)


def _word(kind: str, value: str) -> Verdict | Bound:
    return Verdict(value) if kind == "Verdict" else Bound(value)


def _table(message: Message) -> dict[str, Any]:
    """Return the fields that are set as a table with the same keys."""
    return {field.name: _entry(field, value) for field, value in message.ListFields()}


def _entry(field: FieldDescriptor, value: Any) -> object:  # noqa: ANN401  whatever it holds
    if field.enum_type is not None:
        return _VOCABULARIES[field.enum_type.name].word(value, field.name).value
    if field.message_type is not None:
        return _table(value)
    return list(value) if field.is_repeated else value
