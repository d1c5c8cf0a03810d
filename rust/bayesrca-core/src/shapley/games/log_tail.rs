//! The logarithm of a Gaussian tail probability, tabulated.

use std::f64::consts::PI;

/// Largest distance from the mean that counts, in standard deviations: a variance near 0 must not reach infinity.
const MAX_Z: f64 = 1e3;
/// Below, the logarithm is 0 to double precision.
const LOWEST: f64 = -9.0;
/// Above, values are computed one by one.
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
    hazard[0] = if centre < 0.0 {
        density(centre) / value.exp()
    } else {
        1.0 / mills_ratio(centre)
    };
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

fn log_upper_tail(z: f64) -> f64 {
    if z < 0.0 {
        (-density(z) * mills_ratio(-z)).ln_1p()
    } else {
        -0.5 * z * z - 0.5 * (2.0 * PI).ln() + mills_ratio(z).ln()
    }
}

fn density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * PI).sqrt()
}

/// `P(Z >= z)` over the density, for z >= 0: the power series of Abramowitz & Stegun 26.2.11 near 0, else the continued
/// fraction 26.2.14, cut where its terms fall below double precision.
fn mills_ratio(z: f64) -> f64 {
    if z < 1.0 {
        let (mut term, mut sum) = (z, z);
        for k in 1..20 {
            term *= z * z / f64::from(2 * k + 1);
            sum += term;
        }
        return (0.5 * PI).sqrt() * (0.5 * z * z).exp() - sum;
    }
    let terms = (400.0 / (z * z)) as u32 + 10;
    1.0 / (1..=terms).rev().fold(z, |rest, k| z + f64::from(k) / rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_match_the_tables() {
        // scipy.special.log_ndtr(-z).
        for (z, log_tail) in [
            (-6.3, -1.488_228_221_873_048e-10),
            (-3.311_036, -0.000_464_864_281_020_579_8),
            (-0.7, -0.277_023_942_277_131_3),
            (0.2, -0.865_739_522_681_595_2),
            (0.999, -1.839_496_910_164_777_8),
            (1.001, -1.842_547_180_756_076_5),
            (2.5, -5.081_648_277_278_691),
            (7.7, -32.621_366_909_980_12),
            (19.99, -203.716_707_717_208_44),
            (30.0, -454.321_243_956_343_27),
            (39.9, -800.610_942_010_512_1),
            (45.0, -1_017.226_094_241_952_5),
            (1000.0, -500_007.826_694_812_2),
        ] {
            let error = (log_upper_tail(z) - log_tail).abs();
            assert!(
                error <= 2e-15 * f64::max(0.1, log_tail.abs()),
                "{z}: {error}"
            );
        }
    }

    #[test]
    fn the_table_is_as_good_as_the_formula() {
        let tail = LogTail::new();
        for k in -1200..110_000 {
            let z = f64::from(k) * 0.009_973;
            let (a, b) = (tail.of(z), log_upper_tail(z.min(MAX_Z)));
            assert!(
                (a - b).abs() <= 2e-15 * f64::max(1.0, b.abs()),
                "{z}: {a} {b}"
            );
        }
        assert_eq!(tail.of(-40.0).to_bits(), 0);
        assert_eq!(tail.of(f64::MAX).to_bits(), log_upper_tail(MAX_Z).to_bits());
    }
}
