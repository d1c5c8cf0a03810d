"""
Native core of bayesrca. Private and unstable: use the `bayesrca` package, which validates its arguments.
"""

import numpy
import numpy.typing
from _typeshed import Incomplete
from collections.abc import Sequence
from typing import Any, Final, final

__all__ = ["__version__", "FamilyEvidence", "NativeEstimate", "NativeGame", "OtlpTable", "Screen", "SpanBatch", "SpanReduction", "TraceEvidence", "VitalEvidence", "call_tree_game", "compute_interactions", "compute_shapley", "decode_otlp", "estimate_shapley", "excess_flow_game", "excess_flow_weights", "families_at_fault", "fault_kinds", "footprint_log_joint", "gaussian_tail_game", "interaction_game", "live_edge_game", "logp_grad", "max_block", "merge_otlp", "mine_templates", "n_estimated", "n_hypotheses", "noisy_or_game", "nonlinear_tail_game", "own_log_ratios", "own_patterns_shown", "parameter_layout", "pareto_k", "path_probabilities", "prepare", "python_game", "release", "root_log_posterior", "sampled_tail_game", "screen", "set_sizes", "sets", "sum_errors", "symbol_address", "trace_log_ratios", "vital_families", "vital_log_ratios", "width"]

__version__: Final[str]
"""
Version of the package, the same as the wheel's.
"""

@final
class FamilyEvidence:
    """
    Evidence of one signal family over n components and s footprints.

    All arrays are C-contiguous float64 unless said; NaN marks a missing entry.

    Args:
        edges: int64 [e, 2], pairs (from, to) along which a fault visible in this family travels.
        series_component: int64 [m], the component of each continuous series.
        z: [m, s], standardised contrasts.
        log_quiet: [n, s], log probability of the observed count under the usual quiet law.
        log_wide: [n, s], the same under the wide quiet law.
        log_affected: [n, s], the same for an affected component.
        dose: [n, s], log dose.
        dose_noise: [n, s], standard deviation of the dose in its own unit.
        dose_jacobian: [n, s], d(log dose)/d(z) of continuous cells.
        dose_low: [n, s], log dose at the lower edge of the observed count; of a continuous cell, at z = 2.
        dose_high: [n, s], log dose at its upper edge.

    Raises:
        InvalidEvidenceError: an array is not contiguous.
    """
    def __new__(cls, /, *, edges: Incomplete, series_component: Incomplete, z: Incomplete, log_quiet: Incomplete, log_wide: Incomplete, log_affected: Incomplete, dose: Incomplete, dose_noise: Incomplete, dose_jacobian: Incomplete, dose_low: Incomplete, dose_high: Incomplete) -> FamilyEvidence: ...

@final
class NativeEstimate:
    """
    Shapley values with their errors.
    """
    @property
    def baseline(self, /) -> float:
        """
        Value of the empty coalition.
        """
    @property
    def converged(self, /) -> bool:
        """
        Whether the tolerance was met, or the budget spent where none was asked for.
        """
    @property
    def exact(self, /) -> bool:
        """
        Whether the values are exact, up to rounding.
        """
    @property
    def grand(self, /) -> float:
        """
        Value of the coalition of all players.
        """
    @property
    def half_width(self, /) -> Incomplete:
        """
        Half-widths of the intervals, float64 [n].
        """
    @property
    def inner_std_err(self, /) -> Incomplete | None:
        """
        Standard errors that stem from the game's own samples, float64 [n]; None where it has none.
        """
    @property
    def n_evaluations(self, /) -> int:
        """
        Evaluations of the game.
        """
    @property
    def n_surrogate_evaluations(self, /) -> int:
        """
        Evaluations of the game's surrogate, its control variate.
        """
    @property
    def n_units(self, /) -> int:
        """
        Independent sampling units.
        """
    @property
    def rule(self, /) -> str:
        """
        Stable word for how the values and errors came about.
        """
    @property
    def std_err(self, /) -> Incomplete:
        """
        Standard errors over orders or worlds, float64 [n].
        """
    @property
    def values(self, /) -> Incomplete:
        """
        Shapley values, float64 [n].
        """

