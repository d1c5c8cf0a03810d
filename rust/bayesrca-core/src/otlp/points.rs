//! Metric points in columns.

use super::table::{Columns, Records};
use crate::error::Result;

/// What a metric's points hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// The last value seen.
    Gauge,
    /// A sum that is told since some time.
    Sum,
    /// Counts by bucket, with edges that the sender chose.
    Histogram,
    /// Counts by bucket, with edges that grow by a factor.
    ExponentialHistogram,
    /// Quantiles that the sender computed.
    Summary,
}

/// Since when a sum or histogram counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Temporality {
    /// The metric has none, or did not tell.
    Unspecified,
    /// Since the point before.
    Delta,
    /// Since a fixed time.
    Cumulative,
}

/// What is told once for all points of a metric; texts by their number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Metric {
    /// Its name.
    pub name: u32,
    /// Its unit, as the sender writes it.
    pub unit: u32,
    /// What its points hold.
    pub kind: MetricKind,
    /// Since when they count.
    pub temporality: Temporality,
    /// Whether a sum never falls.
    pub monotonic: bool,
}

/// Buckets of histograms, a list for each point, in ascending order.
///
/// A bucket begins where the one before ends; the first of a list begins at minus infinity, unless its count is 0.
/// Exponential histograms are told in the same way: an empty bucket where there is a gap.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Buckets {
    /// Where each point's list ends.
    pub ends: Vec<u32>,
    /// Upper edge of each bucket, never falling within a list; infinity for the last of a histogram.
    pub upper: Vec<f64>,
    /// What each holds.
    pub count: Vec<u64>,
}

/// Quantiles of summaries, a list for each point.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quantiles {
    /// Where each point's list ends.
    pub ends: Vec<u32>,
    /// Which quantile, in [0, 1].
    pub quantile: Vec<f64>,
    /// Its value.
    pub value: Vec<f64>,
}

/// Metric points in columns; `records.time` is when each was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    /// What every record has.
    pub records: Records,
    /// Distinct metrics.
    pub metrics: Vec<Metric>,
    /// Number of each point's metric.
    pub metric: Vec<u32>,
    /// Since when a point counts, nanoseconds since 1970; 0 where it was not told.
    pub start: Vec<i64>,
    /// Value of a gauge or sum; NaN for other kinds and for "no value recorded".
    pub value: Vec<f64>,
    /// How many values a histogram or summary holds.
    pub count: Vec<u64>,
    /// Their sum; NaN where it was not told.
    pub sum: Vec<f64>,
    /// The least; NaN where it was not told.
    pub min: Vec<f64>,
    /// The greatest; NaN where it was not told.
    pub max: Vec<f64>,
    /// Buckets of histograms.
    pub buckets: Buckets,
    /// Quantiles of summaries.
    pub quantiles: Quantiles,
}

impl Points {
    pub(super) fn shrink(&mut self) {
        self.metrics.shrink_to_fit();
        self.metric.shrink_to_fit();
        self.start.shrink_to_fit();
        self.count.shrink_to_fit();
        for column in [
            &mut self.value,
            &mut self.sum,
            &mut self.min,
            &mut self.max,
            &mut self.buckets.upper,
            &mut self.quantiles.quantile,
            &mut self.quantiles.value,
        ] {
            column.shrink_to_fit();
        }
        self.buckets.ends.shrink_to_fit();
        self.buckets.count.shrink_to_fit();
        self.quantiles.ends.shrink_to_fit();
    }
}

impl Columns for Points {
    fn records(&self) -> &Records {
        &self.records
    }

    fn n_bytes(&self) -> usize {
        let (buckets, quantiles) = (&self.buckets, &self.quantiles);
        let eights = [&self.value, &self.sum, &self.min, &self.max, &buckets.upper]
            .into_iter()
            .chain([&quantiles.quantile, &quantiles.value])
            .map(Vec::capacity)
            .sum::<usize>()
            + self.start.capacity()
            + self.count.capacity()
            + buckets.count.capacity();
        let fours = self.metric.capacity() + buckets.ends.capacity() + quantiles.ends.capacity();
        self.records.n_bytes()
            + self.metrics.capacity() * size_of::<Metric>()
            + 8 * eights
            + 4 * fours
    }

    fn merge(tables: &[&Self], from: i64, to: i64) -> Result<Self> {
        super::merge::merge_points(tables, from, to)
    }
}
