//! Prior weights of single causes that do not depend on theta: what would show, and what could not.

use super::spread::Spread;
use super::traces::Traces;
use super::vitals::Vitals;
use crate::evidence::Evidence;
use crate::params::{CODE, CRASH, LATENCY, LINK, LOAD, N_FAMILIES, N_KINDS, RESOURCE};

/// Prior weight of a latency or errors fault at a component that does not report that family, of a crash where
/// silence or calls cut short could not be seen, and of a link fault where nobody calls, against one that would show.
const UNSEEN: f64 = 0.35;
/// Prior weight of a link fault where calls to the component are timed at both ends, against one that only slow callers
/// would tell.
const TIMED_LINK: f64 = 5.0;
/// Prior weight of a load fault at a component whose callers would have passed it on, against one without callers.
const CALLED: f64 = 0.1;

/// Prior weight of every (component, kind), and the part of it that the vitals' factors do not hold.
pub(super) fn prior_weights(
    e: &Evidence,
    families: &[Spread; N_FAMILIES],
    (vitals, traces): (&Vitals, &Traces),
) -> (Vec<f64>, Vec<f64>) {
    let s = e.n_footprints();
    let (mut prior, mut joint) = (Vec::new(), Vec::new());
    for i in 0..e.n_components {
        let own = e.root_log_prior.get(i).map_or(1.0, |l| l.exp());
        let silence = e.crash_log_ratio.get(i * s..(i + 1) * s);
        let entry = if vitals.has_callers(i) { CALLED } else { 1.0 };
        for kind in 0..N_KINDS {
            let seen = match kind {
                RESOURCE | LOAD | CODE => true,
                LINK => families[LATENCY].reaches_anybody(i),
                CRASH => silence.is_some_and(|x| x.iter().any(|&l| l != 0.0)) && !traces.untold(i),
                f => families[f].cells.reports(i),
            };
            let shows = match kind {
                CODE => traces.code_weight(i),
                LINK if traces.times_calls_to(i) => TIMED_LINK,
                _ if seen => 1.0,
                _ => UNSEEN,
            };
            let weight = own * shows * if kind == LOAD { entry } else { 1.0 };
            joint.push(weight);
            prior.push(
                weight
                    * match kind {
                        RESOURCE => vitals.prior_weight(i),
                        LOAD => vitals.load_weight(i),
                        _ => 1.0,
                    },
            );
        }
    }
    (prior, joint)
}