@final
class NativeGame:
    """
    A game whose players share a value. Built once; all computations on it read only.
    """
    def estimate_shares(self, /, *, resamples: int, seed: int) -> "tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]":
        """
        Shares of the target's excess among those whose value stands out of its noise, with the errors that the doses'
        noise puts on them.

        Args:
            resamples: how often the doses are drawn anew (>= 2).
            seed: seed of the draws.

        Returns:
            float64 [n] each: the shares, their standard errors, the standard errors of the values.

        Raises:
            InvalidGameError: this is no excess-flow game, or fewer than 2 resamples.
        """
    @property
    def n_players(self, /) -> int:
        """
        Number of players.
        """
    def values(self, /, coalitions: "numpy.typing.NDArray[numpy.bool_]") -> "numpy.typing.NDArray[numpy.float64]":
        """
        Value of each coalition.

        Args:
            coalitions: bool [b, n], one row per coalition.

        Returns:
            float64 [b].

        Raises:
            InvalidGameError: the matrix has another width, or the game is only known by sampled worlds or valued by Python.
        """

@final
class OtlpTable:
    """
    Spans, metric points or log records in columns; what they say is kept once and referred to by number.
    """
    def __len__(self, /) -> int:
        """
        Number of records.
        """
    def attribute(self, /, key: str) -> "numpy.typing.NDArray[numpy.int32]":
        """
        For each record the number of its attribute with this key, -1 where it has none.
        """
    def columns(self, /) -> "dict[str, numpy.typing.NDArray[numpy.generic]]":
        """
        The columns by name, as `bayesrca.columns.otlp` describes them.
        """
    @property
    def invalid_texts(self, /) -> int:
        """
        Texts that were not UTF-8 and have U+FFFD where they could not be read.
        """
    @property
    def n_bytes(self, /) -> int:
        """
        Bytes that the table takes in memory.
        """
    @property
    def period(self, /) -> tuple[int, int] | None:
        """
        Earliest and latest time, nanoseconds since 1970; None without a record.
        """
    @property
    def rejected(self, /) -> list[tuple[str, int]]:
        """
        Records that were left out, as pairs (why, how many).
        """
    def resource_attribute(self, /, key: str) -> "numpy.typing.NDArray[numpy.int32]":
        """
        For each distinct resource the number of its attribute with this key, -1 where it has none.
        """
    def strings(self, /) -> "list[str]":
        """
        The texts, by number.
        """
    def traces(self, /) -> "tuple[numpy.typing.NDArray[numpy.int64], list[str]]":
        """
        Of spans: number of each one's trace, and the traces' ids as hexadecimal digits.

        Raises:
            ValueError: the table does not hold spans.
        """
    def values(self, /) -> "list[str | bool | int | float | None]":
        """
        The values of the distinct attributes, by number: bytes as hexadecimal digits, lists and maps as JSON.
        """

@final
class Screen:
    """
    Weighted draws of theta, with the posterior over hypotheses at each.
    """
    @property
    def log_likelihood(self, /) -> Incomplete:
        """
        Log likelihood of each draw, float64 [d].
        """
    @property
    def log_root(self, /) -> Incomplete:
        """
        Log posterior of every hypothesis at each draw, float64 [d, k].
        """
    @property
    def log_weights(self, /) -> Incomplete:
        """
        Log importance weights, float64 [d].
        """
    @property
    def mode(self, /) -> Incomplete:
        """
        Unconstrained posterior mode, float64 [p].
        """
    @property
    def pareto_k(self, /) -> float:
        """
        Pareto shape of the importance weights.
        """
    @property
    def thetas(self, /) -> Incomplete:
        """
        Unconstrained draws, float64 [d, p], scramble by scramble.
        """

@final
class SpanBatch:
    """
    Whole traces as columns: n spans and l log lines within them, in any order.

    Args:
        component: int32 [n], number of the component that made the span (>= 0).
        operation: int32 [n], number of its operation (>= 0).
        parent: int64 [n], row of the span that it was made within; any other number for none.
        start_ns: int64 [n], start in nanoseconds.
        duration_ns: int64 [n], duration in nanoseconds (>= 0).
        kind: int8 [n], OpenTelemetry's span kind.
        status: int8 [n], 2 for a span that failed.
        peer: int32 [n], number of a component without spans that the span calls, -1 for none.
        side: int8 [n], which count the span goes to, -1 for none.
        covered: bool [n], whether log lines of the component are there for the time of the span.
        log_span: int64 [l], row of the span that a log line lies in, -1 for none.
        log_key: int32 [l], number of its template or code region (>= 0).
        log_time_ns: int64 [l], its time in nanoseconds.

    Raises:
        InvalidEvidenceError: an array is not contiguous.
    """
    def __new__(cls, /, *, component: Incomplete, operation: Incomplete, parent: Incomplete, start_ns: Incomplete, duration_ns: Incomplete, kind: Incomplete, status: Incomplete, peer: Incomplete, side: Incomplete, covered: Incomplete, log_span: Incomplete, log_key: Incomplete, log_time_ns: Incomplete) -> SpanBatch: ...

