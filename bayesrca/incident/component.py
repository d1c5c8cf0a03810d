"""The things that can be a root cause."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bayesrca.incident._checks import require_member, require_text


class ComponentKind(StrEnum):
    """What sort of thing a component is, from the coarsest level to the finest.

    ``ALARM`` is something that only reports on others; it can hardly be a cause.
    """

    REGION = "region"
    HOST = "host"
    CONTAINER = "container"
    POD = "pod"
    SERVICE = "service"
    ENDPOINT = "endpoint"
    FUNCTION = "function"
    QUERY = "query"
    DATASTORE = "datastore"
    QUEUE = "queue"
    EXTERNAL = "external"
    FEATURE = "feature"
    AGENT = "agent"
    STEP = "step"
    ALARM = "alarm"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Component:
    """One thing that can fail.

    Attributes:
        name: unique within a topology and opaque: never parsed, any non-empty Unicode text.
        kind: what sort of thing it is.
        parent: name of the component it is a part of (an endpoint of its service, say), or None.

    Raises:
        InvalidIncidentError: empty or non-text name or parent, unknown kind.
    """

    name: str
    kind: ComponentKind = ComponentKind.SERVICE
    parent: str | None = None

    def __post_init__(self) -> None:
        require_text(self.name, "a component's name", "name")
        what = f"the kind of component {self.name!r}"
        object.__setattr__(self, "kind", require_member(ComponentKind, self.kind, what, "kind"))
        if self.parent is not None:
            require_text(self.parent, f"the parent of component {self.name!r}", "parent")
