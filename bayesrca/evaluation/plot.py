"""The reliability diagram: what was said against what came true."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from bayesrca.evaluation.outcome import DataSetResult
from bayesrca.evaluation.scores import BINS, collect_pairs, compute_bins


def plot_reliability(results: Sequence[DataSetResult], suffix: str) -> bytes:
    """Draw the reliability diagram (DeGroot & Fienberg 1983) of every data set.

    Above, for each tenth of the stated probability, the share that came true; on the diagonal what
    is said is so. Below, how many (component, case) pairs, "none of these" included, lie in it.

    Args:
        results: what was answered.
        suffix: .pdf, .png or .svg.

    Returns:
        The content of the file.
    """
    figure: Any = import_module("matplotlib.figure").Figure(figsize=(6, 7.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot((0, 1), (0, 1), color="0.6", linewidth=1, linestyle="--")
    for result in results:
        p, y = collect_pairs(result.outcomes)
        if not len(p):
            continue
        bins = compute_bins(p, y)
        filled = bins.count > 0
        label = f"{result.name} ({len(result.outcomes)} cases)"
        above.plot(bins.said[filled], bins.came[filled], marker="o", clip_on=False, label=label)
        below.stairs(bins.count, np.linspace(0, 1, BINS + 1))
    above.set(ylabel="share that came true", xlim=(0, 1), ylim=(-0.02, 1.02))
    below.set(xlabel="stated probability", ylabel="pairs")
    if len(above.lines) > 1:
        above.legend(loc="upper left")
        below.set(yscale="log", ylim=(0.7, None))
    content = io.BytesIO()
    figure.savefig(content, format=suffix.lower().removeprefix("."))
    return content.getvalue()