@final
class SpanReduction:
    """
    Counts and moments of spans by side; every table has a row per key and a column per side.

    Args:
        sides: sides that are counted apart (>= 1).
        limit: most keys of each table; what would need more is counted in `left_out`.

    Raises:
        InvalidEvidenceError: there is no side.
    """
    def __new__(cls, /, *, sides: int, limit: int) -> SpanReduction: ...
    @property
    def calls(self, /) -> Incomplete:
        """
        Spans with such a call, int64 [t, sides].
        """
    def count_order(self, /, batches: "list[SpanBatch]", *, sides: "int", marks: "numpy.typing.NDArray[numpy.int8]") -> "tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64]]":
        """
        Count in which order things changed in the visits of the first sides, batch by batch.

        Args:
            batches: what was pushed.
            sides: how many of the first sides are asked.
            marks: int8 [e], per event 1 where having it is a change, -1 where missing it is, else 0.

        Returns:
            Per edge (rows: caller, callee, visits of a caller that changed after a failed or changed call, visits of one that
            did not change with such a call) and per component (rows: component, visits that changed, visits that did not).

        Raises:
            InvalidEvidenceError: another number of marks than there are events.
        """
    @property
    def covered(self, /) -> Incomplete:
        """
        Of them, those with log coverage, int64 [p, sides].
        """
    @property
    def events(self, /) -> Incomplete:
        """
        What happens within spans of a path, int64 [e, 4]: path, sort (0 operation, 1 call to another component, 2 log line,
        3 failure), its number, and 1 for "at least twice".
        """
    @property
    def gap_keys(self, /) -> Incomplete:
        """
        Caller, its operation and callee of each group of gaps, int64 [g, 3].
        """
    @property
    def gap_moments(self, /) -> Incomplete:
        """
        Number, mean and sum of squared deviations of log(gap in microseconds + 100), float64 [g, 3 sides].
        """
    @property
    def instances(self, /) -> Incomplete:
        """
        Spans of each path, int64 [p, sides].
        """
    @property
    def last(self, /) -> Incomplete:
        """
        Of them, those in which it was the last thing to happen, int64 [t, sides].
        """
    @property
    def left_out(self, /) -> int:
        """
        Numbers that were not kept because a table was full.
        """
    @property
    def paths(self, /) -> Incomplete:
        """
        Component and operations of each local path, int64 [p, 6]: the operation, then those of its ancestors, -1 beyond.
        """
    @property
    def present(self, /) -> Incomplete:
        """
        Spans in which the event happened, int64 [e, sides].
        """
    def push(self, /, batch: SpanBatch) -> None:
        """
        Add whole traces.

        Raises:
            InvalidEvidenceError: columns of different lengths, or a number out of its range.
        """
    @property
    def ranks(self, /) -> Incomplete:
        """
        Over these spans, the sum of how many other things had happened before, float64 [e, sides].
        """
    @property
    def self_keys(self, /) -> Incomplete:
        """
        Component and operation of each group of self times, int64 [k, 2].
        """
    @property
    def self_moments(self, /) -> Incomplete:
        """
        Number, mean and sum of squared deviations of log(self time in microseconds + 100), float64 [k, 3 sides].
        """
    @property
    def terminal_keys(self, /) -> Incomplete:
        """
        Calls from spans of a path, int64 [t, 3]: path, callee, and 1 where log lines count as something after the call.
        """

