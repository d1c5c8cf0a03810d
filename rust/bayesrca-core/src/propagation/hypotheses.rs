//! Prior over hypotheses: every component with every fault kind, sets of components, and "none of these" (eq. 2 and 9).

use crate::params::{CRASH, ERRORS, LATENCY, LINK, LOAD, N_FAMILIES, N_KINDS, Natural, RESOURCE};

/// Prior probability of the kinds that are neither latency nor errors.
const RESOURCE_PRIOR: f64 = 0.33;
const LOAD_PRIOR: f64 = 0.03;
const LINK_PRIOR: f64 = 0.04;
const CRASH_PRIOR: f64 = 0.03;
/// Weight of a fault in code beside the others, whose weights sum to one; only where something was traced.
const CODE_PRIOR: f64 = 0.67;
/// Probability that a fault of such a kind shows and spreads in latency, in errors.
const SHOWS: [[f64; N_FAMILIES]; N_KINDS] = [
    [1.0, f64::NAN],
    [f64::NAN, 1.0],
    [0.6, 0.25],
    [0.6, 0.3],
    [1.0, 0.15],
    [0.4, 0.8],
    [0.2, 0.3],
];

/// A value for each way of showing, `[in latency][in errors]`.
pub(crate) type ByMode = [[f64; 2]; 2];

/// Prior weight of a fault kind.
pub(crate) fn kind_prior(theta: &Natural, kind: usize) -> f64 {
    const REST: f64 = 1.0 - RESOURCE_PRIOR - LOAD_PRIOR - LINK_PRIOR - CRASH_PRIOR;
    match kind {
        LATENCY => REST * (1.0 - theta.error_kind),
        ERRORS => REST * theta.error_kind,
        RESOURCE => RESOURCE_PRIOR,
        LOAD => LOAD_PRIOR,
        LINK => LINK_PRIOR,
        CRASH => CRASH_PRIOR,
        _ => CODE_PRIOR,
    }
}

/// Add `g` times the derivative of `ln kind_prior`.
pub(crate) fn kind_prior_backward(theta: &Natural, kind: usize, g: f64, gradient: &mut Natural) {
    gradient.error_kind += match kind {
        LATENCY => -g / (1.0 - theta.error_kind),
        ERRORS => g / theta.error_kind,
        _ => 0.0,
    };
}

/// Prior probability of each way a fault of a kind shows: latency and errors faults always in their own family.
pub(crate) fn mode_prior(theta: &Natural, kind: usize) -> ByMode {
    let [mut latency, mut errors] = SHOWS[kind];
    if kind == LATENCY {
        errors = theta.cross_family[LATENCY];
    } else if kind == ERRORS {
        latency = theta.cross_family[ERRORS];
    }
    let of = |p: f64, shows: usize| if shows == 1 { p } else { 1.0 - p };
    [0, 1].map(|l| [0, 1].map(|e| of(latency, l) * of(errors, e)))
}

/// Add the gradient, given the adjoint of each mode's prior.
pub(crate) fn mode_prior_backward(kind: usize, d: &ByMode, gradient: &mut Natural) {
    if kind == LATENCY {
        gradient.cross_family[kind] += d[1][1] - d[1][0];
    } else if kind == ERRORS {
        gradient.cross_family[kind] += d[1][1] - d[0][1];
    }
}

/// Whether a fault that shows so explains the alarm of family `alarm` (None without a target). `reaches[f]`: the
/// target is the root or in its reach along family f.
pub(crate) fn explains(alarm: Option<usize>, reaches: [bool; 2], shows: [usize; 2]) -> bool {
    alarm.is_none_or(|f| shows[f] == 1 && reaches[f])
}

/// Number of kinds times ways of reaching the target.
pub(crate) const N_WAYS: usize = 4 * N_KINDS;

/// Index of a fault of a kind that reaches the target along these families, among `modes_at`.
pub(crate) fn way(kind: usize, reaches: [bool; 2]) -> usize {
    4 * kind + 2 * usize::from(reaches[0]) + usize::from(reaches[1])
}

/// The modes of every way at one theta.
pub(crate) fn modes_at(theta: &Natural, alarm: Option<usize>) -> [Modes; N_WAYS] {
    std::array::from_fn(|w| Modes::new(theta, w / 4, alarm, [w & 2 != 0, w & 1 != 0]))
}

/// Unnormalised weights of a single cause's modes, and which leave the alarm unexplained.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Modes {
    pub weight: ByMode,
    unexplained: [[bool; 2]; 2],
    prior: ByMode,
}

impl Modes {
    /// A mode that cannot explain the alarm is weighted by `unexplained_alarm`.
    fn new(theta: &Natural, kind: usize, alarm: Option<usize>, reaches: [bool; 2]) -> Self {
        let prior = mode_prior(theta, kind);
        let unexplained = [0, 1].map(|l| [0, 1].map(|e| !explains(alarm, reaches, [l, e])));
        let weight = [0, 1].map(|l| {
            [0, 1].map(|e| {
                let miss = if unexplained[l][e] {
                    theta.unexplained_alarm
                } else {
                    1.0
                };
                prior[l][e] * miss
            })
        });
        Self {
            weight,
            unexplained,
            prior,
        }
    }

    pub fn total(&self) -> f64 {
        self.weight.iter().flatten().sum()
    }

    /// Prior probability of leaving the alarm unexplained.
    pub fn unexplained(&self) -> f64 {
        (0..4)
            .filter(|m| self.unexplained[m / 2][m % 2])
            .map(|m| self.prior[m / 2][m % 2])
            .sum()
    }

    /// The indicator of each mode leaving the alarm unexplained, times `g`.
    pub fn unexplained_adjoint(&self, g: f64) -> ByMode {
        self.unexplained
            .map(|row| row.map(|u| if u { g } else { 0.0 }))
    }

    /// Add the gradient, given the adjoint of each weight.
    pub fn backward(&self, theta: &Natural, kind: usize, d: &ByMode, gradient: &mut Natural) {
        let mut d_prior = [[0.0; 2]; 2];
        for l in 0..2 {
            for e in 0..2 {
                if self.unexplained[l][e] {
                    gradient.unexplained_alarm += d[l][e] * self.prior[l][e];
                    d_prior[l][e] = d[l][e] * theta.unexplained_alarm;
                } else {
                    d_prior[l][e] = d[l][e];
                }
            }
        }
        mode_prior_backward(kind, &d_prior, gradient);
    }
}
