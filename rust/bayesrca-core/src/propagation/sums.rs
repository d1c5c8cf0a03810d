//! How far sums past the width limit may be off, hypothesis by hypothesis.

use super::likelihood::{Likelihood, Workspace};
use super::spread::Spread;
use crate::params::{N_KINDS, N_PARAMETERS, Natural};

impl Likelihood {
    /// Number of sums over affected sets that are estimated, both families together; 0 for an exact likelihood.
    #[must_use]
    pub fn n_estimated(&self) -> usize {
        let of = |f: &Spread| (0..f.n_sources()).filter(|&i| f.is_estimated(i)).count();
        self.families.iter().map(of).sum()
    }

    /// Standard error of the log joint of every hypothesis at theta; 0 where all its sums are exact.
    ///
    /// To first order in the errors of the sums (delta method), each weighed by its share of the joint. Sums of one
    /// family count as fully correlated, which can only overstate; families have draws of their own.
    pub fn sum_errors(&self, theta: &[f64; N_PARAMETERS], w: &mut Workspace) -> Vec<f64> {
        let theta = Natural::from_unconstrained(theta);
        let hypotheses = self.n_hypotheses();
        if self.n_estimated() == 0 {
            return vec![0.0; hypotheses];
        }
        self.forward(&theta, w);
        let (singles, mut unused) = (N_KINDS * self.n, Natural::default());
        self.reset_adjoints(w);
        let mut out: Vec<f64> = (0..hypotheses - 1)
            .map(|h| {
                if w.joint[h] == f64::NEG_INFINITY {
                    return 0.0;
                }
                for g in &mut w.gain_adjoint {
                    g.fill(0.0);
                }
                if h < singles {
                    self.single_backward(&theta, h, w.joint[h], w, &mut unused);
                } else {
                    self.set_backward(&theta, h - singles, w.joint[h], w, &mut unused);
                }
                self.error_of_shares(w)
            })
            .collect();
        out.push(0.0);
        out
    }

    fn error_of_shares(&self, w: &Workspace) -> f64 {
        let families = self.families.iter().zip(&w.families).zip(&w.gain_adjoint);
        families
            .map(|((family, x), share)| {
                let rows = share.chunks_exact(self.s).enumerate();
                let error = |(i, row): (usize, &[f64])| -> f64 {
                    let each = family.log_std_err(i, x).iter().zip(row);
                    each.map(|(error, share)| error * share).sum()
                };
                rows.map(error).sum::<f64>().powi(2)
            })
            .sum::<f64>()
            .sqrt()
    }
}
