//! The quiet law of a log Bayes factor: things change for no traceable reason, a little now and then, much seldom.

use crate::params::Natural;

/// Spread of a log Bayes factor under the reference law: normal around minus half its square when quiet, and around
/// plus half of it when affected.
const REFERENCE_VARIANCE: f64 = 9.0;

/// Family of a cell, an index into the rates: times.
pub(super) const TIMES: usize = 0;
/// Paths, log lines, truncation, order.
pub(super) const PATTERNS: usize = 1;

/// Logarithm of the quiet law over the law of a cell in which nothing changed (eq. 21), and its derivatives.
pub(super) struct Quiet {
    pub log: f64,
    pub d_weak: f64,
    pub d_strong: f64,
}

impl Quiet {
    /// `l`: the cell's log Bayes factor.
    pub fn new(theta: &Natural, family: usize, l: f64) -> Self {
        let (weak, strong) = (theta.trace_weak[family], theta.trace_strong[family]);
        // The law halfway between quiet and affected, its normaliser that of the reference law.
        let little = (0.5 * l + REFERENCE_VARIANCE / 8.0).exp();
        let much = l.exp();
        let small = 1.0 - weak + weak * little;
        let value = (1.0 - strong) * small + strong * much;
        Self {
            log: value.ln(),
            d_weak: (1.0 - strong) * (little - 1.0) / value,
            d_strong: (much - small) / value,
        }
    }
}

/// `ln(1 - p + p e^x)` and its derivative with respect to x.
pub(super) fn shown(p: f64, x: f64) -> (f64, f64) {
    if x > 0.0 {
        let rest = p + (1.0 - p) * (-x).exp();
        (x + rest.ln(), p / rest)
    } else {
        let rest = 1.0 - p + p * x.exp();
        (rest.ln(), p * x.exp() / rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Integral over the reference law of a quiet cell.
    fn mean(of: impl Fn(f64) -> f64) -> f64 {
        let (step, sd) = (1e-3, REFERENCE_VARIANCE.sqrt());
        let density = |l: f64| {
            let z = (l + 0.5 * REFERENCE_VARIANCE) / sd;
            (-0.5 * z * z).exp() / (sd * (2.0 * std::f64::consts::PI).sqrt())
        };
        (-40_000..50_000)
            .map(|i| f64::from(i) * step)
            .map(|l| step * density(l) * of(l))
            .sum()
    }

    #[test]
    fn the_quiet_law_is_normalised_whatever_the_rates() {
        for (weak, strong) in [(0.05, 0.002), (0.9, 0.6), (1e-9, 1e-9)] {
            let theta = Natural {
                trace_weak: [0.5, weak],
                trace_strong: [0.5, strong],
                ..Natural::default()
            };
            let total = mean(|l| Quiet::new(&theta, PATTERNS, l).log.exp());
            assert!((total - 1.0).abs() < 1e-9, "{weak}, {strong}: {total}");
        }
    }

    #[test]
    fn showing_mixes_without_overflow() {
        for (p, x) in [(0.3f64, 2.0f64), (0.95, -4.0), (0.02, 9.0)] {
            let plain = (1.0 - p + p * x.exp()).ln();
            assert!((shown(p, x).0 - plain).abs() < 1e-12);
        }
        assert!((shown(0.5, 2000.0).0 - (2000.0 + 0.5f64.ln())).abs() < 1e-9);
    }
}
