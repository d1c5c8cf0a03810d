//! Densities of one series' standardised contrast z, and of one dose given the root's.
//!
//! All are normalised, smooth in theta, and use only sums, products and square roots, so that loops over
//! footprints vectorise. Equation numbers refer to `docs/concepts.md`.

/// Probability that an effect has the expected sign (up for latency and for error shares).
const UP: f64 = 0.95;
/// How much wider the tail component of the quiet density is than its core.
const TAIL_FACTOR: f64 = 3.0;

/// A density and its partial derivatives.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Quiet {
    pub value: f64,
    pub d_scale: f64,
    pub d_tail: f64,
}

/// Quiet density of z: `(1 - tail) t4(z; scale) + tail t4(z; 3 scale)` (eq. 3).
pub(crate) fn quiet(z: f64, scale: f64, tail: f64) -> Quiet {
    let inv = 1.0 / scale;
    let core_sq = 0.25 * (z * inv) * (z * inv);
    let core_a = 1.0 + core_sq;
    let core = 0.375 * inv / (core_a * core_a * core_a.sqrt());
    let wide_inv = inv / TAIL_FACTOR;
    let wide_sq = 0.25 * (z * wide_inv) * (z * wide_inv);
    let wide_a = 1.0 + wide_sq;
    let wide = 0.375 * wide_inv / (wide_a * wide_a * wide_a.sqrt());
    Quiet {
        value: (1.0 - tail) * core + tail * wide,
        d_scale: inv
            * ((1.0 - tail) * core * (5.0 * core_sq / core_a - 1.0)
                + tail * wide * (5.0 * wide_sq / wide_a - 1.0)),
        d_tail: wide - core,
    }
}

/// Density of z under an effect of median size `median`, and its derivative with respect to the median:
/// log-logistic with shape 1 on each side of zero, mass .95 on the expected side (eq. 4).
pub(crate) fn effect(z: f64, median: f64) -> (f64, f64) {
    let side = if z >= 0.0 { UP } else { 1.0 - UP };
    let reach = median + z.abs();
    let value = side * median / (reach * reach);
    (value, value * (1.0 / median - 2.0 / reach))
}

/// Contrast beyond which the size of an untraced effect is compared with the root's dose.
pub(crate) const LARGE: f64 = 2.0;

/// Probability that an effect exceeds `LARGE`, and its derivative with respect to the median.
pub(crate) fn effect_beyond_large(median: f64) -> (f64, f64) {
    let reach = median + LARGE;
    (UP * median / reach, UP * LARGE / (reach * reach))
}

/// Student-t density with 4 degrees of freedom at `l` with squared scale `v`, and its derivative in `v`; one root and
/// one division.
#[inline(always)]
pub(crate) fn t4(l: f64, v: f64) -> (f64, f64) {
    let r = 1.0 / (4.0 * v + l * l);
    let slope = 12.0 * v * r * r * r.sqrt();
    (slope * v, slope * (2.0 - 10.0 * v * r))
}

/// Probability of the interval `(low, high)` under `t4` with squared scale `v`, and its derivative in `v`.
///
/// The edges are finite: 2^500 stands for infinity.
#[inline(always)]
pub(crate) fn t4_interval(low: f64, high: f64, v: f64) -> (f64, f64) {
    let (a, b) = (bounded(low, v), bounded(high, v));
    // On the upper side the difference of two survival functions keeps more digits.
    let sign = if a > 0.0 { -1.0 } else { 1.0 };
    let p = sign * (cdf(sign * b) - cdf(sign * a));
    // x t4(x) = 3/8 r (1 - r^2 / 4)^2
    let edge = |r: f64| {
        let tail = 1.0 - 0.25 * r * r;
        0.375 * r * tail * tail
    };
    (p.max(0.0), -0.5 * (edge(b) - edge(a)) / v)
}

/// `r = x / sqrt(1 + x^2 / 4)` for `x = l / sqrt(v)`: the whole line mapped to (-2, 2).
#[inline(always)]
fn bounded(l: f64, v: f64) -> f64 {
    l / (v + 0.25 * l * l).sqrt()
}

