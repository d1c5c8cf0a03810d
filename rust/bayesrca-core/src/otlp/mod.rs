//! OpenTelemetry's export requests as columns.
//!
//! A request is read once, by hand, without a copy of what it holds: texts are interned, and so are whole attributes,
//! by the bytes they arrive as, so one that repeats costs a hash and a comparison. Unknown fields are skipped, as
//! protocol buffers demand. A text that is not UTF-8 is kept with U+FFFD in place of what cannot be read, and counted:
//! one bad byte must not cost a batch. Records that the specification calls invalid are left out, and counted by why.
//!
//! A request with an error is refused as a whole, with the offset of the byte at fault. What a request takes in memory
//! is bounded by [`BYTES_PER_BYTE`] times its length and a constant, whatever it holds.

mod buckets;
mod build;
mod intern;
mod logs;
mod merge;
mod metrics;
mod points;
mod spans;
mod table;
mod value;
mod wire;

pub use intern::Strings;
pub use logs::{Logs, decode_logs};
pub use metrics::decode_metrics;
pub use points::{Buckets, Metric, MetricKind, Points, Quantiles, Temporality};
pub use spans::{SpanEvents, Spans, decode_spans};
pub use table::{Columns, Dictionary, Lists, Records, Tally};
pub use value::Value;

/// Most bytes of columns for each byte of a request: an empty record takes two bytes on the wire.
pub const BYTES_PER_BYTE: usize = 256;

/// What one request may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Spans, points or log records.
    pub records: usize,
    /// Attributes of one span, event, point, log record, resource or scope.
    pub attributes: usize,
    /// Bytes of one text, and of one attribute or body.
    pub text_bytes: usize,
    /// How deeply lists and maps may be nested in a value.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            records: 1 << 20,
            attributes: 1024,
            text_bytes: 1 << 20,
            depth: 32,
        }
    }
}
