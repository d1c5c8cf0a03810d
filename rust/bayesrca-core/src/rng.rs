//! Counter-based random streams: one per sampling unit, so that threads never change a bit.

use fearless_simd::prelude::*;
use fearless_simd::u64x8;
use statrs::function::erf::erfc_inv;

/// Step of the `SplitMix64` counter.
pub(crate) const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output function of `SplitMix64` (Steele, Lea & Flood 2014).
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// What a stream is drawn for; streams of one seed and different purposes are unrelated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Purpose {
    /// Antithetic pairs of orders.
    Pairs = 1,
    /// Scrambles of a Sobol sequence.
    Scrambles = 2,
    /// Orders over which the inner error is averaged.
    Inner = 3,
    /// Worlds of a live-edge game.
    Worlds = 4,
    /// Resamples of uncertain doses.
    Doses = 5,
    /// Coalitions of a regression.
    Coalitions = 6,
    /// Trials of the estimators.
    Pilot = 7,
    /// Orders on which a surrogate is judged.
    Trial = 8,
    /// Orders of a surrogate beside antithetic pairs.
    SurrogatePairs = 9,
    /// Orders of a surrogate beside scrambles.
    SurrogateScrambles = 10,
    /// States of clamped components.
    Clamps = 11,
}

/// The random stream of one sampling unit.
#[derive(Debug, Clone)]
pub(crate) struct Stream(u64);

impl Stream {
    /// Stream number `unit` of `seed` for one purpose.
    pub fn new(seed: u64, purpose: Purpose, unit: u64) -> Self {
        let purpose = mix(seed.wrapping_add((purpose as u64).wrapping_mul(STEP)));
        Self(mix(purpose.wrapping_add((unit + 1).wrapping_mul(STEP))))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// Uniform on 0 to `n - 1` (Lemire 2019, with rejection: no bias).
    pub fn below(&mut self, n: u32) -> u32 {
        loop {
            let product = (self.bits() >> 32) * u64::from(n);
            // The division is needed once in 2^32 / n draws.
            if product as u32 >= n || product as u32 >= n.wrapping_neg() % n {
                return (product >> 32) as u32;
            }
        }
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f64 {
        let u = ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        -std::f64::consts::SQRT_2 * erfc_inv(2.0 * u)
    }

    /// Shuffle in place (Fisher & Yates).
    pub fn shuffle(&mut self, order: &mut [u32]) {
        for i in (1..order.len()).rev() {
            let j = self.below(i as u32 + 1) as usize;
            order.swap(i, j);
        }
    }
}

/// Words that [`WideStream`] draws at once.
pub(crate) const WIDE: usize = 8;

/// A stream that draws [`WIDE`] words at once, one per vector lane: a xoshiro256++ generator per lane (Blackman & Vigna
/// 2021).
#[derive(Debug, Clone, Copy)]
pub(crate) struct WideStream<S: Simd> {
    state: (u64x8<S>, u64x8<S>, u64x8<S>, u64x8<S>),
}

impl<S: Simd> WideStream<S> {
    /// The stream whose lanes' states are drawn from `seeds`.
    #[inline(always)]
    pub fn new(simd: S, seeds: &mut Stream) -> Self {
        let mut draw =
            || u64x8::from_slice(simd, &std::array::from_fn::<_, WIDE, _>(|_| seeds.bits()));
        Self {
            state: (draw(), draw(), draw(), draw()),
        }
    }

    /// 64 random bits per lane.
    #[inline(always)]
    pub fn bits(&mut self) -> u64x8<S> {
        let (s0, s1, s2, s3) = self.state;
        let sum = s0 + s3;
        let result = (sum << 23 | sum >> 41) + s0;
        let (s2, s3) = (s2 ^ s0, s3 ^ s1);
        self.state = (s0 ^ s3, s1 ^ s2, s2 ^ (s1 << 17), s3 << 45 | s3 >> 19);
        result
    }

    /// Independent events of one probability, one per bit of `within`; the other bits are 0. Each bit compares its own
    /// random digits with the binary digits of the probability and stops at the first difference, so about 10 draws
    /// decide all of them.
    #[inline(always)]
    pub fn events(&mut self, threshold: Threshold, within: u64x8<S>) -> u64x8<S> {
        let zero = u64x8::splat(within.token(), 0);
        let mut digits = match threshold {
            Threshold::Never => return zero,
            Threshold::Always => return within,
            Threshold::Digits(digits) => digits,
        };
        let (mut happened, mut open) = (zero, within);
        // The remaining digits being zero, no open bit can fall below them.
        while digits != 0 && open.simd_ne(zero).any_true() {
            let bits = self.bits();
            // All ones where the digit is 1: there a random 0 falls below, elsewhere a random 1 lies above.
            let digit = (digits >> 63).wrapping_neg();
            let differs = open & (bits ^ digit);
            happened |= differs & digit;
            open ^= differs;
            digits <<= 1;
        }
        happened
    }
}

/// A probability as binary digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threshold {
    Never,
    Always,
    Digits(u64),
}

/// Binary digits of a probability.
pub(crate) fn threshold(probability: f64) -> Threshold {
    let digits = (probability * 2.0f64.powi(64)) as u64;
    if probability >= 1.0 {
        Threshold::Always
    } else if digits == 0 {
        Threshold::Never
    } else {
        Threshold::Digits(digits)
    }
}

#[cfg(test)]
mod tests {
    use fearless_simd::dispatch;

