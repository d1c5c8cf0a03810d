"""The numbers that the equations of docs/concepts.md name, for all oracles."""

from __future__ import annotations

import numpy as np

# Kinds of fault, in the order of the hypotheses.
LATENCY, ERRORS, RESOURCE, LOAD, LINK, CRASH, CODE = KIND_NUMBERS = range(7)
# Families of vitals that are treated unlike the others.
LOAD_VITAL, STATE, EGRESS = 0, 7, 8

# Spread in latency and errors (eq. 6 to 9).
ALARM_TRUE = 0.9
DEPENDENCY = 0.1
LARGE = 2.0
MAX_NOISE = 1e12  # squared noise of a log dose ratio is kept below this

# Prior of the kinds but latency and errors, and how often they show in latency and in errors.
KIND_PRIOR = {RESOURCE: 0.33, LOAD: 0.03, LINK: 0.04, CRASH: 0.03}
KIND_SHOWS = {
    RESOURCE: (0.6, 0.25),
    LOAD: (0.6, 0.3),
    LINK: (1.0, 0.15),
    CRASH: (0.4, 0.8),
    CODE: (0.2, 0.3),
}
TIMED_LINK = 5.0
CODE_PRIOR = 0.67  # beside the others, whose priors sum to one
UNSEEN = 0.35
CALLED = 0.1
LOG_UNCONNECTED = np.log(0.05)
# Prior of one, two and three causes, and the kinds that causes of a set may have (eq. 15).
SIZES = (0.8, 0.15, 0.05)
SET_KINDS = (LATENCY, ERRORS, RESOURCE, CRASH, CODE)

# Vitals (eq. 11 to 14, 16), by family: load, cpu, memory, disk, network, generic, host, state,
# egress.
AT_FAULT = (0.0, 0.25, 0.2, 0.17, 0.17, 0.15, 0.03, 0.2, 0.0)
ROOT_UP = (0.4, 0.85, 0.85, 0.7, 0.5, 0.5, 0.7, 0.5, 0.9)
EFFECT_UP = (0.3, 0.5, 0.5, 0.5, 0.4, 0.5, 0.5, 0.5, 0.9)
ECHO = (0.2, 0.4, 0.4, 0.4, 0.4, 0.4, 0.2, 0.8, 0.0)
UNREPORTED = 0.35
ROOT_EFFECT = 12.0
AT_ROOT = 0.8
CODE_AT_ROOT = 0.3
LOAD_PASSED = 0.6
WAITS = 0.7
FARTHEST = 2
REFERENCE = (2.5, 0.9)  # index and scale
QUIET_AT_ZERO = 2.5 / (2 * 0.9)
EFFECT_INDEX = 1.6
EFFECT_SIZE = 4.0  # at the reference
LARGEST_RATIO = 1e30

# Spans and logs (eq. 22): probability that a group shows a fault, by way of showing, and
# that a member of a group does; ways of showing of a fault in code, and around several causes.
_GROUPS = (
    *("own pattern", "own self", "callers", "ancestors", "callees", "siblings"),
    *("gap in", "gap out", "gap above", "terminal in", "terminal out", "terminal above"),
)
TRACE_SHOWS = {
    way: dict(zip(_GROUPS, numbers, strict=True))
    for way, numbers in {
        "slow": (0.15, 0.6, 0.2, 0.1, 0.02, 0.02, 0.6, 0.4, 0.05, 0.08, 0.05, 0.08),
        "far": (0.1, 0.15, 0.5, 0.3, 0.03, 0.15, 0.95, 0.35, 0.05, 0.3, 0.1, 0.2),
        "otherwise": (0.95, 0.1, 0.6, 0.5, 0.25, 0.3, 0.05, 0.03, 0.03, 0.5, 0.3, 0.35),
        "silent": (0.05, 0.1, 0.6, 0.5, 0.25, 0.3, 0.05, 0.03, 0.03, 0.95, 0.05, 0.35),
        "contained": (0.95, 0.1, 0.03, 0.02, 0.1, 0.02, 0.05, 0.03, 0.03, 0.03, 0.3, 0.02),
    }.items()
}
TRACE_SHARE = {
    group: 0.8 if group == "callees" else {"g": 0.8, "t": 0.7}.get(group[0], 0.5)
    for group in _GROUPS
    if group[:3] != "own"
}
TRACE_WAYS = {
    "code": {"otherwise": 0.45, "silent": 0.25, "contained": 0.3},
    "several": {"slow": 0.45, "otherwise": 0.25, "silent": 0.15, "contained": 0.15},
}
