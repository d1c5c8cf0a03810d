//! Decoding metrics.

use std::collections::HashMap;

use super::Limits;
use super::buckets::Rejected;
use super::build::{Build, Reader, Rows};
use super::points::{Buckets, Metric, MetricKind, Points, Quantiles, Temporality};
use super::spans::nanoseconds;
use super::wire::{Message, Result, Wire};
use crate::error;

/// A point's flag that says there is no value.
const NO_VALUE: u64 = 1;

/// Decode an `ExportMetricsServiceRequest`; exemplars are skipped.
///
/// A point is left out when it has no time, when a histogram's edges do not rise or do not fit its counts, when a
/// summary's quantile is not in [0, 1], or when a number is infinite. Of a point that says it has no value only the time
/// and the attributes are kept. Whole numbers become floats, exact up to 2^53.
///
/// # Errors
///
/// The request is not one, or holds more than the limits allow.
pub fn decode_metrics(request: &[u8], limits: &Limits) -> error::Result<Points> {
    let mut reader = PointReader {
        build: Build::new(limits),
        rows: Rows::default(),
        known: HashMap::new(),
        columns: Fields::default(),
    };
    reader.request(Message::new(request))?;
    Ok(reader.finish())
}

#[derive(Default)]
struct Fields {
    metrics: Vec<Metric>,
    metric: Vec<u32>,
    start: Vec<i64>,
    value: Vec<f64>,
    count: Vec<u64>,
    sum: Vec<f64>,
    min: Vec<f64>,
    max: Vec<f64>,
    buckets: Buckets,
    quantiles: Quantiles,
}

struct PointReader<'a> {
    build: Build<'a>,
    rows: Rows,
    known: HashMap<Metric, u32>,
    columns: Fields,
}

/// One point of any kind, on the way.
pub(super) struct Point {
    start: u64,
    time: u64,
    value: f64,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    flags: u64,
    pub(super) counts: Vec<u64>,
    pub(super) edges: Vec<f64>,
    pub(super) scale: i32,
    pub(super) zero_count: u64,
    pub(super) zero_threshold: f64,
    pub(super) positive: (i32, Vec<u64>),
    pub(super) negative: (i32, Vec<u64>),
    quantiles: Vec<(f64, f64)>,
}

impl Point {
    fn new() -> Self {
        Self {
            start: 0,
            time: 0,
            value: f64::NAN,
            count: 0,
            sum: f64::NAN,
            min: f64::NAN,
            max: f64::NAN,
            flags: 0,
            counts: Vec::new(),
            edges: Vec::new(),
            scale: 0,
            zero_count: 0,
            zero_threshold: 0.0,
            positive: (0, Vec::new()),
            negative: (0, Vec::new()),
            quantiles: Vec::new(),
        }
    }

    /// The point's times alone, whatever came beside the flag that there is no value.
    fn without_value(self) -> Self {
        Self {
            start: self.start,
            time: self.time,
            flags: self.flags,
            ..Self::new()
        }
    }
}

impl<'a> Reader<'a> for PointReader<'a> {
    fn parts(&mut self) -> (&mut Build<'a>, &mut Rows) {
        (&mut self.build, &mut self.rows)
    }

    fn item(&mut self, mut message: Message<'a>) -> Result<()> {
        let (mut name, mut unit) = (0, 0);
        let mut data: Option<(MetricKind, Vec<Message<'a>>)> = None;
        while let Some((number, wire)) = message.next()? {
            let Wire::Bytes(content) = wire else { continue };
            let kind = match number {
                1 => {
                    name = self.build.text(content)?;
                    continue;
                }
                3 => {
                    unit = self.build.text(content)?;
                    continue;
                }
                5 => MetricKind::Gauge,
                7 => MetricKind::Sum,
                9 => MetricKind::Histogram,
                10 => MetricKind::ExponentialHistogram,
                11 => MetricKind::Summary,
                _ => continue,
            };
            // One of them: another kind replaces what came, the same kind goes on.
            match &mut data {
                Some((known, parts)) if *known == kind => parts.push(content),
                _ => data = Some((kind, vec![content])),
            }
        }
        let Some((kind, parts)) = data else {
            return Ok(());
        };
        let mut metric = Metric {
            name,
            unit,
            kind,
            temporality: Temporality::Unspecified,
            monotonic: false,
        };
        for part in &parts {
            describe(*part, &mut metric)?;
        }
        let id = self.metric_id(metric);
        parts
            .into_iter()
            .try_for_each(|part| self.data(part, kind, id))
    }
}

