"""Shares of the target's excess: what an answer carries of them.

Plain frozen dataclasses of built-in types, which load neither arrays nor the native core, for those
who only read answers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentShare:
    """One component's part in the target's excess. A share is not a probability.

    Attributes:
        component: its name.
        value: Shapley value, in the unit of the excess: the component's own excess times the part
            of it that reaches the target. Negative where it did less work than its callees' excess
            should have caused.
        value_std_err: standard error of ``value`` that the noise of the doses causes (>= 0).
        share: ``value`` over the sum of all values that stand out of their noise, in [0, 1]; 0
            where it does not stand out itself. Shares add up to 1, or are all 0.
        share_std_err: standard error of ``share`` (>= 0) from the same noise: root mean square
            difference between the shares of redrawn doses and this one.
        observed: whether the component reports its excess. One that does not is taken to hand on
            what its callees hand to it: value and share are then exactly 0 and so are their errors.
    """

    component: str
    value: float
    value_std_err: float
    share: float
    share_std_err: float
    observed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExcessAttribution:
    """How the target's excess during the incident is shared among the components.

    Exact Shapley values of the linear model of excess work: which own excess arrived at the target.
    **A share is not a probability of being the cause**: those are in the posterior. The two read
    the same excess, so neither confirms the other.

    Attributes:
        family: signal family of the alarm, ``latency`` (excess seconds) or ``errors`` (excess
            failed requests).
        unit: unit of the excess and of every value.
        footprint: ``(start, end)`` in seconds of the interval, the most probable one a posteriori.
        target: the component whose excess is shared.
        excess: its excess in that interval (> 0); the values add up to it.
        excess_std_err: standard deviation of its noise (> 0).
        shares: every component of the topology, largest value first (ties by topology order).
        rule: how the values came about, a key of `bayesrca.attribution.RULES`.
        n_resamples: how often the doses were drawn anew for the standard errors.
        seed: seed of these draws; it follows from the analysis's.
    """

    family: str
    unit: str
    footprint: tuple[float, float]
    target: str
    excess: float
    excess_std_err: float
    shares: tuple[ComponentShare, ...]
    rule: str
    n_resamples: int
    seed: int
