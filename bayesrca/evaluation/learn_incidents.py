"""Labelled incidents as the learning reads them: a likelihood, its true hypothesis, its group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bayesrca.alert_law import AlertLaw
from bayesrca.config import Settings
from bayesrca.errors import BayesRcaError
from bayesrca.evaluation.cases import DataSet, Labels, read_labels
from bayesrca.evaluation.run import load_case
from bayesrca.evidence import build_evidence
from bayesrca.ingest import FamilyRules
from bayesrca.ingest.folder import folder_name
from bayesrca.kernels.propagation import KINDS, PreparedLikelihood
from bayesrca.model.prepare import prepare_likelihood
from bayesrca.model.tempering import sum_kinds

Floats = NDArray[np.float64]

Group = tuple[str, tuple[str, ...], str | None]
"""Data set, root causes in the order of their names, kind of fault: repeats of one experiment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """One incident with its cause.

    Attributes:
        name: ``dataset/case``.
        sha256: hash over its files.
        group: what it is a repeat of.
        likelihood: prepared, for as long as the learning lasts.
        columns: hypotheses, in the order of ``log_root``, that are the truth.
        outcome: the truth among the outcomes of `bayesrca.model.tempering`.
        of_theta: whether it tells of theta at all; one of alerts alone does not.
    """

    name: str
    sha256: str
    group: Group
    likelihood: PreparedLikelihood
    columns: tuple[int, ...]
    outcome: int
    of_theta: bool = True

    def log_truth(self, log_root: Floats) -> Floats:
        """Return log p(truth | theta) of draws [..., k]."""
        return np.asarray(logsumexp(log_root[..., list(self.columns)], axis=-1))

    def log_outcomes(self, log_root: Floats) -> Floats:
        """Sum the kinds out of draws [..., k]: components, sets, "none of these"."""
        return sum_kinds(log_root, self.likelihood.n_components)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An incident that is not learned from, and why."""

    name: str
    reason: str


def prepare_incidents(
    data_sets: Sequence[DataSet],
    settings: Settings,
    stack: ExitStack,
    *,
    families: FamilyRules | None = None,
    alert_laws: Mapping[Path, AlertLaw] | None = None,
    tell: Callable[[float], None] = lambda _: None,
) -> tuple[list[Labelled], list[LeftOut]]:
    """Read every case and prepare its likelihood.

    Args:
        data_sets: the cases.
        settings: bins, widths and the prior of "none of these".
        stack: frees the likelihoods.
        families: rules from metric names to families, or None.
        alert_laws: for cases with alerts, what incidents of other groups taught.
        tell: told the share that is done.

    Returns:
        The incidents, and those that are left out.
    """
    kept: list[Labelled] = []
    left_out: list[LeftOut] = []
    cases = [case for d in data_sets for case in d.cases]
    for i, case in enumerate(cases):
        tell(i / len(cases))
        name = _case_name(case)
        try:
            labels = read_labels(case)
            evidence = build_evidence(
                load_case(case, families),
                max_bins=settings.max_bins,
                alert_law=(alert_laws or {}).get(case),
            )
            # Sums past the width limit stay the same function of theta while learning.
            prepared = prepare_likelihood(evidence, settings, seed=0)
            likelihood = stack.enter_context(prepared)
        except BayesRcaError as error:
            left_out.append(LeftOut(name, str(error)))
            continue
        truth = find_truth(labels, evidence.components, likelihood.sets)
        if isinstance(truth, str):
            left_out.append(LeftOut(name, truth))
            likelihood.release()
            continue
        columns, outcome = truth
        kept.append(
            Labelled(
                name=name,
                sha256=_hash_case(case),
                group=(name.partition("/")[0], tuple(sorted(labels.truth)), labels.fault),
                likelihood=likelihood,
                columns=columns,
                outcome=outcome,
                of_theta=evidence.onsets is not None
                or (evidence.traces is not None and bool(evidence.traces.measured.any())),
            )
        )
    return kept, left_out


def find_truth(
    labels: Labels, components: tuple[str, ...], sets: tuple[tuple[int, ...], ...]
) -> tuple[tuple[int, ...], int] | str:
    """Return the true columns of ``log_root`` and the true outcome, or why there are none.

    Args:
        labels: what really happened.
        components: names of the incident's components.
        sets: the candidate sets of several causes.
    """
    missing = [name for name in labels.truth if name not in components]
    if missing:
        return f"its cause {missing[0]!r} is no component of the incident"
    roots = tuple(sorted(components.index(name) for name in labels.truth))
    n, kinds = len(components), len(KINDS)
    if len(roots) == 1:
        first = kinds * roots[0]
        return tuple(range(first, first + kinds)), roots[0]
    if roots in sets:
        at = sets.index(roots)
        return (kinds * n + at,), n + at
    return f"its {len(roots)} causes together are not among the hypotheses"


def _case_name(case: Path) -> str:
    """``dataset/case``."""
    return f"{folder_name(case.parent)}/{folder_name(case)}"


def _hash_case(case: Path) -> str:
    """SHA-256 over the names and contents of a case's files."""
    total = sha256()
    for file in sorted(f for f in case.iterdir() if f.is_file()):
        total.update(f"{file.name} {sha256(file.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def hash_incidents(incidents: Iterable[Labelled]) -> str:
    """SHA-256 over the names and contents of incidents, whatever their order."""
    total = sha256()
    for line in sorted(f"{i.name} {i.sha256}\n" for i in incidents):
        total.update(line.encode())
    return total.hexdigest()