/// Read what a metric's data tell of all its points.
fn describe(mut message: Message<'_>, metric: &mut Metric) -> Result<()> {
    use MetricKind::{ExponentialHistogram, Histogram, Sum};
    while let Some((number, wire)) = message.next()? {
        match (metric.kind, number, wire) {
            (Sum | Histogram | ExponentialHistogram, 2, Wire::Varint(v)) => {
                metric.temporality = match v {
                    1 => Temporality::Delta,
                    2 => Temporality::Cumulative,
                    _ => Temporality::Unspecified,
                };
            }
            (Sum, 3, Wire::Varint(v)) => metric.monotonic = v != 0,
            _ => {}
        }
    }
    Ok(())
}

impl<'a> PointReader<'a> {
    fn metric_id(&mut self, metric: Metric) -> u32 {
        let metrics = &mut self.columns.metrics;
        *self.known.entry(metric).or_insert_with_key(|metric| {
            metrics.push(metric.clone());
            metrics.len() as u32 - 1
        })
    }

    fn data(&mut self, mut message: Message<'a>, kind: MetricKind, id: u32) -> Result<()> {
        while let Some((number, wire)) = message.next()? {
            if let (1, Wire::Bytes(point)) = (number, wire) {
                self.point(point, kind, id)?;
            }
        }
        Ok(())
    }

    fn point(&mut self, mut message: Message<'a>, kind: MetricKind, metric: u32) -> Result<()> {
        self.build.begin_record(&message)?;
        let row = self.rows.time.len();
        let begin = self.rows.attributes.items.len();
        let exponential = kind == MetricKind::ExponentialHistogram;
        let attributes = match kind {
            MetricKind::ExponentialHistogram => 1,
            MetricKind::Histogram => 9,
            _ => 7,
        };
        let flags = if matches!(kind, MetricKind::Histogram) || exponential {
            10
        } else {
            8
        };
        let mut point = Point::new();
        if kind == MetricKind::Summary {
            // The only sum that is not optional: 0 is not written.
            point.sum = 0.0;
        }
        while let Some((number, wire)) = message.next()? {
            match (number, wire) {
                (n, Wire::Bytes(pair)) if n == attributes => {
                    let items = &mut self.rows.attributes.items;
                    self.build.attribute(pair, items, begin)?;
                }
                (2, Wire::Fixed64(v)) => point.start = v,
                (3, Wire::Fixed64(v)) => point.time = v,
                (n, Wire::Varint(v)) if n == flags => point.flags = v,
                (n, wire) => match kind {
                    MetricKind::Gauge | MetricKind::Sum => number_field(&mut point, n, wire),
                    MetricKind::Histogram => histogram_field(&mut point, n, wire)?,
                    MetricKind::ExponentialHistogram => exponential_field(&mut point, n, wire)?,
                    MetricKind::Summary => summary_field(&mut point, n, wire)?,
                },
            }
        }
        if point.flags & NO_VALUE != 0 {
            point = point.without_value();
        }
        if let Err(why) = self.columns.push(&mut self.rows, &point, kind, metric) {
            self.rows.attributes.truncate(row);
            self.build.tally.reject(why, 1);
        }
        Ok(())
    }

    fn finish(self) -> Points {
        let columns = self.columns;
        let mut points = Points {
            records: self.build.finish(self.rows),
            metrics: columns.metrics,
            metric: columns.metric,
            start: columns.start,
            value: columns.value,
            count: columns.count,
            sum: columns.sum,
            min: columns.min,
            max: columns.max,
            buckets: columns.buckets,
            quantiles: columns.quantiles,
        };
        points.shrink();
        points
    }
}

fn number_field(point: &mut Point, number: u32, wire: Wire<'_>) {
    match (number, wire) {
        (4, Wire::Fixed64(v)) => point.value = f64::from_bits(v),
        (6, Wire::Fixed64(v)) => point.value = v.cast_signed() as f64,
        _ => {}
    }
}

fn histogram_field(point: &mut Point, number: u32, wire: Wire<'_>) -> Result<()> {
    match (number, wire) {
        (4, Wire::Fixed64(v)) => point.count = v,
        (5, Wire::Fixed64(v)) => point.sum = f64::from_bits(v),
        (6, Wire::Fixed64(v)) => point.counts.push(v),
        (6, Wire::Bytes(mut packed)) => {
            while let Some(v) = packed.next_fixed64()? {
                point.counts.push(v);
            }
        }
        (7, Wire::Fixed64(v)) => point.edges.push(f64::from_bits(v)),
        (7, Wire::Bytes(mut packed)) => {
            while let Some(v) = packed.next_fixed64()? {
                point.edges.push(f64::from_bits(v));
            }
        }
        (11, Wire::Fixed64(v)) => point.min = f64::from_bits(v),
        (12, Wire::Fixed64(v)) => point.max = f64::from_bits(v),
        _ => {}
    }
    Ok(())
}

