//! The mode of theta's posterior and its curvature.

use nalgebra::{DMatrix, DVector};

use super::Prior;
use crate::error::{Error, Result};
use crate::params::N_PARAMETERS;
use crate::propagation::{Likelihood, Workspace};

const MAX_STEPS: usize = 60;
const GRADIENT_TOLERANCE: f64 = 1e-4;
/// Smallest posterior precision, relative to the prior's: flatter directions are proposed at twice the prior's width.
const MIN_PRECISION: f64 = 0.25;

/// A posterior mode in whitened coordinates (prior mean 0, prior standard deviation 1).
#[derive(Debug, Clone)]
pub struct Mode {
    /// Position.
    pub whitened: [f64; N_PARAMETERS],
    /// Log determinant of the scale matrix below.
    pub log_det_scale: f64,
    /// Square root of the inverse Hessian, row-major.
    scale: DMatrix<f64>,
    /// Square root of the Hessian.
    precision_root: DMatrix<f64>,
}

impl Mode {
    /// The scale matrix times `z`.
    pub(super) fn scale_times(&self, z: &[f64; N_PARAMETERS]) -> [f64; N_PARAMETERS] {
        let out = &self.scale * DVector::from_column_slice(z);
        std::array::from_fn(|i| out[i])
    }

    /// Squared Mahalanobis distance from the mode.
    pub(super) fn squared_distance(&self, v: &[f64; N_PARAMETERS]) -> f64 {
        let d = DVector::from_fn(N_PARAMETERS, |i, _| v[i] - self.whitened[i]);
        (&self.precision_root * d).norm_squared()
    }
}

/// Log posterior of theta and its gradient, in whitened coordinates.
struct Posterior<'a> {
    likelihood: &'a Likelihood,
    prior: &'a Prior,
}

impl Posterior<'_> {
    fn eval(&self, v: &DVector<f64>, w: &mut Workspace) -> (f64, DVector<f64>) {
        let at: [f64; N_PARAMETERS] = std::array::from_fn(|i| v[i]);
        let (logp, g) = self.likelihood.logp_grad(&self.prior.theta(&at), w);
        let gradient = DVector::from_fn(N_PARAMETERS, |i, _| g[i] * self.prior.sd[i] - v[i]);
        (logp - 0.5 * v.norm_squared(), gradient)
    }
}

/// Climb to the posterior mode from the prior's centre by BFGS (Nocedal & Wright 2006, chapter 6), then take the
/// Hessian by central differences of the gradient.
///
/// # Errors
/// `Numerical` when the posterior is not finite at the prior's centre; `Cancelled`.
pub fn find_mode(
    likelihood: &Likelihood,
    prior: &Prior,
    w: &mut Workspace,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Mode> {
    let posterior = Posterior { likelihood, prior };
    let mut v = DVector::zeros(N_PARAMETERS);
    let (mut value, mut gradient) = posterior.eval(&v, w);
    if !value.is_finite() {
        return Err(Error::Numerical(
            "the posterior is not finite at the prior's centre".into(),
        ));
    }
    let mut inverse = DMatrix::<f64>::identity(N_PARAMETERS, N_PARAMETERS);
    for _ in 0..MAX_STEPS {
        if cancelled() {
            return Err(Error::Cancelled);
        }
        if gradient.amax() < GRADIENT_TOLERANCE {
            break;
        }
        let direction = &inverse * &gradient;
        let slope = direction.dot(&gradient);
        let mut step = 1.0;
        let moved = loop {
            let next = &v + step * &direction;
            let (next_value, next_gradient) = posterior.eval(&next, w);
            if next_value.is_finite() && next_value >= value + 1e-4 * step * slope {
                break Some((next, next_value, next_gradient));
            }
            step *= 0.5;
            if step < 1e-6 {
                break None;
            }
        };
        let Some((next, next_value, next_gradient)) = moved else {
            break;
        };
        update_inverse(&mut inverse, &(&next - &v), &(&gradient - &next_gradient));
        (v, value, gradient) = (next, next_value, next_gradient);
    }
    Ok(with_curvature(&posterior, &v, w))
}

/// The BFGS update of the inverse Hessian of the negative log posterior; skipped where the curvature is not positive.
fn update_inverse(inverse: &mut DMatrix<f64>, s: &DVector<f64>, y: &DVector<f64>) {
    let sy = s.dot(y);
    if sy < 1e-10 * s.norm() * y.norm() {
        return;
    }
    let hy = &*inverse * y;
    let factor = (1.0 + y.dot(&hy) / sy) / sy;
    *inverse += factor * s * s.transpose() - (&hy * s.transpose() + s * hy.transpose()) / sy;
}

fn with_curvature(posterior: &Posterior<'_>, v: &DVector<f64>, w: &mut Workspace) -> Mode {
    let h = 1e-3;
    let mut hessian = DMatrix::zeros(N_PARAMETERS, N_PARAMETERS);
    for i in 0..N_PARAMETERS {
        let mut at = v.clone();
        at[i] = v[i] + h;
        let up = posterior.eval(&at, w).1;
        at[i] = v[i] - h;
        let down = posterior.eval(&at, w).1;
        hessian.set_column(i, &((down - up) / (2.0 * h)));
    }
    let symmetric = (&hessian + hessian.transpose()) * 0.5;
    let eigen = symmetric.symmetric_eigen();
    let values = eigen.eigenvalues.map(|e| {
        if e.is_finite() {
            e.max(MIN_PRECISION)
        } else {
            1.0
        }
    });
    let root = |power: f64| {
        let d = DMatrix::from_diagonal(&values.map(|e| e.powf(power)));
        &eigen.eigenvectors * d * eigen.eigenvectors.transpose()
    };
    Mode {
        whitened: std::array::from_fn(|i| v[i]),
        log_det_scale: -0.5 * values.iter().map(|e| e.ln()).sum::<f64>(),
        scale: root(-0.5),
        precision_root: root(0.5),
    }
}