@final
class TraceEvidence:
    """
    What spans and logs say: log Bayes factors of n components and e call edges, NaN where there is nothing to tell.

    Args:
        own_pattern: float64 [n], of child calls and log lines within a component's own span paths.
        own_self_time: float64 [n], of the time that a component's operations spend in themselves.
        edges: int64 [e, 2], pairs (caller, callee), each once.
        gap: float64 [e], of client time less server time.
        terminal: float64 [e], of the call being the last thing that its caller does.
        order: float64 [e], of the caller's changes following a failed call to this callee.

    Raises:
        InvalidEvidenceError: the edges are not contiguous.
    """
    def __new__(cls, /, *, own_pattern: Incomplete, own_self_time: Incomplete, edges: Incomplete, gap: Incomplete, terminal: Incomplete, order: Incomplete) -> TraceEvidence: ...

@final
class VitalEvidence:
    """
    Evidence of the components' own resource telemetry: m series over s footprints.

    Args:
        component: int64 [m], the component of each series, ascending.
        family: int64 [m], its family (0 load, 1 cpu, 2 memory, 3 disk, 4 network, 5 generic, 6 host, 7 state, 8 egress),
            ascending within a component.
        z: float64 [m, s], standardised signed contrasts, NaN where missing and for states.
        log_fault: float64 [m, s], log density ratio "at fault" to quiet of states, NaN elsewhere.
        log_disturbed: float64 [m, s], the same for "disturbed".
        demand: int64 [e, 2], pairs (from, to) along which demand travels.
        onset: float64 [n], when each component began to change, in seconds, NaN where that is not known.
        onset_error: float64 [n], width in seconds of the interval in which each onset lies.
        window: length of the incident window in seconds.

    Raises:
        InvalidEvidenceError: z is not contiguous or has another number of rows than there are series.
    """
    def __new__(cls, /, *, component: Incomplete, family: Incomplete, z: Incomplete, log_fault: Incomplete, log_disturbed: Incomplete, demand: Incomplete, onset: Incomplete, onset_error: Incomplete, window: float) -> VitalEvidence: ...

def call_tree_game(*, parent: "numpy.typing.NDArray[numpy.int64]", stage: "numpy.typing.NDArray[numpy.int64]", baseline: "numpy.typing.NDArray[numpy.float64]", observed: "numpy.typing.NDArray[numpy.float64]") -> "NativeGame":
    """
    The game of a request's latency when spans take their observed instead of their usual time.

    Args:
        parent: int64 [n], the calling span; -1 for the root.
        stage: int64 [n] (>= 0), which of its parent's sequential stages a span belongs to; calls of one stage run in
            parallel.
        baseline: float64 [n], usual time of its own (>= 0).
        observed: float64 [n], time of its own in the incident (>= 0).

    Raises:
        InvalidGameError: none or several roots, an unknown parent, a cycle, a wrong shape or an illegal time.
    """

def compute_interactions(game: NativeGame, *, threads: "int" = 1, progress: "object" = None, cancelled: "object" = None) -> "numpy.typing.NDArray[numpy.float64]":
    """
    Compute exact pairwise Shapley interaction indices: by a closed form, else by enumeration.

    Args:
        game: the game.
        threads: threads to use (>= 1).
        progress: as for `estimate_shapley`.
        cancelled: polled while working; True stops with CancelledError.

    Returns:
        float64 [n, n], symmetric, 0 on the diagonal.

    Raises:
        InvalidGameError: the game has no players, or too many for an enumeration.
        KernelError: a value is not finite.
        CancelledError: `cancelled` returned True.
    """

def compute_shapley(game: NativeGame, *, threads: int = 1, progress: Any | None = None, cancelled: Any | None = None) -> NativeEstimate:
    """
    Compute exact Shapley values: by a closed form, else by enumeration.

    Args:
        game: the game.
        threads: threads to use (>= 1).
        progress: as for `estimate_shapley`.
        cancelled: polled while working; True stops with CancelledError.

    Raises:
        InvalidGameError: the game has no players, or too many for an enumeration.
        KernelError: a value is not finite.
        CancelledError: `cancelled` returned True.
    """

def decode_otlp(kind: str, request: bytes, *, records: int, attributes: int, text_bytes: int, depth: int) -> OtlpTable:
    """
    Decode an OpenTelemetry export request.

    Args:
        kind: what it holds, `spans`, `points` or `logs`.
        request: the serialised request.
        records: most spans, points or log records.
        attributes: most attributes of one record, resource or scope.
        text_bytes: most bytes of one text or value.
        depth: how deeply lists and maps may be nested in a value.

    Raises:
        InvalidTelemetryError: it is no such request, or holds more than it may; the message names the byte.
        ValueError: an unknown kind.
    """

