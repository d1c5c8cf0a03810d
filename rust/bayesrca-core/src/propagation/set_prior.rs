//! The prior over all sets of several causes, considered or not (eq. 15).

use super::hypotheses::{kind_prior, kind_prior_backward, mode_prior_backward};
use super::likelihood::{Likelihood, NEGLIGIBLE, Workspace};
use super::sets::{MAX_CAUSES, SET_KINDS};
use crate::params::{ERRORS, LATENCY, N_KINDS, Natural};

impl Likelihood {
    /// Prior mass of a component in sets, and the part of it that leaves the alarm unexplained.
    fn set_masses(&self, theta: &Natural, w: &Workspace) -> (Vec<f64>, Vec<f64>) {
        let mass = |i: usize, unexplained: bool| -> f64 {
            SET_KINDS
                .into_iter()
                .map(|kind| {
                    let weight = kind_prior(theta, kind) * self.prior_weight[i * N_KINDS + kind];
                    if unexplained {
                        weight * w.modes[self.ways[i * N_KINDS + kind]].unexplained()
                    } else {
                        weight
                    }
                })
                .sum()
        };
        let all = (0..self.n).map(|i| mass(i, false)).collect();
        (all, (0..self.n).map(|i| mass(i, true)).collect())
    }

    /// Sum of the unnormalised prior weights of all sets of each size, considered or not.
    pub(super) fn set_totals(&self, theta: &Natural, w: &Workspace) -> [f64; MAX_CAUSES] {
        let (all, unexplained) = self.set_masses(theta, w);
        let (a, u) = (elementary(&all), elementary(&unexplained));
        std::array::from_fn(|m| a[m + 1] - (1.0 - theta.unexplained_alarm) * u[m + 1])
    }

    /// Gradient of `-sum_m share_m ln total_m`.
    pub(super) fn sets_prior_backward(
        &self,
        theta: &Natural,
        share: &[f64; MAX_CAUSES],
        w: &Workspace,
        gradient: &mut Natural,
    ) {
        let (all, unexplained) = self.set_masses(theta, w);
        let (a, u) = (elementary(&all), elementary(&unexplained));
        for m in 2..=MAX_CAUSES {
            if share[m - 1] <= NEGLIGIBLE {
                continue;
            }
            let g = -share[m - 1] / (a[m] - (1.0 - theta.unexplained_alarm) * u[m]);
            gradient.unexplained_alarm += g * u[m];
            let rest = -(1.0 - theta.unexplained_alarm) * g;
            for i in 0..self.n {
                let d_all = g * others(&a, all[i], m - 1);
                let d_unexplained = rest * others(&u, unexplained[i], m - 1);
                self.mass_backward(theta, i, (d_all, d_unexplained), w, gradient);
            }
        }
    }

    fn mass_backward(
        &self,
        theta: &Natural,
        i: usize,
        (d, d_unexplained): (f64, f64),
        w: &Workspace,
        gradient: &mut Natural,
    ) {
        for kind in SET_KINDS {
            let modes = &w.modes[self.ways[i * N_KINDS + kind]];
            let weight = kind_prior(theta, kind) * self.prior_weight[i * N_KINDS + kind];
            let by_kind = weight * (d + d_unexplained * modes.unexplained());
            kind_prior_backward(theta, kind, by_kind, gradient);
            if kind == LATENCY || kind == ERRORS {
                let d_prior = modes.unexplained_adjoint(d_unexplained * weight);
                mode_prior_backward(kind, &d_prior, gradient);
            }
        }
    }
}

/// Elementary symmetric polynomials of degree 0 to `MAX_CAUSES`.
fn elementary(x: &[f64]) -> [f64; MAX_CAUSES + 1] {
    let mut e = [0.0; MAX_CAUSES + 1];
    e[0] = 1.0;
    for &v in x {
        for m in (1..=MAX_CAUSES).rev() {
            e[m] += e[m - 1] * v;
        }
    }
    e
}

/// Elementary symmetric polynomial of a degree over all values but one, `x`.
fn others(e: &[f64; MAX_CAUSES + 1], x: f64, degree: usize) -> f64 {
    (1..=degree).fold(1.0, |lower, m| e[m] - x * lower)
}
