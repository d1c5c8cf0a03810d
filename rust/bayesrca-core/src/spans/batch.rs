//! Spans and log lines as columns.

use crate::error::{Error, Result};

/// Whole traces as columns: n spans, and l log lines within them.
///
/// Components, operations and log keys are numbers that mean the same in every batch of a reduction.
#[derive(Debug, Clone, Copy)]
pub struct SpanBatch<'a> {
    /// Component that made the span, length n.
    pub component: &'a [i32],
    /// Operation of the span, length n.
    pub operation: &'a [i32],
    /// Row of the span that it was made within, length n; any other number for none.
    pub parent: &'a [i64],
    /// Start in nanoseconds, length n.
    pub start_ns: &'a [i64],
    /// Duration in nanoseconds, at least 0, length n.
    pub duration_ns: &'a [i64],
    /// OpenTelemetry's span kind, length n.
    pub kind: &'a [i8],
    /// 2 for a span that failed, length n.
    pub status: &'a [i8],
    /// Component without spans of its own that the span calls, -1 for none, length n.
    pub peer: &'a [i32],
    /// Which count the span goes to, length n; -1: it is only there as its relatives' parent or child.
    pub side: &'a [i8],
    /// Whether log lines of the span's component are there for the time of the span, length n.
    pub covered: &'a [bool],
    /// Row of the span that a log line lies in, -1 for none, length l.
    pub log_span: &'a [i64],
    /// Template or code region of the line, length l.
    pub log_key: &'a [i32],
    /// Time of the line in nanoseconds, length l.
    pub log_time_ns: &'a [i64],
}

/// A server or consumer span.
const SERVER: i8 = 2;
const CONSUMER: i8 = 5;
/// A span that failed.
const FAILED: i8 = 2;

impl SpanBatch<'_> {
    /// Number of spans.
    #[must_use]
    pub fn len(&self) -> usize {
        self.component.len()
    }

    /// Whether there is no span.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.component.is_empty()
    }

    /// End of a span in nanoseconds.
    #[must_use]
    pub fn end(&self, span: usize) -> i64 {
        self.start_ns[span].saturating_add(self.duration_ns[span])
    }

    /// Whether the span failed.
    #[must_use]
    pub fn failed(&self, span: usize) -> bool {
        self.status[span] == FAILED
    }

    /// Whether the span may be a caller's side of a call: neither a server's nor a consumer's.
    #[must_use]
    pub fn is_client(&self, span: usize) -> bool {
        !matches!(self.kind[span], SERVER | CONSUMER)
    }

    /// Component that the span calls and that makes no spans.
    #[must_use]
    pub fn peer_of(&self, span: usize) -> Option<i32> {
        Some(self.peer[span]).filter(|&p| p >= 0)
    }

    pub(super) fn validate(&self, sides: usize) -> Result<()> {
        let n = self.len();
        if n >= u32::MAX as usize {
            return Err(Error::evidence(
                "spans",
                "a batch holds fewer than 2^32 spans",
            ));
        }
        for (name, length) in [
            ("operation", self.operation.len()),
            ("parent", self.parent.len()),
            ("start_ns", self.start_ns.len()),
            ("duration_ns", self.duration_ns.len()),
            ("kind", self.kind.len()),
            ("status", self.status.len()),
            ("peer", self.peer.len()),
            ("side", self.side.len()),
            ("covered", self.covered.len()),
        ] {
            if length != n {
                return Err(Error::evidence(
                    name,
                    format!("needs one entry for each of {n} spans, has {length}"),
                ));
            }
        }
        let lines = self.log_span.len();
        if self.log_key.len() != lines || self.log_time_ns.len() != lines {
            return Err(Error::evidence(
                "log_key",
                format!("needs one key and one time for each of {lines} log lines"),
            ));
        }
        if let Some(row) = (0..n).find(|&s| self.component[s] < 0 || self.operation[s] < 0) {
            return Err(Error::evidence(
                "component",
                format!("span {row} has a negative component or operation"),
            ));
        }
        if let Some(row) = self.duration_ns.iter().position(|&d| d < 0) {
            return Err(Error::evidence(
                "duration_ns",
                format!("span {row} lasts less than no time"),
            ));
        }
        if let Some(row) = self
            .side
            .iter()
            .position(|&side| usize::try_from(side).is_ok_and(|side| side >= sides))
        {
            return Err(Error::evidence(
                "side",
                format!("span {row} is counted on a side beyond the {sides} there are"),
            ));
        }
        if let Some(line) = self.log_key.iter().position(|&k| k < 0) {
            return Err(Error::evidence(
                "log_key",
                format!("line {line} has a negative key"),
            ));
        }
        Ok(())
    }
}