def estimate_shapley(game: NativeGame, *, seed: int, tolerance: float | None = None, relative: bool = True, budget: int | None = None, confidence: float = 0.95, method: str = "automatic", guarantee: str = "asymptotic", threads: int = 1, deadline: float | None = None, progress: Any | None = None, cancelled: Any | None = None) -> NativeEstimate:
    """
    Estimate Shapley values.

    Args:
        game: the game.
        seed: seed of every random stream; the same seed gives the same bits for any number of threads.
        tolerance: half-width at which to stop, or None.
        relative: whether it is relative to the root mean square of the values.
        budget: most evaluations, or None.
        confidence: coverage of the half-widths, in (0, 1).
        method: "automatic", "sampled" or "leverage".
        guarantee: "asymptotic" or "bernstein": what the half-widths under a tolerance promise.
        threads: threads to use (>= 1).
        deadline: seconds after which to return what there is, or None.
        progress: told the evaluations so far, the planned ones or None, the widest half-width and its target or None.
        cancelled: polled while working; True stops with CancelledError.

    Raises:
        InvalidGameError: the game has no players.
        InvalidSettingsError: the budget, tolerance or confidence is out of range.
        KernelError: a value is not finite.
        CancelledError: `cancelled` returned True.
    """

def excess_flow_game(*, calls: "numpy.typing.NDArray[numpy.int64]", weights: "numpy.typing.NDArray[numpy.float64]", target: "int", dose: "numpy.typing.NDArray[numpy.float64]", dose_sd: "numpy.typing.NDArray[numpy.float64]", min_signal: "float") -> "NativeGame":
    """
    The game of excess work that arrives at the target along a call graph.

    Args:
        calls: int64 [e, 2], pairs (caller, callee).
        weights: float64 [e], part of the callee's excess that the caller sees (>= 0).
        target: the component whose excess is explained.
        dose: float64 [n], excess of each component; NaN where it does not report.
        dose_sd: float64 [n], standard deviation of its noise (>= 0; any where the dose is NaN).
        min_signal: doses below this many standard deviations count as 0 (>= 0).

    Raises:
        InvalidGameError: a wrong shape, a negative or infinite entry, a target without a dose, or a cycle of calls that
            hands on all the work that goes round or more.
    """

def excess_flow_weights(*, requests: "numpy.typing.NDArray[numpy.float64]", calls: "numpy.typing.NDArray[numpy.int64]") -> "numpy.typing.NDArray[numpy.float64]":
    """
    Part of each callee's excess that each caller sees: the caller's part of the requests of all its callers. Equal
    parts where one of these is unknown or nobody has requests.

    Args:
        requests: float64 [n], requests of each component (>= 0), NaN where unknown.
        calls: int64 [e, 2], pairs (caller, callee).

    Returns:
        float64 [e], in [0, 1].

    Raises:
        InvalidGameError: an unknown component or an illegal number of requests.
    """

def families_at_fault(handle: int, theta: Incomplete) -> Incomplete:
    """
    Probability that each vital family is the one at fault, given theta and a resource fault at a component: float64
    [n, vital families, s].
    """

def fault_kinds() -> list[str]:
    """
    Names of the fault kinds, in the order of the hypotheses.
    """

def footprint_log_joint(handle: int, theta: Incomplete) -> Incomplete:
    """
    Log joint of every hypothesis and footprint given theta: float64 [k, s].
    """

def gaussian_tail_game(*, edges: "numpy.typing.NDArray[numpy.int64]", weights: "numpy.typing.NDArray[numpy.float64]", target: "int", observed_noise: "numpy.typing.NDArray[numpy.float64]", baseline_mean: "numpy.typing.NDArray[numpy.float64]", baseline_sd: "numpy.typing.NDArray[numpy.float64]", lower: "bool") -> "NativeGame":
    """
    The same with normal noise, whose tail probability is a formula.

    Args:
        edges: int64 [e, 2], pairs (parent, child) without a cycle.
        weights: float64 [e], effect of the parent on the child.
        target: the node whose outlying value is explained.
        observed_noise: float64 [n], noise terms of the incident.
        baseline_mean: float64 [n], means of the noise at usual times.
        baseline_sd: float64 [n], its standard deviations (>= 0).
        lower: whether small values of the target are the anomaly.

    Raises:
        InvalidGameError: a cycle, a wrong shape, an entry that is not finite or a negative deviation.
    """

