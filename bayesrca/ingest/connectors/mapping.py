"""From a label's value to the component it names."""

from __future__ import annotations

import re
from collections.abc import Mapping as Fields
from collections.abc import Sequence
from dataclasses import dataclass

SERVICE_LABELS = (
    "service_name",
    "destination_canonical_service",
    "destination_workload",
    "service",
    "app_kubernetes_io_name",
    "app",
    "application",
    "job",
)
"""Labels that name a service, the first that all series of a metric carry wins: OpenTelemetry's
``service.name``, a mesh's destination, Kubernetes' service and app, Prometheus' own job."""
WORKLOAD_LABELS = ("container_label_com_docker_compose_service", "pod", "name", "container")
"""Labels that name a workload on metrics of containers."""

_POD_SUFFIX = re.compile(r"-(?:[a-z0-9]*\d[a-z0-9]*-)?[bcdfghjklmnpqrstvwxz2456789]{5}$|-\d+$")
"""What Kubernetes appends to a workload's name to name its pods: a replica set's hash and five
letters out of its own alphabet, which has no vowels, or a number."""


@dataclass(frozen=True, slots=True)
class Rename:
    r"""One rule from a label's value to a component.

    Attributes:
        pattern: must match the whole value.
        component: the component's name; ``\1`` stands for the first group, and so on.
    """

    pattern: re.Pattern[str]
    component: str


@dataclass(frozen=True, slots=True)
class Mapping:
    """How labels name components.

    Attributes:
        service_labels: see `SERVICE_LABELS`.
        workload_labels: see `WORKLOAD_LABELS`.
        renames: tried in their order before the built-in readings; the first that matches wins.
    """

    service_labels: tuple[str, ...] = SERVICE_LABELS
    workload_labels: tuple[str, ...] = WORKLOAD_LABELS
    renames: tuple[Rename, ...] = ()

    def component(self, label: str, value: str) -> str:
        """Return the component that a label's value names; empty when it names none.

        A bar, which no incident folder can hold in a name, becomes a slash. ``job`` holds
        ``namespace/name`` in OpenTelemetry's and Kubernetes' conventions: the name counts. Of a pod
        the workload counts.
        """
        for rename in self.renames:
            match = rename.pattern.fullmatch(value)
            if match:
                return match.expand(rename.component).replace("|", "/")
        if label == "job":
            value = value.rpartition("/")[2]
        if label == "pod":
            value = _POD_SUFFIX.sub("", value) or value
        return value.replace("|", "/")

    def component_of(self, labels: Fields[str, str]) -> str | None:
        """Return the component that labels name, by the best of them; None when they name none."""
        names = (*self.service_labels, *self.workload_labels)
        label = next((name for name in names if labels.get(name)), None)
        return (self.component(label, labels[label]) or None) if label else None

    def choose(self, labels: Sequence[str], found: Sequence[dict[str, str]]) -> str:
        """Return the label that most series carry, the earlier in a tie; empty when none does.

        Args:
            labels: candidates, the best first.
            found: the labels of each series.
        """
        carried = {label: sum(bool(one.get(label)) for one in found) for label in labels}
        best = max(carried.values(), default=0)
        return next((label for label in labels if carried[label] == best), "") if best else ""