/// Stands for infinity as an edge of an interval of log doses, 2^500: its square is finite, and `bounded` takes it to 2.
pub(crate) const EDGE: f64 = 3.273390607896142e150;

/// Distribution function of Student's t with 4 degrees of freedom, in the variable of `bounded`.
#[inline(always)]
fn cdf(r: f64) -> f64 {
    0.5 + 0.375 * r * (1.0 - r * r / 12.0)
}

/// Standard normal density.
pub(crate) fn phi(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// Standard normal cumulative distribution function.
pub(crate) fn big_phi(x: f64) -> f64 {
    0.5 * statrs::function::erf::erfc(-x / std::f64::consts::SQRT_2)
}

/// How far below the root's a partial dose may lie, in log units (eq. 7).
const PARTIAL_REACH: f64 = 5.0;
/// Spread of the edges of that range, in log units.
const PARTIAL_EDGE: f64 = 0.4;

/// Density of a partial dose at log ratio `l`: `Uniform(-5, 0)` blurred by `N(0, .4^2 + noise^2)` (eq. 7).
pub(crate) fn partial_dose(l: f64, noise_sq: f64) -> f64 {
    let w = (PARTIAL_EDGE * PARTIAL_EDGE + noise_sq).sqrt();
    ((big_phi((l + PARTIAL_REACH) / w) - big_phi(l / w)) / PARTIAL_REACH).max(0.0)
}

/// Probability of `(low, high)` under `partial_dose`.
pub(crate) fn partial_dose_interval(low: f64, high: f64, noise_sq: f64) -> f64 {
    let w = (PARTIAL_EDGE * PARTIAL_EDGE + noise_sq).sqrt();
    // Antiderivative of the normal distribution function.
    let h = |x: f64| {
        if x == f64::NEG_INFINITY {
            0.0
        } else {
            x * big_phi(x) + phi(x)
        }
    };
    let g = |l: f64| w / PARTIAL_REACH * (h((l + PARTIAL_REACH) / w) - h(l / w));
    let upper = if high == f64::INFINITY { 1.0 } else { g(high) };
    (upper - g(low)).clamp(0.0, 1.0)
}

/// Density of a partial dose at log ratio `l`, given that it exceeds `cut` (`l >= cut`).
pub(crate) fn partial_dose_beyond(l: f64, cut: f64, noise_sq: f64) -> f64 {
    let w = (PARTIAL_EDGE * PARTIAL_EDGE + noise_sq).sqrt();
    // Below the cut there is nothing; a dose there is the cut's, off by rounding.
    let l = l.max(cut);
    let (x, y) = (cut / w, l / w);
    if x < FAR_TAIL {
        let beyond = partial_dose_interval(cut, f64::INFINITY, noise_sq);
        return partial_dose(l, noise_sq) / beyond;
    }
    // Far above the root's dose both tails would underflow: take them over phi(x), with Mills' ratio R.
    let (x_far, y_far) = ((cut + PARTIAL_REACH) / w, (l + PARTIAL_REACH) / w);
    let over = |t: f64| (0.5 * (x - t) * (x + t)).exp();
    let tail = |t: f64| over(t) / (t + mills_fraction(t));
    let integral = |t: f64| {
        let k = mills_fraction(t);
        over(t) * k / (t + k)
    };
    (tail(y) - tail(y_far)) / (w * (integral(x) - integral(x_far)))
}

/// Normal quantile beyond which tails are taken by their ratio.
const FAR_TAIL: f64 = 4.0;

/// `K(x)` in Mills' ratio `R(x) = Q(x) / phi(x) = 1 / (x + K(x))`: Laplace's continued fraction
/// `1/(x + 2/(x + 3/(x + ...)))`, converged to rounding for x of at least 4.
fn mills_fraction(x: f64) -> f64 {
    (1..=60).rev().fold(0.0, |k, j| f64::from(j) / (x + k))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Integral over the real line by the tanh-sinh-like substitution x = sinh(t).
    fn integral(f: impl Fn(f64) -> f64) -> f64 {
        let n = 400_000;
        let (lo, hi) = (-40.0, 40.0);
        let h = (hi - lo) / f64::from(n);
        (0..n)
            .map(|i| {
                let t: f64 = lo + (f64::from(i) + 0.5) * h;
                f(t.sinh()) * t.cosh() * h
            })
            .sum()
    }

    #[test]
    fn every_density_integrates_to_one() {
        let near = |x: f64| assert!((x - 1.0).abs() < 2e-4, "{x}");
        near(integral(|z| quiet(z, 1.3, 0.2).value));
        near(integral(|z| effect(z, 6.0).0));
        near(integral(|l| t4(l, 0.3).0));
        near(integral(|l| partial_dose(l, 0.5)));
    }

    #[test]
    fn intervals_add_up_to_the_density() {
        for (low, high) in [(-0.4, 0.9), (0.5, 2.0), (-3.0, -1.0)] {
            let n = 20_000;
            let h = (high - low) / f64::from(n);
            let mid = |i: i32| low + (f64::from(i) + 0.5) * h;
            let full: f64 = (0..n).map(|i| t4(mid(i), 0.2).0 * h).sum();
            let part: f64 = (0..n).map(|i| partial_dose(mid(i), 0.1) * h).sum();
            assert!((t4_interval(low, high, 0.2).0 - full).abs() < 1e-8);
            assert!((partial_dose_interval(low, high, 0.1) - part).abs() < 1e-8);
        }
        let below = t4_interval(-EDGE, 0.7, 0.2).0;
        assert!((below + t4_interval(0.7, EDGE, 0.2).0 - 1.0).abs() < 1e-14);
    }

    #[test]
    fn a_dose_beyond_a_cut_is_a_density_however_rare() {
        for cut in [-2.0, 0.5, 1.59, 1.61, 3.0, 40.0] {
            // The mass lies within a few w / x of the cut.
            let h = 1e-5 * (1.0 + 8.0 / (1.0 + f64::max(cut, 0.0)));
            let mass: f64 = (0..400_000)
                .map(|i| partial_dose_beyond(cut + (f64::from(i) + 0.5) * h, cut, 0.0) * h)
                .sum();
            assert!((mass - 1.0).abs() < 1e-3, "{mass} beyond {cut}");
        }
        // The two branches meet, for narrow and for wide edges.
        for noise_sq in [0.0, 4.0, 1e4, 1e8] {
            let cut = 4.0 * f64::sqrt(0.16 + noise_sq);
            let below = partial_dose_beyond(cut * 1.1, cut * (1.0 - 1e-9), noise_sq);
            let above = partial_dose_beyond(cut * 1.1, cut * (1.0 + 1e-9), noise_sq);
            assert!(
                (below / above - 1.0).abs() < 1e-6,
                "{below} {above} at {noise_sq}"
            );
        }
    }

    #[test]
    fn derivatives_match_finite_differences() {
        let fd = |f: &dyn Fn(f64) -> f64, x: f64| (f(x + 1e-6) - f(x - 1e-6)) / 2e-6;
        for z in [-7.0, -0.3, 0.0, 2.5, 40.0] {
            let q = quiet(z, 1.4, 0.15);
            assert!((q.d_scale - fd(&|s| quiet(z, s, 0.15).value, 1.4)).abs() < 1e-8);
            assert!((q.d_tail - fd(&|t| quiet(z, 1.4, t).value, 0.15)).abs() < 1e-8);
            assert!((effect(z, 6.0).1 - fd(&|m| effect(z, m).0, 6.0)).abs() < 1e-9);
            assert!((t4(z, 0.3).1 - fd(&|v| t4(z, v).0, 0.3)).abs() < 1e-7);
            let interval = |v: f64| t4_interval(z, z + 0.4, v).0;
            assert!((t4_interval(z, z + 0.4, 0.3).1 - fd(&interval, 0.3)).abs() < 1e-7);
        }
    }
}