def interaction_game(*, constant: "float", single: "numpy.typing.NDArray[numpy.float64]", pair: "numpy.typing.NDArray[numpy.float64]", triples: "numpy.typing.NDArray[numpy.int64]", triple_effects: "numpy.typing.NDArray[numpy.float64]") -> "NativeGame":
    """
    The game of single, pairwise and triple effects.

    Args:
        constant: value of the empty coalition.
        single: float64 [n], effect of each player alone.
        pair: float64 [n, n], symmetric effects of pairs; the diagonal is ignored.
        triples: int64 [t, 3], three different players each.
        triple_effects: float64 [t], effects of the triples.

    Raises:
        InvalidGameError: a wrong shape, an entry that is not finite, an asymmetric `pair` or a repeated player.
    """

def live_edge_game(*, edges: "numpy.typing.NDArray[numpy.int64]", transmission: "numpy.typing.NDArray[numpy.float64]", target: "int", leak: "numpy.typing.NDArray[numpy.float64]", activation: "numpy.typing.NDArray[numpy.float64]") -> "NativeGame":
    """
    The same in the true live-edge semantics, on any graph, cycles included.

    Args:
        edges: int64 [e, 2], pairs (from, to); parallel edges are independent.
        transmission: float64 [e], probability that the edge is live.
        target: the node whose failure is explained.
        leak: float64 [n], probability of failing for no reason.
        activation: float64 [n], probability that a member of the coalition fails.

    Raises:
        InvalidGameError: a wrong shape or an entry that is not a probability.
    """

def logp_grad(handle: int, theta: Incomplete) -> tuple[float, Incomplete]:
    """
    Log likelihood (hypotheses summed out) and its gradient.

    Args:
        theta: float64 [p], unconstrained parameters in the order of `parameter_layout`.

    Returns:
        The log likelihood and float64 [p].
    """

def max_block() -> int:
    """
    Most components in one knot of cycles that are summed as a whole.
    """

def merge_otlp(kind: str, tables: "list[OtlpTable]", begin: int, end: int) -> OtlpTable:
    """
    Put the records of several tables that lie in a window into one, in their order.

    Args:
        kind: what the tables hold.
        tables: tables of that kind, possibly none.
        begin: first nanosecond since 1970 of the window.
        end: the nanosecond after it.

    Raises:
        InvalidEvidenceError: more than 2^32 records or attributes.
        ValueError: a table of another kind.
    """

def mine_templates(lines: "list[str]") -> "tuple[numpy.typing.NDArray[numpy.int64], list[str]]":
    """
    Find the templates of log lines, in their order: lines that one statement of a program could have printed.

    Args:
        lines: the lines; of each the first 512 bytes and 48 words are read.

    Returns:
        The number of each line's template, int64 [n], and how each template reads.
    """

def n_estimated(handle: int) -> int:
    """
    Number of sums over affected sets past `max_width`, which are estimated.
    """

def n_hypotheses(handle: int) -> int:
    """
    Number of hypotheses: every kind of every component, the sets, then "none of these".
    """

def noisy_or_game(*, edges: "numpy.typing.NDArray[numpy.int64]", transmission: "numpy.typing.NDArray[numpy.float64]", target: "int", leak: "numpy.typing.NDArray[numpy.float64]", activation: "numpy.typing.NDArray[numpy.float64]") -> "NativeGame":
    """
    The game of the target's failure probability when parents fail independently of each other (noisy-OR).

    Args:
        edges: int64 [e, 2], pairs (parent, child) without a cycle.
        transmission: float64 [e], probability that the parent's failure makes the child fail.
        target: the node whose failure is explained.
        leak: float64 [n], probability of failing for no reason.
        activation: float64 [n], probability that a member of the coalition fails.

    Raises:
        InvalidGameError: a cycle, a wrong shape or an entry that is not a probability.
    """

