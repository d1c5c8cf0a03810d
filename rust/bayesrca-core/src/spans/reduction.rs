//! The sums that are kept of spans.

use super::batch::SpanBatch;
use super::forest::Forest;
use super::instance::{Lines, Scratch, path_of};
use super::keys::{EventKey, EventKind, Interner, PathKey};
use super::self_time::self_times;
use crate::error::{Error, Result};

/// Microseconds added before the logarithm of a time: differences far below that are noise of clocks.
const OFFSET_US: f64 = 100.0;

/// Number, mean and sum of squared deviations, updated in one pass (Welford 1962).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    /// Number of values.
    pub n: u64,
    /// Their mean, 0 for none.
    pub mean: f64,
    /// Sum of their squared deviations from it.
    pub squares: f64,
}

impl Moments {
    fn add(&mut self, x: f64) {
        self.n += 1;
        let step = x - self.mean;
        self.mean += step / self.n as f64;
        self.squares += step * (x - self.mean);
    }
}

/// Calls of one component from spans of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TerminalKey {
    /// Index of the path of the span within which the call is made.
    pub path: u32,
    /// Component that is called.
    pub callee: i32,
    /// Whether log lines count as something that happens after the call; then only spans with log coverage are counted.
    pub lines: bool,
}

/// Counts and moments of spans by side, see the module's description.
///
/// Every table has a list of keys, in the order in which they were first seen, and values by key, then side.
#[derive(Debug, Clone)]
pub struct Reduction {
    sides: usize,
    pub(super) paths: Interner<PathKey>,
    pub(super) events: Interner<EventKey>,
    self_keys: Interner<(i32, i32)>,
    gap_keys: Interner<(i32, i32, i32)>,
    terminal_keys: Interner<TerminalKey>,
    instances: Vec<u64>,
    covered: Vec<u64>,
    present: Vec<u64>,
    ranks: Vec<f64>,
    self_moments: Vec<Moments>,
    gap_moments: Vec<Moments>,
    last: Vec<u64>,
    calls: Vec<u64>,
    left_out: u64,
}

impl Reduction {
    /// An empty reduction that counts `sides` sides apart and at most `limit` keys in each table.
    #[must_use]
    pub fn new(sides: usize, limit: usize) -> Self {
        Self {
            sides,
            paths: Interner::new(limit),
            events: Interner::new(limit),
            self_keys: Interner::new(limit),
            gap_keys: Interner::new(limit),
            terminal_keys: Interner::new(limit),
            instances: Vec::new(),
            covered: Vec::new(),
            present: Vec::new(),
            ranks: Vec::new(),
            self_moments: Vec::new(),
            gap_moments: Vec::new(),
            last: Vec::new(),
            calls: Vec::new(),
            left_out: 0,
        }
    }

    /// Add whole traces.
    ///
    /// # Errors
    /// `InvalidEvidence` naming the first offending column; nothing has been added then.
    pub fn push(&mut self, batch: &SpanBatch<'_>) -> Result<()> {
        if self.sides == 0 {
            return Err(Error::evidence("sides", "must be at least 1"));
        }
        batch.validate(self.sides)?;
        let forest = Forest::new(batch);
        let lines = Lines::new(batch);
        let busy = self_times(batch, &forest);
        let mut scratch = Scratch::default();
        let mut callees = Vec::new();
        for s in 0..batch.len() {
            let Ok(side) = usize::try_from(batch.side[s]) else {
                continue;
            };
            self.add_time(batch, &forest, s, side, busy[s]);
            let Some(path) = self.paths.intern(path_of(batch, &forest, s)) else {
                self.left_out += 1;
                continue;
            };
            self.add_events(
                batch,
                s,
                side,
                path,
                scratch.collect(batch, &forest, &lines, s),
            );
            self.add_calls(batch, &forest, &lines, (s, side, path), &mut callees);
        }
        Ok(())
    }

    fn add_time(
        &mut self,
        batch: &SpanBatch<'_>,
        forest: &Forest,
        s: usize,
        side: usize,
        busy: i64,
    ) {
        let (component, operation) = (batch.component[s], batch.operation[s]);
        let x = (busy as f64 / 1000.0 + OFFSET_US).ln();
        let sides = self.sides;
        if forest.calls_out(s) && batch.is_client(s) {
            let callee = callee_of(batch, forest, component, s).unwrap_or(component);
            if let Some(i) = self.gap_keys.intern((component, operation, callee)) {
                grow(&mut self.gap_moments, (i + 1) * sides);
                self.gap_moments[i * sides + side].add(x);
                return;
            }
        } else {
            // Nobody else times a component without spans of its own.
            let owner = batch.peer_of(s).unwrap_or(component);
            if let Some(i) = self.self_keys.intern((owner, operation)) {
                grow(&mut self.self_moments, (i + 1) * sides);
                self.self_moments[i * sides + side].add(x);
                return;
            }
        }
        self.left_out += 1;
    }

