//! The fixed-length parameter vector theta.
//!
//! Every entry belongs to a *kind* (of family, of fault, of path), never to a component, so the vector
//! has the same length for every incident. The likelihood takes theta unconstrained: the logarithm of a
//! positive parameter, the logit of a probability.

/// Signal families the likelihood reads, in this order everywhere.
pub const FAMILIES: [&str; N_FAMILIES] = ["latency", "errors"];
/// Number of families.
pub const N_FAMILIES: usize = 2;
/// Index of the latency family and of the latency fault kind.
pub const LATENCY: usize = 0;
/// Index of the errors family and of the errors fault kind.
pub const ERRORS: usize = 1;

/// Families of a component's own resource telemetry, in this order everywhere.
pub const VITALS: [&str; N_VITALS] = [
    "load", "cpu", "memory", "disk", "network", "generic", "host", "state", "egress",
];
/// Number of vital families.
pub const N_VITALS: usize = 9;
/// Index of the load family.
pub const LOAD_VITAL: usize = 0;
/// Index of discrete states, whose density ratios do not depend on theta.
pub const STATE: usize = 7;
/// Index of the time a component waits for its callees: theirs to explain, never its own fault.
pub const EGRESS: usize = 8;
/// Index of the resource fault kind, after those of the families.
pub const RESOURCE: usize = 2;
/// Index of the load fault kind: too much is asked of a component, and so of its callees.
pub const LOAD: usize = 3;
/// Index of the link fault kind: the way to a component is slow, the component is not.
pub const LINK: usize = 4;
/// Index of the crash fault kind: a component falls silent.
pub const CRASH: usize = 5;
/// Index of the code fault kind: a component behaves otherwise; possible only where something was traced.
pub const CODE: usize = 6;
/// Number of fault kinds.
pub const N_KINDS: usize = 7;
/// Names of the fault kinds, in the order of the hypotheses.
pub const KINDS: [&str; N_KINDS] = [
    "latency", "errors", "resource", "load", "link", "crash", "code",
];

/// How a parameter is made unconstrained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transform {
    /// `u = ln(x)`, for positive x.
    Log,
    /// `u = ln(x / (1 - x))`, for probabilities.
    Logit,
}

/// Name, length and transform of each parameter, in the order of theta.
pub const LAYOUT: [(&str, usize, Transform); 23] = [
    ("noise_scale", 2, Transform::Log),
    ("tail_weight", 2, Transform::Logit),
    ("effect_size", 2, Transform::Log),
    ("root_effect_size", 2, Transform::Log),
    ("base_rate", 2, Transform::Logit),
    ("transmission", 2, Transform::Logit),
    ("dose_spread", 2, Transform::Log),
    ("cross_family", 2, Transform::Logit),
    ("vital_transmission", 2, Transform::Logit),
    ("trace_weak", 2, Transform::Logit),
    ("trace_strong", 2, Transform::Logit),
    ("full_dose_target", 1, Transform::Logit),
    ("full_dose_path", 1, Transform::Logit),
    ("unrelated_dose", 1, Transform::Logit),
    ("own_visible", 1, Transform::Logit),
    ("error_kind", 1, Transform::Logit),
    ("unexplained_alarm", 1, Transform::Logit),
    ("untraced_dose", 1, Transform::Logit),
    ("vital_scale", 1, Transform::Log),
    ("vital_index", 1, Transform::Log),
    ("vital_effect_size", 1, Transform::Log),
    ("vital_rate", 1, Transform::Logit),
    ("unrelated_delay", 1, Transform::Logit),
];

/// Length of theta.
pub const N_PARAMETERS: usize = 34;

/// Theta on its natural scale, or a gradient with respect to it (same fields, same order as `LAYOUT`).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Natural {
    /// Multiplier of the null scales of continuous series, per family.
    pub noise_scale: [f64; 2],
    /// Weight of the wide component of the quiet density, per family.
    pub tail_weight: [f64; 2],
    /// Median size of an affected component's effect, in null scales, per family.
    pub effect_size: [f64; 2],
    /// Median size of a root's effect, in null scales, per family.
    pub root_effect_size: [f64; 2],
    /// Rate at which a component is affected for no traceable reason, per family.
    pub base_rate: [f64; 2],
    /// Probability that an affected dependency affects its dependent, per family.
    pub transmission: [f64; 2],
    /// Spread of the log ratio between a dose and the root's, per family.
    pub dose_spread: [f64; 2],
    /// Probability that a fault of kind k also shows and spreads in the other family, per kind.
    pub cross_family: [f64; 2],
    /// Probability that a fault disturbs the vitals of a component one step away: a caller, a callee.
    pub vital_transmission: [f64; 2],
    /// Rate of small changes of spans and logs for no traceable reason: of times, of patterns.
    pub trace_weak: [f64; 2],
    /// Rate of changes there that are as large as a fault's.
    pub trace_strong: [f64; 2],
    /// Probability that the target receives the whole dose.
    pub full_dose_target: f64,
    /// Probability that another component on a path receives the whole dose.
    pub full_dose_path: f64,
    /// Probability that the dose of an affected component on a path is unrelated to the root's.
    pub unrelated_dose: f64,
    /// Probability that the root shows in the family of its own fault.
    pub own_visible: f64,
    /// Prior probability that a fault is of the errors kind.
    pub error_kind: f64,
    /// Weight of a hypothesis that leaves the alarm on the target unexplained.
    pub unexplained_alarm: f64,
    /// Probability that a large effect off every declared path still carries part of the root's dose.
    pub untraced_dose: f64,
    /// Scale of the quiet density of vitals, in their null scales.
    pub vital_scale: f64,
    /// Tail index of the quiet density of vitals.
    pub vital_index: f64,
    /// Median size of the effect on a disturbed component's vitals, in units of their scale.
    pub vital_effect_size: f64,
    /// Rate at which a component's vitals are disturbed for no traceable reason.
    pub vital_rate: f64,
    /// Probability that a disturbance that a fault caused began at any time, not near the fault's own onset.
    pub unrelated_delay: f64,
}

