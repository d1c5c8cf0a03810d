"""Probabilities of places: a component together with all that it contains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bayesrca.incident import Component, ComponentKind
from bayesrca.model.draws import Draws
from bayesrca.posterior.result import Level, NodeProbability
from bayesrca.posterior.summary import Members, RootProbabilities, summarise

Floats = NDArray[np.float64]


def compute_levels(
    draws: Draws, root: RootProbabilities, components: Sequence[Component], interval_mass: float
) -> tuple[Level, ...]:
    """Aggregate to every level on which a component contains another.

    Args:
        draws: draws of either speed.
        root: probabilities of their hypotheses.
        components: of the topology, in its order.
        interval_mass: mass of the credible intervals, in (0, 1).
    """
    parents = {c.parent for c in components}
    present = {c.kind for c in components if c.name in parents}
    return tuple(
        compute_level(draws, root, components, kind, interval_mass)
        for kind in ComponentKind
        if kind in present
    )


def compute_level(
    draws: Draws,
    root: RootProbabilities,
    components: Sequence[Component],
    kind: ComponentKind,
    interval_mass: float,
) -> Level:
    """Aggregate to the components of one kind; see `compute_levels`.

    At each draw the probability of a node is the sum over the hypotheses with a cause in it, so
    that a set with two causes in one node counts once. A kind of which nothing is contained gives
    what the components have themselves.
    """
    nodes = [i for i, c in enumerate(components) if c.kind is kind]
    holds = _holders(components, nodes)
    c, d, n = root.only_by_draw.shape
    alone = root.only_by_draw.reshape(c * d, n).T
    together = root.sets_by_draw.reshape(c * d, len(root.members)).T
    by_draw = np.asarray(holds @ alone + _meets(holds, root.members) @ together)
    found = summarise(draws, by_draw.T.reshape(c, d, len(nodes)), interval_mass)
    ranked = np.argsort(-found.values, kind="stable").tolist()
    return Level(
        kind=kind.value,
        nodes=tuple(
            NodeProbability(component=components[nodes[j]].name, probability=found.probability(j))
            for j in ranked
        ),
    )


def _holders(components: Sequence[Component], nodes: Sequence[int]) -> sparse.csr_array:
    """[nodes, n]: 1 where the component is the node or lies inside it at any depth."""
    parent = {c.name: c.parent for c in components}
    row_of = {components[i].name: row for row, i in enumerate(nodes)}
    rows, columns = [], []
    for i, component in enumerate(components):
        here: str | None = component.name
        while here is not None:
            if here in row_of:
                rows.append(row_of[here])
                columns.append(i)
            here = parent[here]
    shape = (len(nodes), len(components))
    return sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)


def _meets(holds: sparse.csr_array, members: Members) -> Floats:
    """[nodes, m]: 1 where a component of the set lies in the node."""
    columns = [np.asarray(holds[:, list(s)].sum(axis=1)) > 0 for s in members]
    shape = (holds.shape[0], len(members))
    return np.array(columns, dtype=np.float64).T.reshape(shape)
