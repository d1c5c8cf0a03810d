//! How far sums past the width limit may be off, hypothesis by hypothesis.

use super::hypotheses::ByMode;
use super::likelihood::{Likelihood, Workspace};
use super::spread::Spread;
use crate::params::{N_FAMILIES, N_KINDS, N_PARAMETERS, Natural};

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
                let touched = self.sources_of(h);
                if h < singles {
                    self.single_backward(h, 1.0, w, &mut ByMode::default());
                } else {
                    self.set_backward(&theta, h - singles, 1.0, w, &mut unused);
                }
                self.take_error(&touched, w)
            })
            .collect();
        out.push(0.0);
        out
    }

    /// Sources of each family that a hypothesis reads.
    fn sources_of(&self, h: usize) -> [Vec<usize>; N_FAMILIES] {
        let singles = N_KINDS * self.n;
        if h < singles {
            return self
                .single_sources(h / N_KINDS, h % N_KINDS)
                .map(|i| vec![i]);
        }
        let masks = 1..1usize << self.sets()[h - singles].len();
        [0, 1].map(|f| {
            masks
                .clone()
                .map(|mask| self.source(f, h - singles, mask))
                .collect()
        })
    }

    /// The error from the shares that stand in the adjoints of these sources, which are cleared.
    fn take_error(&self, touched: &[Vec<usize>; N_FAMILIES], w: &mut Workspace) -> f64 {
        let mut squares = 0.0;
        for (f, sources) in touched.iter().enumerate() {
            let mut error = 0.0;
            for &source in sources {
                let shares = &mut w.gain_adjoint[f][source * self.s..(source + 1) * self.s];
                let each = self.families[f].log_std_err(source, &w.families[f]);
                error += each.iter().zip(&*shares).map(|(e, g)| e * g).sum::<f64>();
                shares.fill(0.0);
            }
            squares += error.powi(2);
        }
        squares.sqrt()
    }
}