def nonlinear_tail_game(*, edges: "numpy.typing.NDArray[numpy.int64]", weights: "numpy.typing.NDArray[numpy.float64]", target: "int", slope: "numpy.typing.NDArray[numpy.float64]", observed_noise: "numpy.typing.NDArray[numpy.float64]", baseline_noise: "numpy.typing.NDArray[numpy.float64]", lower: "bool") -> "NativeGame":
    """
    The same by counting samples where each node is a leaky rectifier of its parents: `max(h, slope h) + noise`.

    Args:
        edges: int64 [e, 2], pairs (parent, child) without a cycle.
        weights: float64 [e], effect of the parent on h of the child.
        target: the node whose outlying value is explained.
        slope: float64 [n], 0 to 1 (1 is the linear model).
        observed_noise: float64 [n], noise terms of the incident.
        baseline_noise: float64 [m, n], noise terms of usual times.
        lower: whether small values of the target are the anomaly.

    Raises:
        InvalidGameError: a cycle, a wrong shape, a slope outside 0 to 1 or an entry that is not finite.
    """

def own_log_ratios(handle: int, theta: Incomplete) -> Incomplete:
    """
    Log Bayes factor of "root" against "quiet" of every cell given theta: float64 [families, n, s].
    """

def own_patterns_shown(handle: int, theta: Incomplete) -> Incomplete:
    """
    Probability that a single cause shows its fault in its own patterns given theta and its kind: float64 [n, kinds], NaN
    where these tell nothing.
    """

def parameter_layout() -> list[tuple[str, int, str]]:
    """
    Name, length and transform (`log` or `logit`) of each parameter, in the order of theta.
    """

def pareto_k(log_weights: Incomplete) -> float:
    """
    Pareto shape k-hat of importance weights given by their logarithms, float64 [d].
    """

def path_probabilities(handle: int, theta: Incomplete, component: int, family: int, footprint: int) -> tuple[Incomplete, Incomplete, Incomplete, Incomplete]:
    """
    Whom a fault at a component has affected in a family, and which edges carried it, given theta and the footprint.

    Args:
        theta: float64 [p].
        component: index of the root.
        family: 0 latency, 1 errors.
        footprint: index of the footprint.

    Returns:
        int64 [m] components the root can reach, float64 [m] the probability that each is affected, int64 [e, 2] edges
        (from, to) among them and the root, float64 [e] the probability that each carried the fault.

    Raises:
        InvalidEvidenceError: an index is out of range.
    """

def prepare(*, n_components: int, footprint_log_prior: Incomplete, target: int | None, alarm_family: int | None, alarm_in_vitals: bool, root_log_factor: Incomplete, root_log_prior: Incomplete, crash_log_ratio: Incomplete, families: Sequence[FamilyEvidence], vitals: VitalEvidence, traces: TraceEvidence | None, alert_log_ratio: Incomplete, none_prior: float, max_width: int, estimate_seed: int | None, max_causes: int, set_candidates: int, centre: Incomplete) -> int:
    """
    Prepare an incident's likelihood and return its handle.

    Args:
        n_components: number of components n (>= 1).
        footprint_log_prior: float64 [s], log prior of each footprint.
        target: index of the component that raised the alarm, or None.
        alarm_family: family of the alarm (0 latency, 1 errors); given exactly when the target is.
        alarm_in_vitals: whether the alarm was raised on the target's vitals.
        root_log_factor: float64 [n, s], log factor (<= 0) on a component being the root in a footprint.
        families: evidence of latency and errors, in this order.
        vitals: evidence of the components' own resource telemetry.
        traces: what spans and logs say, or None where nothing was traced.
        alert_log_ratio: float64 [n], log Bayes factor of the alerts for each component against "none of these".
        root_log_prior: float64 [n], log prior weight of each component as a root.
        crash_log_ratio: float64 [n, s], log ratio of "crashed" to "as usual" of the component's presence.
        none_prior: prior probability of "none of these", in (0, 1).
        max_width: components that may be open at once in the exact sum over affected sets.
        estimate_seed: seed from which sums past `max_width` are estimated; None refuses them.
        max_causes: largest set of causes that is weighed (1 to 3).
        set_candidates: components among which sets are formed.
        centre: float64 [p], theta at which sets are chosen.

    Raises:
        InvalidEvidenceError: shapes, ranges or values are wrong.
        GraphTooWideError: the exact sum would exceed `max_width` and may not be estimated.
        KernelError: too many incidents are prepared at once.
    """

