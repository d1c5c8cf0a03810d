//! The logarithm of a Gaussian tail probability, tabulated.

use statrs::function::erf::erfc;

/// Largest distance from the mean that counts, in standard deviations: a variance near 0 must not reach infinity.
const MAX_Z: f64 = 1e3;
/// Below, the logarithm is 0 to double precision.
const LOWEST: f64 = -9.0;
/// Above, the asymptotic series takes over.
const HIGHEST: f64 = 40.0;
/// Cells per standard deviation.
const CELLS: f64 = 16.0;
/// Coefficients of a cell: one cache line. The logarithm's singularities nearest to the real axis (complex zeros of the
/// error function) lie 2.8 away, so what is left out is below `(1/32/2.8)^8 / 8 = 3e-17`.
const TERMS: usize = 8;

/// `ln P(Z >= z)` of a standard normal, by Taylor polynomials about the cells' centres.
#[derive(Debug, Clone)]
pub(super) struct LogTail(Vec<Cell>);

#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Cell([f64; TERMS]);

impl LogTail {
    pub fn new() -> Self {
        let cells = ((HIGHEST - LOWEST) * CELLS) as u32;
        Self(
            (0..cells)
                .map(|k| expand(LOWEST + (f64::from(k) + 0.5) / CELLS))
                .collect(),
        )
    }

    /// The tail at `z`, or at the largest distance that counts.
    #[inline(always)]
    pub fn of(&self, z: f64) -> f64 {
        let place = (z - LOWEST) * CELLS;
        // The cast saturates: cell 0 takes everything below.
        let Some(Cell(c)) = self.0.get(place as usize) else {
            return log_upper_tail(z.min(MAX_Z));
        };
        if place < 0.0 {
            return 0.0;
        }
        let t = place - (place as usize) as f64 - 0.5;
        let t2 = t * t;
        let low = c[0] + c[1] * t + (c[2] + c[3] * t) * t2;
        let high = c[4] + c[5] * t + (c[6] + c[7] * t) * t2;
        low + high * (t2 * t2)
    }
}

/// Taylor coefficients about `centre`, in cells. The derivative is minus the hazard `m`, with `m' = m (m - z)`.
fn expand(centre: f64) -> Cell {
    let value = log_upper_tail(centre);
    let mut hazard = [0.0; TERMS];
    hazard[0] = (-0.5 * centre * centre - 0.5 * (2.0 * std::f64::consts::PI).ln() - value).exp();
    for k in 1..TERMS {
        let square: f64 = (0..k).map(|j| hazard[j] * hazard[k - 1 - j]).sum();
        let before = if k > 1 { hazard[k - 2] } else { 0.0 };
        hazard[k] = (square - centre * hazard[k - 1] - before) / k as f64;
    }
    let mut cell = [value; TERMS];
    let mut scale = 1.0;
    for k in 1..TERMS {
        scale /= CELLS;
        cell[k] = -hazard[k - 1] / k as f64 * scale;
    }
    Cell(cell)
}

/// Without underflow (Abramowitz & Stegun 26.2.12 in the far tail).
fn log_upper_tail(z: f64) -> f64 {
    if z < 0.0 {
        return (-0.5 * erfc(-z * std::f64::consts::FRAC_1_SQRT_2)).ln_1p();
    }
    if z < 20.0 {
        return (0.5 * erfc(z * std::f64::consts::FRAC_1_SQRT_2)).ln();
    }
    let w = 1.0 / (z * z);
    let series = 1.0 - w * (1.0 - 3.0 * w * (1.0 - 5.0 * w * (1.0 - 7.0 * w)));
    -0.5 * z * z - (z * (2.0 * std::f64::consts::PI).sqrt()).ln() + series.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_match_the_tables_and_join_smoothly() {
        assert!((log_upper_tail(0.0) - 0.5f64.ln()).abs() < 1e-15);
        // mpmath: ln P(Z >= 30) = -454.3212439563...
        assert!((log_upper_tail(30.0) + 454.321_243_956_3).abs() < 1e-8);
        let step = log_upper_tail(20.0 - 1e-9) - log_upper_tail(20.0);
        assert!((step - 20.05e-9).abs() < 1e-8, "{step}");
    }

    #[test]
    fn the_table_is_as_good_as_the_formula() {
        let tail = LogTail::new();
        for k in -1200..110_000 {
            let z = f64::from(k) * 0.009_973;
            let (a, b) = (tail.of(z), log_upper_tail(z.min(MAX_Z)));
            assert!((a - b).abs() <= 4e-15 * (1.0 + b.abs()), "{z}: {a} {b}");
        }
        assert_eq!(tail.of(-40.0).to_bits(), 0);
        assert_eq!(tail.of(f64::MAX).to_bits(), log_upper_tail(MAX_Z).to_bits());
    }
}
