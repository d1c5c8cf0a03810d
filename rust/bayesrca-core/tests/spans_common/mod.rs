//! Random spans, and an oracle that climbs, marks and counts one span at a time.

#![allow(missing_docs)]

use std::collections::BTreeMap;

use bayesrca_core::spans::MAX_ANCESTORS;
use proptest::prelude::*;

pub use span_columns::SpanColumns;

#[path = "../span_columns/mod.rs"]
mod span_columns;

/// One span, and the log lines within it as (time, key).
#[derive(Debug, Clone)]
pub struct Span {
    pub component: i32,
    pub operation: i32,
    pub parent: i64,
    pub start: i64,
    pub duration: i64,
    pub kind: i8,
    pub status: i8,
    pub peer: i32,
    pub side: i8,
    pub covered: bool,
    pub lines: Vec<(i64, i32)>,
}

pub fn columns(spans: &[Span]) -> SpanColumns {
    let mut out = SpanColumns::default();
    for (row, s) in spans.iter().enumerate() {
        for (column, x) in out.ints.iter_mut().zip([s.component, s.operation, s.peer]) {
            column.push(x);
        }
        for (column, x) in out.longs.iter_mut().zip([s.parent, s.start, s.duration]) {
            column.push(x);
        }
        for (column, x) in out.bytes.iter_mut().zip([s.kind, s.status, s.side]) {
            column.push(x);
        }
        out.covered.push(s.covered);
        for &(time, key) in &s.lines {
            out.log_span.push(row as i64);
            out.log_key.push(key);
            out.log_time.push(time);
        }
    }
    out
}

fn span(rows: i64) -> impl Strategy<Value = Span> {
    (
        (0..3_i32, 0..3_i32, -2..rows + 2, 0..40_i64, 0..40_i64),
        (0..6_i8, 0..3_i8, -1..3_i32, -1..2_i8, any::<bool>()),
        prop::collection::vec((0..60_i64, 0..3_i32), 0..4),
    )
        .prop_map(
            |((component, operation, parent, start, duration), rest, lines)| {
                let (kind, status, peer, side, covered) = rest;
                Span {
                    component,
                    operation,
                    parent,
                    start,
                    duration,
                    kind,
                    status,
                    peer,
                    side,
                    covered,
                    lines,
                }
            },
        )
}

pub fn spans() -> impl Strategy<Value = Vec<Span>> {
    (1..14_usize).prop_flat_map(|n| prop::collection::vec(span(n as i64), n))
}

/// Parent of each span: climbing from it must never lead back to it.
fn parents(spans: &[Span]) -> Vec<Option<usize>> {
    let link = |s: usize| {
        usize::try_from(spans[s].parent)
            .ok()
            .filter(|&p| p < spans.len() && p != s)
    };
    (0..spans.len())
        .map(|s| {
            let mut at = link(s);
            for _ in 0..spans.len() {
                match at {
                    Some(p) if p == s => return None,
                    Some(p) => at = link(p),
                    None => break,
                }
            }
            link(s)
        })
        .collect()
}

pub struct Oracle<'a> {
    pub spans: &'a [Span],
    pub parent: Vec<Option<usize>>,
}

impl<'a> Oracle<'a> {
    pub fn new(spans: &'a [Span]) -> Self {
        Self {
            spans,
            parent: parents(spans),
        }
    }

    pub fn children(&self, s: usize) -> Vec<usize> {
        let mut out: Vec<_> = (0..self.spans.len())
            .filter(|&c| self.parent[c] == Some(s))
            .collect();
        out.sort_by_key(|&c| (self.spans[c].start, c));
        out
    }

    pub fn callee(&self, s: usize) -> Option<i32> {
        let own = self.spans[s].component;
        let called = self
            .children(s)
            .into_iter()
            .map(|c| self.spans[c].component);
        called.into_iter().find(|&c| c != own)
    }

    /// Every nanosecond is marked by itself.
    pub fn self_time(&self, s: usize) -> i64 {
        let span = &self.spans[s];
        let mut covers: Vec<usize> = self.children(s);
        if let Some(p) = self.parent[s] {
            covers.extend(self.children(p).into_iter().filter(|&c| {
                c != s
                    && self.spans[c].component == span.component
                    && self.spans[c].start > span.start
                    && self.callee(c).is_some()
            }));
        }
        (span.start..span.start + span.duration)
            .filter(|t| {
                !covers.iter().any(|&c| {
                    let c = &self.spans[c];
                    (c.start..c.start + c.duration).contains(t)
                })
            })
            .count() as i64
    }

    pub fn path(&self, s: usize) -> (i32, Vec<i32>) {
        let component = self.spans[s].component;
        let mut operations = vec![self.spans[s].operation];
        let mut at = s;
        while let Some(p) = self.parent[at] {
            if self.spans[p].component != component || operations.len() > MAX_ANCESTORS {
                break;
            }
            operations.push(self.spans[p].operation);
            at = p;
        }
        operations.resize(MAX_ANCESTORS + 1, -1);
        (component, operations)
    }

    /// Times of each thing that happened in the span.
    pub fn events(&self, s: usize) -> BTreeMap<(u8, i32), Vec<i64>> {
        let span = &self.spans[s];
        let mut out: BTreeMap<(u8, i32), Vec<i64>> = BTreeMap::new();
        for c in self.children(s) {
            let child = &self.spans[c];
            let what = if child.component == span.component {
                (0, child.operation)
            } else {
                (1, 0)
            };
            out.entry(what).or_default().push(child.start);
        }
        for &(time, key) in span.lines.iter().filter(|_| span.covered) {
            out.entry((2, key)).or_default().push(time);
        }
        if span.status == 2 {
            out.entry((3, 0))
                .or_default()
                .push(span.start + span.duration);
        }
        for times in out.values_mut() {
            times.sort_unstable();
        }
        out
    }

    pub fn call_of(&self, s: usize, c: usize) -> Option<i32> {
        let child = &self.spans[c];
        if child.component != self.spans[s].component {
            return Some(child.component);
        }
        self.callee(c).or(Some(child.peer).filter(|&p| p >= 0))
    }

    pub fn entry(&self, s: usize) -> usize {
        match self.parent[s] {
            Some(p) if self.spans[p].component == self.spans[s].component => self.entry(p),
            _ => s,
        }
    }
}
