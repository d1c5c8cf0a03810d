//! Log records.

use super::Limits;
use super::build::{Build, Reader, Rows};
use super::spans::{nanoseconds, small, span_id, trace_id};
use super::table::{Columns, Records};
use super::value::Reading;
use super::wire::{Message, Result, Wire};
use crate::error;

/// Log records in columns; `records.time` is when each was written or, where that was not told, observed.
#[derive(Debug, Clone, PartialEq)]
pub struct Logs {
    /// What every record has.
    pub records: Records,
    /// OpenTelemetry's severity number, 0 (unknown) to 24.
    pub severity: Vec<i8>,
    /// Text of each severity as the sender writes it.
    pub severity_text: Vec<u32>,
    /// Text of each body; lists and maps are JSON.
    pub body: Vec<u32>,
    /// Text of each event's name; empty where the record is none.
    pub event: Vec<u32>,
    /// Trace in which each was written, 0 for none.
    pub trace: Vec<u128>,
    /// Span in which each was written, 0 for none.
    pub span: Vec<u64>,
}

/// Decode an `ExportLogsServiceRequest`.
///
/// A record is left out when it tells neither when it was written nor when it was observed.
///
/// # Errors
///
/// The request is not one, or holds more than the limits allow.
pub fn decode_logs(request: &[u8], limits: &Limits) -> error::Result<Logs> {
    let mut reader = LogReader {
        build: Build::new(limits),
        rows: Rows::default(),
        logs: Fields::default(),
    };
    reader.request(Message::new(request))?;
    let logs = reader.logs;
    let mut logs = Logs {
        records: reader.build.finish(reader.rows),
        severity: logs.severity,
        severity_text: logs.severity_text,
        body: logs.body,
        event: logs.event,
        trace: logs.trace,
        span: logs.span,
    };
    logs.shrink();
    Ok(logs)
}

#[derive(Default)]
struct Fields {
    severity: Vec<i8>,
    severity_text: Vec<u32>,
    body: Vec<u32>,
    event: Vec<u32>,
    trace: Vec<u128>,
    span: Vec<u64>,
}

struct LogReader<'a> {
    build: Build<'a>,
    rows: Rows,
    logs: Fields,
}

impl<'a> Reader<'a> for LogReader<'a> {
    fn parts(&mut self) -> (&mut Build<'a>, &mut Rows) {
        (&mut self.build, &mut self.rows)
    }

    fn item(&mut self, mut message: Message<'a>) -> Result<()> {
        self.build.begin_record(&message)?;
        let row = self.rows.time.len();
        let begin = self.rows.attributes.items.len();
        let (mut time, mut observed, mut severity, mut level, mut event) = (0, 0, 0, 0, 0);
        let (mut trace, mut span) = (0, 0);
        let mut body = Reading::new(self.build.limits.depth);
        while let Some((number, wire)) = message.next()? {
            match (number, wire) {
                (1, Wire::Fixed64(v)) => time = v,
                (11, Wire::Fixed64(v)) => observed = v,
                (2, Wire::Varint(v)) => severity = small(v, 24),
                (3, Wire::Bytes(text)) => level = self.build.text(text)?,
                (5, Wire::Bytes(value)) => self.build.body(value, &mut body)?,
                (6, Wire::Bytes(pair)) => {
                    let items = &mut self.rows.attributes.items;
                    self.build.attribute(pair, items, begin)?;
                }
                (9, Wire::Bytes(id)) => trace = trace_id(id.bytes()).unwrap_or(0),
                (10, Wire::Bytes(id)) => span = span_id(id.bytes()).unwrap_or(0),
                (12, Wire::Bytes(text)) => event = self.build.text(text)?,
                _ => {}
            }
        }
        let body = self.build.body_text(body);
        let Some(time) = nanoseconds(time).or(nanoseconds(observed)) else {
            self.rows.attributes.truncate(row);
            self.build.tally.reject("it has no time", 1);
            return Ok(());
        };
        self.rows.time.push(time);
        self.rows.attributes.close();
        self.logs.severity.push(severity);
        self.logs.severity_text.push(level);
        self.logs.body.push(body);
        self.logs.event.push(event);
        self.logs.trace.push(trace);
        self.logs.span.push(span);
        Ok(())
    }
}

impl Logs {
    fn shrink(&mut self) {
        self.severity.shrink_to_fit();
        self.severity_text.shrink_to_fit();
        self.body.shrink_to_fit();
        self.event.shrink_to_fit();
        self.trace.shrink_to_fit();
        self.span.shrink_to_fit();
    }
}

impl Columns for Logs {
    fn records(&self) -> &Records {
        &self.records
    }

    fn n_bytes(&self) -> usize {
        self.records.n_bytes()
            + 16 * self.trace.capacity()
            + 8 * self.span.capacity()
            + 4 * (self.body.capacity() + self.event.capacity() + self.severity_text.capacity())
            + self.severity.capacity()
    }

    fn merge(tables: &[&Self], from: i64, to: i64) -> error::Result<Self> {
        super::merge::merge_logs(tables, from, to)
    }
}
