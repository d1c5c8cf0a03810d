//! How likely a component is disturbed, by the way from the fault to it.

use super::reach::{exponent, steps};
use crate::params::Natural;

/// Probability that a load fault shows one step further down.
const LOAD_PASSED: f64 = 0.6;
/// Probability that a fault that slows a callee shows in the time its caller waits.
const WAITS: f64 = 0.7;

/// Probability that a component `down` steps below a load fault is disturbed.
pub(super) fn load_rate(a: f64, down: usize) -> f64 {
    1.0 - (1.0 - a) * (1.0 - LOAD_PASSED.powi(exponent(down)))
}

/// Probability that a component `up` steps above a slow one waits for it.
pub(super) fn wait_rate(a: f64, up: usize) -> f64 {
    1.0 - (1.0 - a) * (1.0 - WAITS.powi(exponent(up)))
}

/// Probability that a component of a class is disturbed by the fault or for no traceable reason.
pub(super) struct Reach {
    pub rate: f64,
    missed: [f64; 2],
    slope: [f64; 2],
    quiet: f64,
}

impl Reach {
    pub fn new(theta: &Natural, class: usize) -> Self {
        let (up, down) = steps(class);
        let quiet = 1.0 - theta.vital_rate;
        let (mut missed, mut slope) = ([1.0; 2], [0.0; 2]);
        for (j, steps) in [up, down].into_iter().enumerate().filter(|(_, d)| *d > 0) {
            let t = theta.vital_transmission[j];
            missed[j] = 1.0 - t.powi(steps);
            slope[j] = f64::from(steps) * t.powi(steps - 1);
        }
        Self {
            rate: 1.0 - quiet * missed[0] * missed[1],
            missed,
            slope,
            quiet,
        }
    }

    /// Probability that the fault does not disturb the component.
    pub fn missed(&self) -> f64 {
        self.missed[0] * self.missed[1]
    }

    /// Add the gradient of `g` times the rate.
    pub fn backward(&self, g: f64, gradient: &mut Natural) {
        gradient.vital_rate += g * self.missed();
        self.missed_backward(-g * self.quiet, gradient);
    }

    /// Add the gradient of `g` times `missed`.
    pub fn missed_backward(&self, g: f64, gradient: &mut Natural) {
        for j in 0..2 {
            gradient.vital_transmission[j] -= g * self.slope[j] * self.missed[1 - j];
        }
    }
}

/// Probability ratio of a component whose onset is known, over quiet, with its derivatives.
///
/// What the fault disturbs begins near the fault's own onset, what is disturbed for no traceable reason at any time
/// (eq. 16).
pub(super) struct Timed {
    pub value: f64,
    pub d_p: f64,
    d_rate: f64,
    d_missed: f64,
    d_unrelated: f64,
}

impl Timed {
    /// `p`: ratio of a disturbed component; `timely`: density ratio of its onset; `truth`: probability that it is
    /// known to be disturbed.
    pub fn new(theta: &Natural, reach: &Reach, p: f64, timely: f64, truth: f64) -> Self {
        let (a, missed, u) = (theta.vital_rate, reach.missed(), theta.unrelated_delay);
        let near = (1.0 - u) * timely + u;
        let weight = a * missed + (1.0 - missed) * near;
        let rate = 1.0 - (1.0 - a) * missed;
        let per_rate = weight / rate;
        // Derivative of `weight / rate` from those of its parts.
        let ratio = |d_weight: f64, d_rate: f64| (d_weight - per_rate * d_rate) / rate;
        let mixed = |d_known: f64, d_plain: f64| truth * p * d_known + (1.0 - truth) * d_plain;
        let by_unrelated = (1.0 - missed) * (1.0 - timely);
        Self {
            value: truth * p * per_rate + (1.0 - truth) * ((1.0 - a) * missed + p * weight),
            d_p: truth * per_rate + (1.0 - truth) * weight,
            d_rate: mixed(ratio(missed, missed), missed * (p - 1.0)),
            d_missed: mixed(ratio(a - near, -(1.0 - a)), (1.0 - a) + p * (a - near)),
            d_unrelated: mixed(ratio(by_unrelated, 0.0), p * by_unrelated),
        }
    }

    /// Add the gradient of `g` times the value.
    pub fn backward(&self, g: f64, reach: &Reach, gradient: &mut Natural) {
        gradient.vital_rate += g * self.d_rate;
        gradient.unrelated_delay += g * self.d_unrelated;
        reach.missed_backward(g * self.d_missed, gradient);
    }
}
