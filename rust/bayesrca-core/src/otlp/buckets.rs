//! The buckets of both kinds of histograms.

use super::metrics::Point;
use super::points::Buckets;

/// Beyond these an exponential histogram's first edge is infinite, or its edges cannot be told apart.
const SCALES: std::ops::RangeInclusive<i32> = -10..=48;

/// Why a point is left out, if it is.
pub(super) type Rejected = std::result::Result<(), &'static str>;

impl Buckets {
    fn push(&mut self, upper: f64, count: u64) {
        self.upper.push(upper);
        self.count.push(count);
    }

    /// Refuses before it pushes anything, as does the next.
    pub(super) fn push_explicit(&mut self, point: &Point) -> Rejected {
        if point.counts.is_empty() && point.edges.is_empty() {
            return Ok(());
        }
        if point.counts.len() != point.edges.len() + 1 {
            return Err("a histogram's counts are not one more than its edges");
        }
        let rising = point.edges.windows(2).all(|pair| pair[0] < pair[1]);
        if !rising || point.edges.iter().any(|edge| !edge.is_finite()) {
            return Err("a histogram's edges do not rise");
        }
        let edges = point.edges.iter().copied().chain([f64::INFINITY]);
        for (edge, &count) in edges.zip(&point.counts) {
            self.push(edge, count);
        }
        Ok(())
    }

    /// Values in `(b^i, b^(i+1)]`, and their mirror images, with `b = 2^(2^-scale)`.
    pub(super) fn push_exponential(&mut self, point: &Point) -> Rejected {
        if !SCALES.contains(&point.scale) {
            return Err("an exponential histogram's scale is out of range");
        }
        if !(point.zero_threshold >= 0.0 && point.zero_threshold.is_finite()) {
            return Err("an exponential histogram's zero threshold is not a width");
        }
        let width = (-f64::from(point.scale)).exp2();
        let edge = |offset: i32, i: usize| ((f64::from(offset) + i as f64) * width).exp2();
        let (offset, counts) = &point.negative;
        if !counts.is_empty() {
            self.push(-edge(*offset, counts.len()), 0);
            for (i, &count) in counts.iter().enumerate().rev() {
                self.push(-edge(*offset, i), count);
            }
            // Without a width the zeros' bucket covers the gap: nothing else lies in it.
            if point.zero_threshold > 0.0 {
                self.push((-edge(*offset, 0)).max(-point.zero_threshold), 0);
            }
        }
        self.push(point.zero_threshold, point.zero_count);
        let (offset, counts) = &point.positive;
        if !counts.is_empty() {
            self.push(edge(*offset, 0).max(point.zero_threshold), 0);
            for (i, &count) in counts.iter().enumerate() {
                self.push(edge(*offset, i + 1).max(point.zero_threshold), count);
            }
        }
        Ok(())
    }
}
