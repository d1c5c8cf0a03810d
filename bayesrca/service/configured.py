"""The telemetry back ends of a server's configuration; no caller names one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields

from bayesrca.ingest.connectors.interface import Connector
from bayesrca.ingest.connectors.prometheus import PrometheusPlan
from bayesrca.ingest.connectors.sources import Sources, make_connectors, make_plan
from bayesrca.ingest.graph_file import Graph, read_declared
from bayesrca.service.options import ServiceOptions


class Configured:
    """The back ends, and what is known of the system besides.

    Args:
        options: names them.

    Attributes:
        plan: what to ask, and how labels name components.
        declared: the graph of the configuration, or None.

    Raises:
        InvalidSettingsError: a source's address, queries or credentials will not do.
        IncidentFormatError: the graph's file will not do.
    """

    def __init__(self, options: ServiceOptions) -> None:
        self._sources = Sources(**{f.name: getattr(options, f.name) for f in fields(Sources)})
        self.plan: PrometheusPlan = make_plan(self._sources)
        self.declared: Graph | None = None
        if options.graph is not None:
            self.declared = read_declared(options.graph)
        self.connectors()  # what is wrong with them is told now, not at the first question

    def connectors(self) -> Sequence[Connector]:
        """Return the back ends, their credentials as they are now; none where none is named."""
        return make_connectors(self._sources, os.environ)
