//! Columns of spans, as a batch borrows them.

#![allow(missing_docs)]

use bayesrca_core::spans::SpanBatch;

#[derive(Default)]
pub struct SpanColumns {
    pub ints: [Vec<i32>; 3],
    pub longs: [Vec<i64>; 3],
    pub bytes: [Vec<i8>; 3],
    pub covered: Vec<bool>,
    pub log_span: Vec<i64>,
    pub log_key: Vec<i32>,
    pub log_time: Vec<i64>,
}

impl SpanColumns {
    pub fn batch(&self) -> SpanBatch<'_> {
        SpanBatch {
            component: &self.ints[0],
            operation: &self.ints[1],
            peer: &self.ints[2],
            parent: &self.longs[0],
            start_ns: &self.longs[1],
            duration_ns: &self.longs[2],
            kind: &self.bytes[0],
            status: &self.bytes[1],
            side: &self.bytes[2],
            covered: &self.covered,
            log_span: &self.log_span,
            log_key: &self.log_key,
            log_time_ns: &self.log_time,
        }
    }
}