impl Natural {
    /// The values in the order of `LAYOUT`.
    #[must_use]
    pub fn to_array(&self) -> [f64; N_PARAMETERS] {
        let mut out = [0.0; N_PARAMETERS];
        let pairs = [
            self.noise_scale,
            self.tail_weight,
            self.effect_size,
            self.root_effect_size,
            self.base_rate,
            self.transmission,
            self.dose_spread,
            self.cross_family,
            self.vital_transmission,
            self.trace_weak,
            self.trace_strong,
        ];
        for (i, pair) in pairs.iter().enumerate() {
            out[2 * i..2 * i + 2].copy_from_slice(pair);
        }
        out[22..].copy_from_slice(&[
            self.full_dose_target,
            self.full_dose_path,
            self.unrelated_dose,
            self.own_visible,
            self.error_kind,
            self.unexplained_alarm,
            self.untraced_dose,
            self.vital_scale,
            self.vital_index,
            self.vital_effect_size,
            self.vital_rate,
            self.unrelated_delay,
        ]);
        out
    }

    fn from_array(x: &[f64; N_PARAMETERS]) -> Self {
        let pair = |i: usize| [x[2 * i], x[2 * i + 1]];
        Self {
            noise_scale: pair(0),
            tail_weight: pair(1),
            effect_size: pair(2),
            root_effect_size: pair(3),
            base_rate: pair(4),
            transmission: pair(5),
            dose_spread: pair(6),
            cross_family: pair(7),
            vital_transmission: pair(8),
            trace_weak: pair(9),
            trace_strong: pair(10),
            full_dose_target: x[22],
            full_dose_path: x[23],
            unrelated_dose: x[24],
            own_visible: x[25],
            error_kind: x[26],
            unexplained_alarm: x[27],
            untraced_dose: x[28],
            vital_scale: x[29],
            vital_index: x[30],
            vital_effect_size: x[31],
            vital_rate: x[32],
            unrelated_delay: x[33],
        }
    }

    /// Natural values of an unconstrained theta.
    ///
    /// Probabilities are kept `1e-12` away from 0 and 1, scales within `exp(-40)` to `exp(40)`: a sampler's
    /// wildest first steps then give a very small likelihood, never a NaN.
    #[must_use]
    pub fn from_unconstrained(u: &[f64; N_PARAMETERS]) -> Self {
        let mut x = [0.0; N_PARAMETERS];
        for (i, transform) in transforms().into_iter().enumerate() {
            x[i] = match transform {
                Transform::Log => u[i].clamp(-40.0, 40.0).exp(),
                Transform::Logit => sigmoid(u[i]).clamp(1e-12, 1.0 - 1e-12),
            };
        }
        Self::from_array(&x)
    }

    /// Gradient with respect to the unconstrained theta, from `self` (a gradient on the natural scale) at `at`.
    #[must_use]
    pub fn chain(&self, at: &Self) -> [f64; N_PARAMETERS] {
        let (x, mut g) = (at.to_array(), self.to_array());
        for (i, transform) in transforms().into_iter().enumerate() {
            g[i] *= match transform {
                Transform::Log => x[i],
                Transform::Logit => x[i] * (1.0 - x[i]),
            };
        }
        g
    }
}

/// The transform of every entry of theta.
fn transforms() -> [Transform; N_PARAMETERS] {
    let mut out = [Transform::Log; N_PARAMETERS];
    let mut i = 0;
    for (_, length, transform) in LAYOUT {
        for _ in 0..length {
            out[i] = transform;
            i += 1;
        }
    }
    debug_assert_eq!(i, N_PARAMETERS);
    out
}

fn sigmoid(u: f64) -> f64 {
    1.0 / (1.0 + (-u).exp())
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // Exact values are meant.
mod tests {
    use super::*;

    #[test]
    fn layout_adds_up_and_round_trips() {
        assert_eq!(LAYOUT.iter().map(|l| l.1).sum::<usize>(), N_PARAMETERS);
        let mut x = [0.0; N_PARAMETERS];
        for (i, v) in x.iter_mut().enumerate() {
            *v = i as f64;
        }
        assert_eq!(Natural::from_array(&x).to_array(), x);
    }

    #[test]
    fn transforms_and_their_derivatives_agree() {
        let u = [0.3; N_PARAMETERS];
        let at = Natural::from_unconstrained(&u);
        let ones = Natural::from_array(&[1.0; N_PARAMETERS]);
        let g = ones.chain(&at);
        for i in 0..N_PARAMETERS {
            let mut hi = u;
            hi[i] += 1e-6;
            let d = (Natural::from_unconstrained(&hi).to_array()[i] - at.to_array()[i]) / 1e-6;
            assert!((d - g[i]).abs() < 1e-5, "entry {i}: {d} against {}", g[i]);
        }
    }
}
