//! Prior over hypotheses: every component with every fault kind, and "none of these" (eq. 2 and 9).

use crate::params::{ERRORS, LATENCY, Natural};

/// Prior probability that a fault is of the resource kind.
const RESOURCE_PRIOR: f64 = 0.4;
/// Probability that a resource fault shows and spreads in latency, in errors.
const RESOURCE_SHOWS: [f64; 2] = [0.6, 0.25];

/// Unnormalised prior weight of a mode and its derivatives.
///
/// A hypothesis (root, kind) has two modes: the fault stays in its own family, or it also shows in the other one.
/// A mode that cannot explain the alarm is weighted by `unexplained_alarm`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Modes {
    /// Weight of the fault staying in its own family, over `kind_prior`.
    pub alone: f64,
    /// Weight of it also showing in the other family, over `kind_prior`.
    pub both: f64,
    /// Whether each mode leaves the alarm unexplained.
    pub alone_unexplained: bool,
    pub both_unexplained: bool,
}

/// Prior probability of a fault kind.
pub(crate) fn kind_prior(theta: &Natural, kind: usize) -> f64 {
    match kind {
        LATENCY => (1.0 - RESOURCE_PRIOR) * (1.0 - theta.error_kind),
        ERRORS => (1.0 - RESOURCE_PRIOR) * theta.error_kind,
        _ => RESOURCE_PRIOR,
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

/// Mode weights of a hypothesis. `explains[f]`: whether the root explains the alarm through family f;
/// `alarm` is the alarm's family, None when there is no target.
pub(crate) fn modes(
    theta: &Natural,
    kind: usize,
    alarm: Option<usize>,
    explains: [bool; 2],
) -> Modes {
    let (alone_ok, both_ok) = match alarm {
        None => (true, true),
        Some(f) => (f == kind && explains[f], explains[f]),
    };
    let miss = |ok: bool| if ok { 1.0 } else { theta.unexplained_alarm };
    let cross = theta.cross_family[kind];
    Modes {
        alone: (1.0 - cross) * miss(alone_ok),
        both: cross * miss(both_ok),
        alone_unexplained: !alone_ok,
        both_unexplained: !both_ok,
    }
}

/// Add the derivatives of the mode weights, given the adjoints of `alone` and `both`.
pub(crate) fn modes_backward(
    theta: &Natural,
    kind: usize,
    m: &Modes,
    d_alone: f64,
    d_both: f64,
    gradient: &mut Natural,
) {
    let cross = theta.cross_family[kind];
    gradient.cross_family[kind] += d_both * m.both / cross - d_alone * m.alone / (1.0 - cross);
    if m.alone_unexplained {
        gradient.unexplained_alarm += d_alone * (1.0 - cross);
    }
    if m.both_unexplained {
        gradient.unexplained_alarm += d_both * cross;
    }
}

/// Unnormalised prior weights of a resource fault, `[shows in latency][shows in errors]`, and whether each leaves the
/// alarm unexplained.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResourceModes {
    pub weight: [[f64; 2]; 2],
    unexplained: [[bool; 2]; 2],
}

impl ResourceModes {
    /// As [`modes`]: a mode explains the alarm when it shows in the alarm's family and the root reaches the target.
    pub fn new(theta: &Natural, alarm: Option<usize>, explains: [bool; 2]) -> Self {
        let mut out = Self {
            weight: [[0.0; 2]; 2],
            unexplained: [[false; 2]; 2],
        };
        for latency in 0..2 {
            for errors in 0..2 {
                let shows = [latency == 1, errors == 1];
                let prior: f64 = (0..2)
                    .map(|f| {
                        if shows[f] {
                            RESOURCE_SHOWS[f]
                        } else {
                            1.0 - RESOURCE_SHOWS[f]
                        }
                    })
                    .product();
                let missed = alarm.is_some_and(|f| !(shows[f] && explains[f]));
                out.unexplained[latency][errors] = missed;
                out.weight[latency][errors] =
                    prior * if missed { theta.unexplained_alarm } else { 1.0 };
            }
        }
        out
    }

    pub fn total(&self) -> f64 {
        self.weight.iter().flatten().sum()
    }

    /// Add the gradient, given the adjoint of each weight.
    pub fn backward(&self, theta: &Natural, d: [[f64; 2]; 2], gradient: &mut Natural) {
        for latency in 0..2 {
            for errors in 0..2 {
                if self.unexplained[latency][errors] {
                    gradient.unexplained_alarm +=
                        d[latency][errors] * self.weight[latency][errors] / theta.unexplained_alarm;
                }
            }
        }
    }
}
