//! Large effects off every declared path: graphs are incomplete, and a missing edge still carries the dose (eq. 8).
//!
//! Given that a component is affected for no traceable reason and moved by more than `LARGE` null scales, the size of
//! its effect follows a partial dose of the roots' with probability `untraced_dose`, else the generic law. Below that
//! size the generic law holds, so the density stays normalised and only components that moved are ever visited.

use super::cells::Ratios;
use super::density::{LARGE, effect_beyond_large, partial_dose_beyond};
use super::doses::{DoseTable, PairAdjoint};
use super::plan::Plan;
use crate::evidence::FamilyEvidence;
use crate::params::Natural;

/// One component that moved in one footprint, seen from one set of roots.
#[derive(Debug, Clone)]
pub(crate) struct Untraced {
    pub component: usize,
    pub footprint: usize,
    /// Density of the log dose under a partial dose of these roots, given that z exceeds `LARGE`.
    pub density: f64,
}

/// Components of continuous cells that moved by more than `LARGE` in some footprint: `(component, footprint)`.
pub(crate) fn moved(e: &FamilyEvidence, s: usize) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    for (row, &component) in e.series_component.iter().enumerate() {
        for k in 0..s {
            if e.z[row * s + k] > LARGE && !e.dose[component * s + k].is_nan() {
                out.push((component, k));
            }
        }
    }
    out
}

/// The moved components whose effect on their own a plan does not explain, seen from all its roots together.
pub(crate) fn untraced(table: &DoseTable, plan: &Plan, moved: &[(usize, usize)]) -> Vec<Untraced> {
    moved
        .iter()
        .filter(|&&(i, _)| !plan.touches(i) && plan.dependencies.binary_search(&i).is_err())
        .filter_map(|&(component, footprint)| {
            let at = component * table.s + footprint;
            let from = table.sum(&plan.roots, footprint)?;
            let (ratio, cut) = (table.log[at] - from.log, table.low[at] - from.log);
            let density = partial_dose_beyond(ratio, cut, table.noise_sq(at, from));
            Some(Untraced {
                component,
                footprint,
                density,
            })
        })
        .collect()
}

impl Untraced {
    fn at(&self, s: usize) -> usize {
        self.component * s + self.footprint
    }

    /// Affected-over-quiet ratio of the component given the roots' doses.
    pub fn ratio(&self, theta: &Natural, f: usize, s: usize, r: &Ratios) -> f64 {
        let g = theta.untraced_dose;
        let beyond = effect_beyond_large(theta.effect_size[f]).0;
        (1.0 - g) * r.affected[self.at(s)] + g * beyond * self.density * r.jacobian[self.at(s)]
    }

    /// Derivative of `ratio` with respect to the generic ratio, the quiet density and theta, times `d`.
    pub fn backward(
        &self,
        theta: &Natural,
        f: usize,
        s: usize,
        d: f64,
        r: &Ratios,
        into: &mut PairAdjoint<'_>,
    ) {
        let (at, g) = (self.at(s), theta.untraced_dose);
        let (beyond, d_beyond) = effect_beyond_large(theta.effect_size[f]);
        let dose = self.density * r.jacobian[at];
        into.ratios.affected[at] += d * (1.0 - g);
        into.ratios.quiet[at] -= d * g * beyond * dose;
        into.gradient.untraced_dose += d * (beyond * dose - r.affected[at]);
        into.gradient.effect_size[f] += d * g * dose * d_beyond;
    }
}
