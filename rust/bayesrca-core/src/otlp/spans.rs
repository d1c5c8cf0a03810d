//! Spans.

use std::collections::HashMap;

use super::Limits;
use super::build::{Build, Reader, Rows};
use super::table::{Columns, Lists, Records};
use super::wire::{Message, Result, Wire};
use crate::error;

/// Spans in columns; `records.time` is when each began.
#[derive(Debug, Clone, PartialEq)]
pub struct Spans {
    /// What every record has.
    pub records: Records,
    /// Each span's trace, never 0.
    pub trace: Vec<u128>,
    /// Each span's own id, never 0.
    pub id: Vec<u64>,
    /// Id of the span that called it, 0 for none.
    pub parent: Vec<u64>,
    /// How long each took, nanoseconds, >= 0.
    pub duration: Vec<i64>,
    /// Text of each name.
    pub name: Vec<u32>,
    /// OpenTelemetry's kind, 0 (unknown) to 5.
    pub kind: Vec<i8>,
    /// 0 unset, 1 ok, 2 error.
    pub status: Vec<i8>,
    /// Text of each status's message.
    pub message: Vec<u32>,
    /// What was noted in the course of spans.
    pub events: SpanEvents,
}

/// Events of spans, in columns, in the order of the spans.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpanEvents {
    /// Row of the span each belongs to.
    pub span: Vec<u32>,
    /// Nanoseconds since 1970.
    pub time: Vec<i64>,
    /// Text of each name.
    pub name: Vec<u32>,
    /// Attributes of each.
    pub attributes: Lists,
}

impl SpanEvents {
    fn truncate(&mut self, rows: usize) {
        self.span.truncate(rows);
        self.time.truncate(rows);
        self.name.truncate(rows);
        self.attributes.truncate(rows);
    }
}

/// Decode an `ExportTraceServiceRequest`.
///
/// A span is left out when its trace's or its own id is not 16 or 8 bytes of which one is not 0, when it has no begin or
/// ends before it, or when it begins or ends after the year 2262, beyond what 64 bits of nanoseconds can hold.
///
/// # Errors
///
/// The request is not one, or holds more than the limits allow.
pub fn decode_spans(request: &[u8], limits: &Limits) -> error::Result<Spans> {
    let mut reader = SpanReader::new(limits);
    reader.request(Message::new(request))?;
    Ok(reader.finish())
}

struct SpanReader<'a> {
    build: Build<'a>,
    rows: Rows,
    trace: Vec<u128>,
    id: Vec<u64>,
    parent: Vec<u64>,
    duration: Vec<i64>,
    name: Vec<u32>,
    kind: Vec<i8>,
    status: Vec<i8>,
    message: Vec<u32>,
    events: SpanEvents,
}

/// A span's fields of fixed size.
#[derive(Default)]
struct Span {
    trace: Option<u128>,
    id: Option<u64>,
    parent: u64,
    name: u32,
    kind: i8,
    start: u64,
    end: u64,
    status: i8,
    message: u32,
}

impl<'a> Reader<'a> for SpanReader<'a> {
    fn parts(&mut self) -> (&mut Build<'a>, &mut Rows) {
        (&mut self.build, &mut self.rows)
    }

    fn item(&mut self, mut message: Message<'a>) -> Result<()> {
        self.build.begin_record(&message)?;
        let row = self.rows.time.len();
        let (begin, first_event) = (self.rows.attributes.items.len(), self.events.span.len());
        let mut span = Span::default();
        while let Some((number, wire)) = message.next()? {
            match (number, wire) {
                (1, Wire::Bytes(id)) => span.trace = trace_id(id.bytes()),
                (2, Wire::Bytes(id)) => span.id = span_id(id.bytes()),
                (4, Wire::Bytes(id)) => span.parent = span_id(id.bytes()).unwrap_or(0),
                (5, Wire::Bytes(text)) => span.name = self.build.text(text)?,
                (6, Wire::Varint(v)) => span.kind = small(v, 5),
                (7, Wire::Fixed64(v)) => span.start = v,
                (8, Wire::Fixed64(v)) => span.end = v,
                (9, Wire::Bytes(pair)) => {
                    let items = &mut self.rows.attributes.items;
                    self.build.attribute(pair, items, begin)?;
                }
                (11, Wire::Bytes(event)) => self.event(event, row)?,
                (15, Wire::Bytes(status)) => self.status(status, &mut span)?,
                _ => {}
            }
        }
        if let Err(why) = self.push(&span) {
            self.rows.attributes.truncate(row);
            self.events.truncate(first_event);
            self.build.tally.reject(why, 1);
        }
        Ok(())
    }
}