def python_game(n_players: int, values: Any, *, samples: Any | None = None, n_samples: int = 0) -> NativeGame:
    """
    A game whose coalitions Python values in batches.

    Args:
        n_players: number of players (>= 1).
        values: callable from bool [b, n] to float64 [b]; called on the thread that asks for the estimate.
        samples: callable from bool [b, n] to float64 [b, m], values of the m samples whose mean `values` is; None when
            the game is no such mean.
        n_samples: m (>= 2 where there are samples).
    """

def release(handle: int) -> None:
    """
    Free a prepared likelihood; waits for calls in progress.

    Raises:
        KernelError: the handle is unknown or already released.
    """

def root_log_posterior(handle: int, thetas: Incomplete, *, threads: int) -> tuple[Incomplete, Incomplete]:
    """
    Log posterior of every hypothesis given each theta.

    Args:
        thetas: float64 [d, p], C-contiguous.
        threads: threads to use (>= 1); never changes a bit of the result.

    Returns:
        float64 [d, k] with rows that sum to one after `exp`, and float64 [d] log likelihoods.
    """

def sampled_tail_game(*, edges: "numpy.typing.NDArray[numpy.int64]", weights: "numpy.typing.NDArray[numpy.float64]", target: "int", observed_noise: "numpy.typing.NDArray[numpy.float64]", baseline_noise: "numpy.typing.NDArray[numpy.float64]", lower: "bool") -> "NativeGame":
    """
    The game of log tail probabilities of the target in a linear structural model, by counting samples.

    Args:
        edges: int64 [e, 2], pairs (parent, child) without a cycle.
        weights: float64 [e], effect of the parent on the child.
        target: the node whose outlying value is explained.
        observed_noise: float64 [n], noise terms of the incident.
        baseline_noise: float64 [m, n], noise terms of usual times (2 <= m <= 2^22).
        lower: whether small values of the target are the anomaly.

    Raises:
        InvalidGameError: a cycle, a wrong shape or an entry that is not finite.
    """

def screen(handle: int, *, prior_mean: Incomplete, prior_sd: Incomplete, scrambles: int, points: int, seed: int, threads: int, cancelled: Any | None = None) -> Screen:
    """
    Explore theta's posterior by importance sampling around its mode.

    Args:
        handle: a prepared likelihood.
        prior_mean: float64 [p], means of the unconstrained theta's independent normal priors.
        prior_sd: float64 [p], their standard deviations (> 0).
        scrambles: independent Sobol scrambles (>= 2).
        points: points per scramble (2 to 65536).
        seed: seed of the scrambles; the same seed gives the same bits for any number of threads.
        threads: threads to use (>= 1).
        cancelled: polled while working; True stops with CancelledError.

    Raises:
        InvalidEvidenceError: a size or the prior is out of range.
        CancelledError: `cancelled` returned True.
        KernelError: unknown handle, or a posterior that is nowhere finite.
    """

def set_sizes() -> list[float]:
    """
    Prior probability of one, two and three causes, given that there is one.
    """

def sets(handle: int) -> list[list[int]]:
    """
    Components of each set of several causes that is weighed, in the order of the hypotheses.
    """

def sum_errors(handle: int, theta: Incomplete) -> Incomplete:
    """
    Standard error of the log joint of every hypothesis given theta, from estimated sums: float64 [k].
    """

def symbol_address(name: str) -> int:
    """
    Address of an exported C function, for registration with a compiler.

    `bayesrca_logp_grad(int64 handle, const double *theta, double *logp, double *gradient) -> int64`: 0 on success;
    1 unknown or released handle, 2 log likelihood not finite, 3 internal error. It takes no lock and needs no GIL.

    Args:
        name: the symbol.

    Raises:
        KeyError: no such symbol.
    """

def trace_log_ratios(handle: int, theta: Incomplete) -> Incomplete:
    """
    Log ratio of "shows the fault" to quiet of every trace cell given theta, NaN where there is nothing to tell: float64
    [2 n + 3 e], own patterns and own times by component, then gap, truncation and order by edge.
    """

def vital_families() -> list[str]:
    """
    Names of the vital families, in the order of their indices.
    """

def vital_log_ratios(handle: int, theta: Incomplete) -> Incomplete:
    """
    Log Bayes factor of "at fault" against "quiet" of every vital series given theta: float64 [m, s].
    """

def width(handle: int) -> int:
    """
    Most components open at once in the exact sum over affected sets.
    """
