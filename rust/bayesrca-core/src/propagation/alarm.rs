//! What the alarm on the target says (eq. 9).

/// Probability that the alarm on the target is a true effect.
pub(crate) const ALARM_TRUE: f64 = 0.9;

/// `(ALARM_TRUE r + (1 - ALARM_TRUE) h) / h` with `h = 1 - a + a r`, and the derivatives of its logarithm.
pub(crate) struct AlarmMix {
    pub value: f64,
    pub d_ratio: f64,
    pub d_rate: f64,
}

pub(crate) fn alarm_mix(ratio: f64, rate: f64) -> AlarmMix {
    let h = 1.0 - rate + rate * ratio;
    let mixed = ALARM_TRUE * ratio + (1.0 - ALARM_TRUE) * h;
    let d_h = (1.0 - ALARM_TRUE) / mixed - 1.0 / h;
    AlarmMix {
        value: mixed / h,
        d_ratio: ALARM_TRUE / mixed + d_h * rate,
        d_rate: d_h * (ratio - 1.0),
    }
}

/// The sum over sets without and with the target, conditioned on it being affected with weight `ALARM_TRUE` (eq. 9);
/// `prior` is the probability of that without the data.
pub(crate) fn mix(off: f64, on: f64, prior: f64) -> f64 {
    ALARM_TRUE * on / prior + (1.0 - ALARM_TRUE) * (off + on)
}
