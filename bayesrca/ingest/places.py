"""Who a row of telemetry speaks of: its component, the one it calls, and what it runs on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bayesrca.incident import ComponentKind
from bayesrca.ingest.intern import choose, combine, rename
from bayesrca.ingest.table_file import TableFile, Text

_SERVICE = ("servicename", "service", "component")
_NAMESPACE = ("servicenamespace",)
# What a component runs on, from the coarsest to the finest. The name of a container is left out:
# unlike its id it is given once for all copies, and often for different services.
_LEVELS: tuple[tuple[ComponentKind, tuple[str, ...]], ...] = (
    (ComponentKind.OTHER, ("cloudaccountid",)),
    (ComponentKind.REGION, ("cloudregion",)),
    (ComponentKind.HOST, ("hostname", "k8snodename", "k8snode", "node", "host")),
    (ComponentKind.POD, ("k8spodname", "podname", "k8spod", "pod")),
    (ComponentKind.CONTAINER, ("containerid",)),
)
_DATABASE = (("dbnamespace", "dbname"), ("dbsystemname", "dbsystem"))
_QUEUE = (("messagingdestinationname", "messagingdestination"), ("messagingsystem",))
_ADDRESS = ("serveraddress", "netpeername")
_CALLING = (3, 4, 5)
_SERVER = 2
_TAG = "|"  # no kind contains it


@dataclass(frozen=True, slots=True)
class Naming:
    """How names in telemetry become names of components.

    A service is called by its name; where the telemetry gives a namespace too, ``namespace/name``
    is tried first and kept unless only the plain name is known. Names are otherwise taken letter
    by letter: nothing is cut off, and nothing folded.

    Attributes:
        aliases: components for the names that differ from theirs; they come before anything else.
        known: the components that are declared or have series.
    """

    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    known: Collection[str] = ()

    def component(self, namespace: str, name: str) -> str:
        """Return the component of a service, empty for an empty name."""
        full = f"{namespace}/{name}" if namespace and name else name
        for key in (full, name):
            if key in self.aliases:
                return self.aliases[key]
        return name if full not in self.known and name in self.known else full


@dataclass(frozen=True, slots=True)
class Place:
    """That one thing was seen to run on another.

    Attributes:
        outer: what it runs on.
        outer_kind: what sort of thing that is.
        inner: what runs there.
        inner_kind: what sort of thing that is; None for a component that sends telemetry.
        rows: how many rows say so.
    """

    outer: str
    outer_kind: ComponentKind
    inner: str
    inner_kind: ComponentKind | None
    rows: int


def read_component(file: TableFile, naming: Naming) -> Text:
    """Return the component of each row, by service name and namespace."""
    file.require(_SERVICE, "the component of each row")
    return combine(file.text(_NAMESPACE), file.text(_SERVICE), naming.component)


def read_peer(
    file: TableFile, kind: NDArray[np.int8], naming: Naming
) -> tuple[Text, dict[str, ComponentKind]]:
    """Return whom each span calls by its attributes, and what sort of thing each of them is.

    A server span names nobody. An address counts for client, producer and consumer spans only:
    in others it may be the address of the span's own component.

    Args:
        file: the file of spans.
        kind: [m] span kind of each row.
        naming: how names become names of components.
    """
    stated = file.text(("peer",))
    if file.own is not None:
        return stated, {}
    calls = np.isin(kind, _CALLING)
    database = choose([_mask(file.text(names), kind != _SERVER) for names in _DATABASE])
    queue = choose([_mask(file.text(names), kind != _SERVER) for names in _QUEUE])
    peer = choose(
        [
            _mask(file.text(("peer", "peerservice")), kind != _SERVER),
            queue,
            _mask(file.text(_ADDRESS), calls),
            database,
        ]
    )
    peer = rename(peer, lambda name: naming.component("", name))
    kinds = {}
    in_queue, in_database = (_codes_where(peer, other) for other in (queue, database))
    for code in np.unique(peer.codes[peer.codes >= 0]):
        kind_of = ComponentKind.DATASTORE if in_database[code] else ComponentKind.EXTERNAL
        kinds[peer.values[code]] = ComponentKind.QUEUE if in_queue[code] else kind_of
    return peer, kinds


def _codes_where(column: Text, other: Text) -> NDArray[np.bool_]:
    """Return which texts of a column occur in a row that has one of the other column too."""
    found = np.zeros(len(column.values) + 1, dtype=bool)
    found[column.codes[other.codes >= 0]] = True
    return found


def _mask(column: Text, rows: NDArray[np.bool_]) -> Text:
    return Text(np.where(rows, column.codes, -1), column.values, column.mended)


def read_places(file: TableFile, component: Text) -> tuple[Place, ...]:
    """Return what runs on what, by the resource attributes of the rows."""
    if file.own is not None:
        return ()
    places: list[Place] = []
    inner = _tag(component, "")
    for kind, names in reversed(_LEVELS):
        outer = _tag(file.text(names), kind)
        both = (outer.codes >= 0) & (inner.codes >= 0)
        width = len(inner.values) + 1
        pairs, counts = np.unique(outer.codes[both] * width + inner.codes[both], return_counts=True)
        for pair, rows in zip(pairs, counts, strict=True):
            _, _, above = outer.values[pair // width].partition(_TAG)
            word, _, below = inner.values[pair % width].partition(_TAG)
            places.append(
                Place(above, kind, below, ComponentKind(word) if word else None, int(rows))
            )
        inner = choose([outer, inner])
    return tuple(places)


def _tag(column: Text, kind: str) -> Text:
    return rename(column, lambda name: name and f"{kind}{_TAG}{name}")