impl<'a> SpanReader<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self {
            build: Build::new(limits),
            rows: Rows::default(),
            trace: Vec::new(),
            id: Vec::new(),
            parent: Vec::new(),
            duration: Vec::new(),
            name: Vec::new(),
            kind: Vec::new(),
            status: Vec::new(),
            message: Vec::new(),
            events: SpanEvents::default(),
        }
    }

    fn event(&mut self, mut message: Message<'a>, row: usize) -> Result<()> {
        let begin = self.events.attributes.items.len();
        let (mut time, mut name) = (0, 0);
        while let Some((number, wire)) = message.next()? {
            match (number, wire) {
                (1, Wire::Fixed64(v)) => time = v,
                (2, Wire::Bytes(text)) => name = self.build.text(text)?,
                (3, Wire::Bytes(pair)) => {
                    let items = &mut self.events.attributes.items;
                    self.build.attribute(pair, items, begin)?;
                }
                _ => {}
            }
        }
        self.events.span.push(row as u32);
        self.events
            .time
            .push(i64::try_from(time).unwrap_or(i64::MAX));
        self.events.name.push(name);
        self.events.attributes.close();
        Ok(())
    }

    fn status(&mut self, mut message: Message<'a>, span: &mut Span) -> Result<()> {
        while let Some((number, wire)) = message.next()? {
            match (number, wire) {
                (2, Wire::Bytes(text)) => span.message = self.build.text(text)?,
                (3, Wire::Varint(v)) => span.status = small(v, 2),
                _ => {}
            }
        }
        Ok(())
    }

    /// Keep a span, or say why not.
    fn push(&mut self, span: &Span) -> std::result::Result<(), &'static str> {
        let trace = span
            .trace
            .ok_or("its trace_id is not 16 bytes of which one is not 0")?;
        let id = span
            .id
            .ok_or("its span_id is not 8 bytes of which one is not 0")?;
        let start = instant(span.start).ok_or("it starts after the year 2262")?;
        if start == 0 {
            return Err("it has no start time");
        }
        let end = instant(span.end).ok_or("it ends after the year 2262")?;
        if end < start {
            return Err("it ends before it starts");
        }
        self.rows.time.push(start);
        self.rows.attributes.close();
        self.trace.push(trace);
        self.id.push(id);
        self.parent.push(span.parent);
        self.duration.push(end - start);
        self.name.push(span.name);
        self.kind.push(span.kind);
        self.status.push(span.status);
        self.message.push(span.message);
        Ok(())
    }

    fn finish(mut self) -> Spans {
        self.events.attributes.shrink();
        let mut spans = Spans {
            records: self.build.finish(self.rows),
            trace: self.trace,
            id: self.id,
            parent: self.parent,
            duration: self.duration,
            name: self.name,
            kind: self.kind,
            status: self.status,
            message: self.message,
            events: self.events,
        };
        spans.shrink();
        spans
    }
}

/// A trace's id; None for one that the specification calls invalid.
pub(super) fn trace_id(bytes: &[u8]) -> Option<u128> {
    let id = u128::from_be_bytes(bytes.try_into().ok()?);
    (id != 0).then_some(id)
}

/// A span's id; None for one that the specification calls invalid.
pub(super) fn span_id(bytes: &[u8]) -> Option<u64> {
    let id = u64::from_be_bytes(bytes.try_into().ok()?);
    (id != 0).then_some(id)
}

/// An enumeration's value up to `most`; 0, which stands for none, for any other.
pub(super) fn small(value: u64, most: i8) -> i8 {
    i8::try_from(value).ok().filter(|v| *v <= most).unwrap_or(0)
}

/// A time before the year 2262; the last nanosecond is none, so that a half-open window can hold any.
fn instant(value: u64) -> Option<i64> {
    i64::try_from(value).ok().filter(|&v| v < i64::MAX)
}

/// A time that was told, before the year 2262.
pub(super) fn nanoseconds(value: u64) -> Option<i64> {
    instant(value).filter(|&v| v > 0)
}

impl Spans {
    fn shrink(&mut self) {
        self.trace.shrink_to_fit();
        self.id.shrink_to_fit();
        self.parent.shrink_to_fit();
        self.duration.shrink_to_fit();
        self.name.shrink_to_fit();
        self.kind.shrink_to_fit();
        self.status.shrink_to_fit();
        self.message.shrink_to_fit();
        self.events.span.shrink_to_fit();
        self.events.time.shrink_to_fit();
        self.events.name.shrink_to_fit();
    }

    /// Number of each span's trace, in the order in which traces come, and the traces' ids.
    #[must_use]
    pub fn traces(&self) -> (Vec<u32>, Vec<u128>) {
        let mut known = HashMap::with_hasher(foldhash::fast::RandomState::default());
        let mut ids = Vec::new();
        let number = |&trace: &u128| {
            *known.entry(trace).or_insert_with(|| {
                ids.push(trace);
                ids.len() as u32 - 1
            })
        };
        (self.trace.iter().map(number).collect(), ids)
    }
}

impl Columns for Spans {
    fn records(&self) -> &Records {
        &self.records
    }

    fn n_bytes(&self) -> usize {
        self.records.n_bytes()
            + 16 * self.trace.capacity()
            + 8 * (self.id.capacity() + self.parent.capacity() + self.duration.capacity())
            + 4 * (self.name.capacity() + self.message.capacity())
            + self.kind.capacity()
            + self.status.capacity()
            + 8 * self.events.time.capacity()
            + 4 * (self.events.span.capacity() + self.events.name.capacity())
            + self.events.attributes.n_bytes()
    }

    fn merge(tables: &[&Self], from: i64, to: i64) -> error::Result<Self> {
        super::merge::merge_spans(tables, from, to)
    }
}
