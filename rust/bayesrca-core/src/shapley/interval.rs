//! Running moments and the half-widths of intervals.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Number of units for which the confidence sequence is tightest.
const TUNED_FOR: f64 = 1000.0;

/// The free parameter of the asymptotic confidence sequence, tuned to be tightest after 1,000 units (Waudby-Smith,
/// Arbour, Sinha, Kennedy & Ramdas 2024): `rho^2 = (-2 ln alpha + ln(1 - 2 ln alpha)) / 1000`.
#[must_use]
pub fn sequence_rho(alpha: f64) -> f64 {
    let a = -2.0 * alpha.ln();
    ((a + a.ln_1p()) / TUNED_FOR).sqrt()
}

/// Half-width of the asymptotic confidence sequence after `t` units, in standard deviations of one unit (Waudby-Smith
/// et al. 2024, theorem 2.2): `sqrt(2 (t rho^2 + 1) / (t rho)^2 ln(sqrt(t rho^2 + 1) / alpha))`. It holds at all times
/// at once, so the stopping time may depend on it.
#[must_use]
pub fn sequence_half_width(t: f64, alpha: f64) -> f64 {
    let rho = sequence_rho(alpha);
    let grown = t * rho * rho + 1.0;
    (2.0 * grown / (t * rho).powi(2) * (grown.sqrt() / alpha).ln()).sqrt()
}

/// Half-width of the two-sided empirical Bernstein bound after `n >= 2` units of a given standard deviation whose values
/// span at most `range` (Maurer & Pontil 2009, theorem 4). It holds for any `n` fixed beforehand, without a limit.
pub(super) fn bernstein_half_width(n: u64, deviation: f64, range: f64, alpha: f64) -> f64 {
    let log = (4.0 / alpha).ln();
    deviation * (2.0 * log / n as f64).sqrt() + 7.0 * range * log / (3.0 * (n - 1) as f64)
}

/// Quantile of Student's t that leaves `alpha` in both tails together; infinite without degrees of freedom.
pub(super) fn t_quantile(degrees: u64, alpha: f64) -> f64 {
    if degrees == 0 {
        return f64::INFINITY;
    }
    StudentsT::new(0.0, 1.0, degrees as f64)
        .map_or(f64::INFINITY, |t| t.inverse_cdf(1.0 - alpha / 2.0))
}

/// Running mean and squared deviations of rows, added one at a time (Welford 1962).
#[derive(Debug, Clone)]
pub(super) struct Moments {
    pub count: u64,
    pub mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    pub fn new(width: usize) -> Self {
        Self {
            count: 0,
            mean: vec![0.0; width],
            squares: vec![0.0; width],
        }
    }

    pub fn push(&mut self, row: &[f64]) {
        self.count += 1;
        let share = 1.0 / self.count as f64;
        for ((mean, square), x) in self.mean.iter_mut().zip(&mut self.squares).zip(row) {
            let delta = x - *mean;
            *mean += delta * share;
            *square += delta * (x - *mean);
        }
    }

    /// Standard deviation of one unit; infinite before the second.
    pub fn deviation(&self, i: usize) -> f64 {
        match self.count {
            0 | 1 => f64::INFINITY,
            n => (self.squares[i] / (n - 1) as f64).max(0.0).sqrt(),
        }
    }

    pub fn std_err(&self, i: usize) -> f64 {
        self.deviation(i) / (self.count as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_quantiles_match_the_tables() {
        assert!((t_quantile(15, 0.05) - 2.131_449_545_6).abs() < 1e-6);
        assert!((t_quantile(1, 0.05) - 12.706_204_736).abs() < 1e-5);
        assert!(t_quantile(0, 0.05).is_infinite());
    }

    #[test]
    fn the_sequence_is_tightest_near_1000_units() {
        let relative = |t: f64| sequence_half_width(t, 0.05) * t.sqrt();
        assert!(relative(1000.0) < relative(100.0) && relative(1000.0) < relative(10_000.0));
        assert!(relative(1000.0) > 1.96 && relative(1000.0) < 3.5);
    }

    #[test]
    fn moments_match_two_passes() {
        let rows = [1.0, 4.0, 9.0, -2.0];
        let mut m = Moments::new(1);
        for x in rows {
            m.push(&[x]);
        }
        let mean = rows.iter().sum::<f64>() / 4.0;
        let variance = rows.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 3.0;
        assert!((m.mean[0] - mean).abs() < 1e-14);
        assert!((m.deviation(0).powi(2) - variance).abs() < 1e-13);
        assert!((m.std_err(0).powi(2) - variance / 4.0).abs() < 1e-13);
    }
}
