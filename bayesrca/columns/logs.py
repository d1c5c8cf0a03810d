"""Log lines reduced to templates: the door to the core's miner."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayesrca import _core


def mine_templates(lines: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Find lines that one statement of a program could have printed, after Drain (He et al. 2017).

    Words with a digit are variables, written ``<*>``; so are words in which lines differ that agree
    in at least half of the others, in number and first word. Of each line 512 bytes and 48 words
    are read, so that the work is proportional to the number of lines.

    Args:
        lines: n lines; their order matters, as templates are found on the way.

    Returns:
        int64 [n] number of each line's template, and how each template reads.
    """
    numbers, texts = _core.mine_templates(list(lines))
    return numbers, tuple(texts)
