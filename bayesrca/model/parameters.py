"""Theta: names, meanings and weakly informative priors of the model's parameters.

Every parameter belongs to a kind (of family, fault or path), never to a component, so theta has the
same length for every incident. Priors are normal on the unconstrained scale: log-normal for sizes,
logit-normal for probabilities. Their centres come from normal periods and prototypes on public
incidents; their widths let a single incident move them. docs/concepts.md says how each was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from bayesrca.kernels.propagation import PARAMETER_LAYOUT

FAMILY_NAMES = ("latency", "errors")
"""Coordinate of parameters with one value per family or per fault kind."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Prior of one parameter.

    Attributes:
        centre: prior medians on the natural scale, one per entry.
        sd: standard deviation on the unconstrained scale (log or logit).
        meaning: what it is, in words.
    """

    centre: tuple[float, ...]
    sd: float
    meaning: str


PRIORS: dict[str, Prior] = {
    "noise_scale": Prior((1.0, 1.0), 0.3, "multiplier of the null scales"),
    "tail_weight": Prior((0.02, 0.02), 0.7, "weight of the wide component of the quiet law"),
    "effect_size": Prior((6.0, 6.0), 0.5, "median effect on an affected component, in null scales"),
    "root_effect_size": Prior((12.0, 12.0), 0.5, "median effect on a root, in null scales"),
    "base_rate": Prior((0.03, 0.03), 0.8, "rate of being affected for no traceable reason"),
    "transmission": Prior((0.6, 0.6), 1.0, "probability that an edge passes a fault on"),
    "dose_spread": Prior((0.25, 0.35), 0.4, "spread of log(dose / root's dose) of a full dose"),
    "cross_family": Prior(
        (0.15, 0.4), 0.7, "probability that a fault also shows as the other kind"
    ),
    "vital_transmission": Prior(
        (0.05, 0.05), 1.0, "probability that a fault disturbs the vitals of a caller, of a callee"
    ),
    "trace_weak": Prior(
        (0.05, 0.07), 0.7, "rate of small changes of span times, of patterns, for no reason"
    ),
    "trace_strong": Prior((0.002, 0.002), 1.0, "rate of such changes as large as a fault's"),
    "full_dose_target": Prior((0.7,), 0.7, "probability that the target gets the whole dose"),
    "full_dose_path": Prior((0.2,), 0.7, "the same for another component on a path"),
    "unrelated_dose": Prior((0.05,), 0.5, "probability that a dose on a path is unrelated"),
    "own_visible": Prior((0.95,), 0.5, "probability that a root shows where its fault is"),
    "error_kind": Prior((0.5,), 0.7, "share of the errors kind among faults of latency and errors"),
    "unexplained_alarm": Prior((0.03,), 0.7, "weight of a cause that cannot explain the alarm"),
    "untraced_dose": Prior((0.7,), 0.7, "probability that an untraced effect carries the dose"),
    "vital_scale": Prior((0.9,), 0.5, "scale of the quiet law of vitals, in null scales"),
    "vital_index": Prior((2.5,), 0.4, "tail index of the quiet law of vitals"),
    "vital_effect_size": Prior((4.0,), 0.6, "scale of the effect on disturbed vitals, in theirs"),
    "vital_rate": Prior((0.1,), 1.0, "rate of vitals disturbed for no traceable reason"),
    "unrelated_delay": Prior(
        (0.2,), 0.7, "probability that what a fault disturbs begins at any time"
    ),
}
"""Prior of every parameter, in the order of theta."""

if tuple(PRIORS) != tuple(name for name, _, _ in PARAMETER_LAYOUT):
    msg = "the priors and the native core disagree about theta; rebuild the extension"
    raise ImportError(msg)

TRANSFORMS: dict[str, str] = {name: transform for name, _, transform in PARAMETER_LAYOUT}
"""``log`` or ``logit`` of each parameter."""


def unconstrained_prior() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and standard deviations, [p] each, of the unconstrained theta."""
    mean, sd = [], []
    for name, prior in PRIORS.items():
        for centre in prior.centre:
            mean.append(log(centre) if TRANSFORMS[name] == "log" else log(centre / (1 - centre)))
            sd.append(prior.sd)
    return np.array(mean), np.array(sd)


def parameter_names() -> tuple[str, ...]:
    """Names of theta's p numbers, e.g. ``noise_scale[latency]``."""
    return tuple(
        f"{name}[{family}]" if len(prior.centre) > 1 else name
        for name, prior in PRIORS.items()
        for family in FAMILY_NAMES[: len(prior.centre)]
    )


def natural_values(theta: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Split unconstrained draws [..., p] into natural values by name.

    Returns:
        [...] for a single parameter, [..., 2] for one per family.
    """
    out: dict[str, NDArray[np.float64]] = {}
    start = 0
    for name, prior in PRIORS.items():
        part = theta[..., start : start + len(prior.centre)]
        value = np.exp(part) if TRANSFORMS[name] == "log" else 1.0 / (1.0 + np.exp(-part))
        out[name] = value if len(prior.centre) > 1 else value[..., 0]
        start += len(prior.centre)
    return out
