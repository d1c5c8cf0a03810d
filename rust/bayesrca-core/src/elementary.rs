//! Exponential and logarithm of whole slices.
//!
//! Both are a range reduction and a power series in plain arithmetic, without a branch, a table or a fused
//! multiply-add: loops over them vectorise, and give the same bits on every machine. Errors stay within two units in
//! the last place.

use fearless_simd::{Level, dispatch};

/// Added to a number of moderate size, it leaves the nearest integer in the lowest bits.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// `ln 2`, as a part with trailing zeros, whose products with exponents are exact, and the rest.
const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
/// Exponentials of less are 0, of more than the upper end infinite.
const RANGE: std::ops::RangeInclusive<f64> = -708.0..=709.0;

/// Replace every value by its exponential.
pub(crate) fn exp_all(values: &mut [f64], level: Level) {
    dispatch!(level, _ => values.iter_mut().for_each(|x| *x = exp(*x)));
}

/// Replace every value by its natural logarithm; of 0 that is minus infinity, below it is not a number.
pub(crate) fn ln_all(values: &mut [f64], level: Level) {
    dispatch!(level, _ => values.iter_mut().for_each(|x| *x = ln(*x)));
}

#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    let inside = x.max(*RANGE.start()).min(*RANGE.end());
    let shifted = inside * std::f64::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = (inside - k * LN_2_HIGH) - k * LN_2_LOW;
    // The series to the 13th power: below 1e-17 for |r| up to ln(2) / 2.
    let mut tail = 1.0 / 6_227_020_800.0;
    for inverse in INVERSE_FACTORIALS {
        tail = tail * r + inverse;
    }
    let value = 1.0 + (r + r * r * tail);
    let power = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    let value = value * power;
    let value = if x < *RANGE.start() { 0.0 } else { value };
    let value = if x > *RANGE.end() {
        f64::INFINITY
    } else {
        value
    };
    if x.is_nan() { x } else { value }
}

/// One over 12!, 11! ... 2!.
const INVERSE_FACTORIALS: [f64; 11] = [
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
];

#[inline(always)]
pub(crate) fn ln(x: f64) -> f64 {
    /// Bits of the square root of one half, below which a mantissa counts to the next power of two.
    const LOWEST: u64 = 0x3fe6_a09e_667f_3bcd;
    const ONE: u64 = 0x3ff0_0000_0000_0000;
    /// Bits of 2^52: below them an integer reads as itself plus that.
    const INTEGER: u64 = 0x4330_0000_0000_0000;
    let small = x < f64::MIN_POSITIVE;
    let scaled = if small {
        x * 18_014_398_509_481_984.0
    } else {
        x
    };
    let offset = scaled.to_bits().wrapping_add(ONE - LOWEST);
    let exponent = offset >> 52;
    let m = f64::from_bits((offset & 0x000f_ffff_ffff_ffff) + LOWEST);
    let k = f64::from_bits(exponent | INTEGER) - (4_503_599_627_370_496.0 + 1023.0);
    let k = if small { k - 54.0 } else { k };
    // ln(1 + f) = 2 atanh(s) with s = f / (2 + f), its first term taken as f - s f.
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let mut tail = 2.0 / 23.0;
    for term in [21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        tail = tail * z + 2.0 / term;
    }
    let value = k * LN_2_HIGH + (f - (s * (f - z * tail) - k * LN_2_LOW));
    let value = if x == 0.0 { f64::NEG_INFINITY } else { value };
    let value = if x == f64::INFINITY { x } else { value };
    if x >= 0.0 { value } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd;

    /// Distance in units in the last place of `exact`.
    fn ulps(value: f64, exact: f64) -> f64 {
        (value - exact).abs() / (exact.abs() * f64::EPSILON).max(f64::MIN_POSITIVE)
    }

    #[test]
    fn both_agree_with_the_standard_library() {
        let (mut exps, mut logs) = (0.0f64, 0.0f64);
        for i in 0..400_000 {
            let t = f64::from(i) / 400_000.0;
            for x in [t * 1416.0 - 707.5, t * 2.0 - 1.0, t * 1e-3] {
                exps = exps.max(ulps(exp(x), x.exp()));
                let y = x.exp();
                logs = logs.max(ulps(ln(y), y.ln()));
            }
            logs = logs.max(ulps(ln(0.5 + t), (0.5 + t).ln()));
        }
        assert!(exps < 2.0 && logs < 2.0, "exp {exps}, ln {logs}");
    }

    #[test]
    fn ends_of_the_range_are_exact() {
        let mut values = [0.0, -1e9, f64::NEG_INFINITY, 710.0, f64::INFINITY];
        exp_all(&mut values, simd::level());
        let expected = [1.0, 0.0, 0.0, f64::INFINITY, f64::INFINITY];
        assert_eq!(values.map(f64::to_bits), expected.map(f64::to_bits));
        let mut values = [1.0, 0.0, f64::INFINITY];
        ln_all(&mut values, simd::level());
        let expected = [0.0, f64::NEG_INFINITY, f64::INFINITY];
        assert_eq!(values.map(f64::to_bits), expected.map(f64::to_bits));
        assert!(exp(f64::NAN).is_nan() && ln(f64::NAN).is_nan() && ln(-1.0).is_nan());
        let tiny = 3.0 * f64::MIN_POSITIVE * f64::EPSILON;
        assert!(ulps(ln(tiny), tiny.ln()) < 2.0);
    }

    #[test]
    fn the_same_bits_come_from_every_instruction_set() {
        let from = |level| {
            let mut values: Vec<f64> = (0..1000).map(|i| f64::from(i) * 0.7 - 400.0).collect();
            exp_all(&mut values, level);
            let exps = values.clone();
            ln_all(&mut values, level);
            exps.into_iter()
                .chain(values)
                .map(f64::to_bits)
                .collect::<Vec<_>>()
        };
        assert_eq!(from(simd::level()), from(Level::baseline()));
    }
}