    use super::*;
    use crate::simd;

    /// Events of probability p per lane among `draws`, and the generator's next bits.
    fn count_events(p: f64, draws: u32) -> ([u32; WIDE], Vec<u64>) {
        dispatch!(simd::level(), simd => {
            let mut stream = WideStream::new(simd, &mut Stream::new(7, Purpose::Worlds, 0));
            let mut counts = [0; WIDE];
            for _ in 0..draws {
                let events = stream.events(threshold(p), u64x8::splat(simd, u64::MAX >> 1));
                for (count, word) in counts.iter_mut().zip(events.as_slice()) {
                    *count += word.count_ones();
                }
            }
            (counts, stream.bits().as_slice().to_vec())
        })
    }

    #[test]
    fn events_happen_with_their_probability_on_any_machine() {
        let draws = 4000;
        for p in [0.0, 1e-3, 0.25, 0.7, 1.0] {
            let (counts, bits) = count_events(p, draws);
            for count in counts {
                let (n, count) = (f64::from(draws * 63), f64::from(count));
                let spread = (n * p * (1.0 - p)).sqrt();
                assert!((count - n * p).abs() <= 4.5 * spread, "{p}");
            }
            assert_eq!(
                simd::tests::on_baseline(|| count_events(p, draws)),
                (counts, bits)
            );
        }
    }

    #[test]
    fn every_order_is_as_likely() {
        let mut counts = std::collections::HashMap::new();
        for unit in 0..24_000 {
            let mut order = [0, 1, 2, 3];
            Stream::new(3, Purpose::Pairs, unit).shuffle(&mut order);
            *counts.entry(order).or_insert(0.0) += 1.0;
        }
        let chi_square: f64 = counts
            .values()
            .map(|c: &f64| (c - 1000.0).powi(2) / 1000.0)
            .sum();
        assert_eq!(counts.len(), 24);
        assert!(chi_square < 55.0, "{chi_square}"); // 23 degrees of freedom: p < 2e-4
    }

    #[test]
    fn normals_have_unit_variance() {
        let mut stream = Stream::new(11, Purpose::Doses, 0);
        let draws: Vec<f64> = (0..40_000).map(|_| stream.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 4e4;
        let variance = draws.iter().map(|x| x * x).sum::<f64>() / 4e4;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03);
    }
}