    fn add_events(
        &mut self,
        batch: &SpanBatch<'_>,
        s: usize,
        side: usize,
        path: usize,
        happened: &[super::instance::Happening],
    ) {
        let sides = self.sides;
        grow(&mut self.instances, (path + 1) * sides);
        grow(&mut self.covered, (path + 1) * sides);
        self.instances[path * sides + side] += 1;
        self.covered[path * sides + side] += u64::from(batch.covered[s]);
        for h in happened {
            for twice in [false, true] {
                if twice && (h.times < 2 || h.kind == EventKind::Failure) {
                    continue;
                }
                let key = EventKey {
                    path: path as u32,
                    kind: h.kind,
                    id: h.id,
                    twice,
                };
                let Some(e) = self.events.intern(key) else {
                    self.left_out += 1;
                    continue;
                };
                grow(&mut self.present, (e + 1) * sides);
                grow(&mut self.ranks, (e + 1) * sides);
                self.present[e * sides + side] += 1;
                self.ranks[e * sides + side] += f64::from(h.rank);
            }
        }
    }

    fn add_calls(
        &mut self,
        batch: &SpanBatch<'_>,
        forest: &Forest,
        lines: &Lines,
        (s, side, path): (usize, usize, usize),
        callees: &mut Vec<i32>,
    ) {
        let component = batch.component[s];
        callees.clear();
        callees.extend(
            forest
                .children(s)
                .iter()
                .filter_map(|&c| callee_of_child(batch, forest, component, c as usize)),
        );
        callees.sort_unstable();
        callees.dedup();
        for with_lines in [false, true] {
            if callees.is_empty() || (with_lines && !batch.covered[s]) {
                continue;
            }
            let last = Scratch::last_child(batch, forest, with_lines.then_some(lines), s)
                .and_then(|c| callee_of_child(batch, forest, component, c));
            for &callee in callees.iter() {
                let key = TerminalKey {
                    path: path as u32,
                    callee,
                    lines: with_lines,
                };
                let Some(i) = self.terminal_keys.intern(key) else {
                    self.left_out += 1;
                    continue;
                };
                grow(&mut self.calls, (i + 1) * self.sides);
                grow(&mut self.last, (i + 1) * self.sides);
                self.calls[i * self.sides + side] += 1;
                self.last[i * self.sides + side] += u64::from(last == Some(callee));
            }
        }
    }

    /// Sides that are counted apart.
    #[must_use]
    pub fn sides(&self) -> usize {
        self.sides
    }

    /// Local paths.
    #[must_use]
    pub fn paths(&self) -> &[PathKey] {
        self.paths.keys()
    }

    /// Spans of each path and side.
    #[must_use]
    pub fn instances(&self) -> &[u64] {
        &self.instances
    }

    /// Of them, those with log coverage.
    #[must_use]
    pub fn covered(&self) -> &[u64] {
        &self.covered
    }

    /// Things that happen within spans of a path.
    #[must_use]
    pub fn events(&self) -> &[EventKey] {
        self.events.keys()
    }

    /// Spans of the event's path and of each side in which it happened.
    #[must_use]
    pub fn present(&self) -> &[u64] {
        &self.present
    }

    /// Over these spans, the sum of how many other things had happened before.
    #[must_use]
    pub fn ranks(&self) -> &[f64] {
        &self.ranks
    }

    /// Component and operation of the groups of self times: all but client spans with a callee's span within, under the
    /// component they call where that one makes no spans.
    #[must_use]
    pub fn self_keys(&self) -> &[(i32, i32)] {
        self.self_keys.keys()
    }

    /// Moments of log(self time in microseconds + 100) of each group and side.
    #[must_use]
    pub fn self_moments(&self) -> &[Moments] {
        &self.self_moments
    }

    /// Caller, its operation and callee of the groups of gaps: client spans with a span of another component within.
    #[must_use]
    pub fn gap_keys(&self) -> &[(i32, i32, i32)] {
        self.gap_keys.keys()
    }

    /// Moments of log(gap in microseconds + 100) of each group and side; a gap is a client span's self time.
    #[must_use]
    pub fn gap_moments(&self) -> &[Moments] {
        &self.gap_moments
    }

    /// Calls from spans of a path.
    #[must_use]
    pub fn terminal_keys(&self) -> &[TerminalKey] {
        self.terminal_keys.keys()
    }

    /// Spans with such a call, by key and side.
    #[must_use]
    pub fn calls(&self) -> &[u64] {
        &self.calls
    }

    /// Of them, those in which it was the last thing to happen.
    #[must_use]
    pub fn last(&self) -> &[u64] {
        &self.last
    }

    /// Numbers that were not kept because a table was full.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// Component that is called by a child of a span of `component`.
fn callee_of_child(
    batch: &SpanBatch<'_>,
    forest: &Forest,
    component: i32,
    child: usize,
) -> Option<i32> {
    if batch.component[child] == component {
        callee_of(batch, forest, component, child).or_else(|| batch.peer_of(child))
    } else {
        Some(batch.component[child])
    }
}

/// Component of the first child that belongs to another one than `component`.
fn callee_of(batch: &SpanBatch<'_>, forest: &Forest, component: i32, span: usize) -> Option<i32> {
    forest
        .children(span)
        .iter()
        .map(|&c| batch.component[c as usize])
        .find(|&c| c != component)
}

/// Lengthen a table with zeros.
fn grow<T: Clone + Default>(table: &mut Vec<T>, length: usize) {
    if table.len() < length {
        table.resize(length, T::default());
    }
}
