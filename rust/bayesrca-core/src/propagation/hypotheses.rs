//! Prior over hypotheses: every component with every fault kind, and "none of these" (eq. 2 and 9).

use crate::params::{ERRORS, LATENCY, Natural};

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
        LATENCY => 1.0 - theta.error_kind,
        _ => theta.error_kind,
    }
}

/// Add `g` times the derivative of `ln kind_prior`.
pub(crate) fn kind_prior_backward(theta: &Natural, kind: usize, g: f64, gradient: &mut Natural) {
    gradient.error_kind += match kind {
        ERRORS => g / theta.error_kind,
        _ => -g / (1.0 - theta.error_kind),
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