fn exponential_field(point: &mut Point, number: u32, wire: Wire<'_>) -> Result<()> {
    match (number, wire) {
        (4, Wire::Fixed64(v)) => point.count = v,
        (5, Wire::Fixed64(v)) => point.sum = f64::from_bits(v),
        (6, Wire::Varint(v)) => point.scale = zigzag(v),
        (7, Wire::Fixed64(v)) => point.zero_count = v,
        (8, Wire::Bytes(buckets)) => read_buckets(buckets, &mut point.positive)?,
        (9, Wire::Bytes(buckets)) => read_buckets(buckets, &mut point.negative)?,
        (12, Wire::Fixed64(v)) => point.min = f64::from_bits(v),
        (13, Wire::Fixed64(v)) => point.max = f64::from_bits(v),
        (14, Wire::Fixed64(v)) => point.zero_threshold = f64::from_bits(v),
        _ => {}
    }
    Ok(())
}

fn read_buckets(mut message: Message<'_>, buckets: &mut (i32, Vec<u64>)) -> Result<()> {
    while let Some((number, wire)) = message.next()? {
        match (number, wire) {
            (1, Wire::Varint(v)) => buckets.0 = zigzag(v),
            (2, Wire::Varint(v)) => buckets.1.push(v),
            (2, Wire::Bytes(mut packed)) => {
                while let Some(v) = packed.next_varint()? {
                    buckets.1.push(v);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn summary_field(point: &mut Point, number: u32, wire: Wire<'_>) -> Result<()> {
    match (number, wire) {
        (4, Wire::Fixed64(v)) => point.count = v,
        (5, Wire::Fixed64(v)) => point.sum = f64::from_bits(v),
        (6, Wire::Bytes(mut pair)) => {
            let (mut quantile, mut value) = (0.0, 0.0);
            while let Some((number, wire)) = pair.next()? {
                match (number, wire) {
                    (1, Wire::Fixed64(v)) => quantile = f64::from_bits(v),
                    (2, Wire::Fixed64(v)) => value = f64::from_bits(v),
                    _ => {}
                }
            }
            point.quantiles.push((quantile, value));
        }
        _ => {}
    }
    Ok(())
}

/// A signed number of 32 bits as protocol buffers write it.
fn zigzag(v: u64) -> i32 {
    let v = v as u32;
    (v >> 1).cast_signed() ^ -(v & 1).cast_signed()
}

impl Fields {
    /// Keep a point, or say why not.
    fn push(&mut self, rows: &mut Rows, point: &Point, kind: MetricKind, metric: u32) -> Rejected {
        let time = nanoseconds(point.time).ok_or("it has no time")?;
        let numbers = [point.value, point.sum, point.min, point.max];
        if numbers.iter().any(|x| x.is_infinite()) {
            return Err("it holds an infinite number");
        }
        for &(quantile, value) in &point.quantiles {
            if !(0.0..=1.0).contains(&quantile) {
                return Err("a summary's quantile is not in [0, 1]");
            }
            if value.is_infinite() {
                return Err("it holds an infinite number");
            }
        }
        let absent = point.flags & NO_VALUE != 0;
        match kind {
            MetricKind::Histogram => self.buckets.push_explicit(point)?,
            // Even an empty one would have the bucket of zeros.
            MetricKind::ExponentialHistogram if !absent => self.buckets.push_exponential(point)?,
            _ => {}
        }
        for &(quantile, value) in &point.quantiles {
            self.quantiles.quantile.push(quantile);
            self.quantiles.value.push(value);
        }
        self.buckets.ends.push(self.buckets.upper.len() as u32);
        self.quantiles.ends.push(self.quantiles.value.len() as u32);
        rows.time.push(time);
        rows.attributes.close();
        self.metric.push(metric);
        self.start.push(nanoseconds(point.start).unwrap_or(0));
        self.value.push(point.value);
        self.count.push(point.count);
        self.sum.push(point.sum);
        self.min.push(point.min);
        self.max.push(point.max);
        Ok(())
    }
}
