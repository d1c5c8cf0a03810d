//! The quiet law of a log Bayes factor: things change for no traceable reason, a little now and then, much seldom.

use crate::params::Natural;

/// Powers of the reference tests, in standard deviations between quiet and affected: the law of a log Bayes factor is
/// normal, around minus half the squared power when quiet and plus half of it when affected. They are equally likely.
const POWERS: [f64; 3] = [0.5, 1.5, 3.0];

/// Family of a cell, an index into the rates: times.
pub(super) const TIMES: usize = 0;
/// Paths, log lines, truncation, order.
pub(super) const PATTERNS: usize = 1;

/// Density ratio of a small change to none at a log Bayes factor: halfway between quiet and affected (eq. 21).
pub(super) fn halfway(l: f64) -> f64 {
    // Densities over that of the largest power, so that none of the sums vanishes.
    let widest = POWERS[POWERS.len() - 1];
    let density = |power: f64, middle: f64| {
        let z = |power: f64, middle: f64| (l - middle) / power;
        let scale = 0.5 * z(widest, -0.5 * widest * widest).powi(2);
        (scale - 0.5 * z(power, middle).powi(2)).exp() / power
    };
    let sum = |middle: fn(f64) -> f64| -> f64 {
        POWERS
            .iter()
            .map(|&power| density(power, middle(power)))
            .sum()
    };
    sum(|_| 0.0) / sum(|power| -0.5 * power * power)
}

/// Logarithm of the quiet law over the law of a cell in which nothing changed (eq. 21), and its derivatives.
pub(super) struct Quiet {
    pub log: f64,
    pub d_weak: f64,
    pub d_strong: f64,
}

impl Quiet {
    /// `l`: the cell's log Bayes factor; `little`: its `halfway`.
    pub fn new(theta: &Natural, family: usize, l: f64, little: f64) -> Self {
        let (weak, strong) = (theta.trace_weak[family], theta.trace_strong[family]);
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

    /// Integral over the law of a cell in which nothing changed, in steps that resolve the weakest test.
    fn mean(of: impl Fn(f64) -> f64) -> f64 {
        let step = 1e-3;
        let density = |l: f64| {
            let one = |power: f64| {
                let z = (l + 0.5 * power * power) / power;
                (-0.5 * z * z).exp() / (power * (2.0 * std::f64::consts::PI).sqrt())
            };
            POWERS.iter().map(|&power| one(power)).sum::<f64>() / POWERS.len() as f64
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
            let total = mean(|l| Quiet::new(&theta, PATTERNS, l, halfway(l)).log.exp());
            assert!((total - 1.0).abs() < 1e-6, "{weak}, {strong}: {total}");
        }
    }

    #[test]
    fn a_small_change_is_the_law_halfway_between() {
        for l in [-60.0, -6.0, 0.0, 3.0, 60.0] {
            assert!(halfway(l).is_finite() && halfway(l) >= 0.0, "{l}");
        }
        // Far out only the most powerful test reaches, and its ratio is a plain exponential.
        assert!((halfway(20.0).ln() - (10.0 + 9.0 / 8.0)).abs() < 1e-6);
        assert!((halfway(0.0) - 1.0).abs() < 0.2); // what says nothing is no change
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
