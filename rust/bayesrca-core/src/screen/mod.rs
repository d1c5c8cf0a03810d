//! The fast posterior: importance sampling around the mode of theta's posterior, with an honest error.
//!
//! 1. Find the mode of the root-marginalised posterior of theta by BFGS, in units of the prior (`mode`).
//! 2. Draw from a defensive mixture: nine tenths a multivariate t with 20 degrees of freedom at the mode with the
//!    inverse Hessian as scale, one tenth the prior, so that no weight exceeds ten times the likelihood ratio
//!    (Hesterberg 1995; Owen & Zhou 2000).
//! 3. Points are scrambled Sobol sequences (Owen 1995); independent scrambles give the error.
//! 4. The Pareto shape of the weights says whether to believe the answer (Vehtari, Simpson, Gelman, Yao & Gabry 2024).

mod mode;
mod pareto;

use statrs::function::erf::erfc_inv;

pub use mode::{Mode, find_mode};
pub use pareto::pareto_k;

use crate::error::{Error, Result};
use crate::params::N_PARAMETERS;
use crate::propagation::{Likelihood, Workspace};
use crate::rng::{STEP, mix};

/// Degrees of freedom of the proposal. In so many dimensions a heavier tail spends most draws outside the shell that holds
/// the posterior; what lies beyond is the prior's part of the mixture.
const DEGREES: usize = 20;
/// Longest sequence of the Sobol generator.
pub const MAX_POINTS: usize = 1 << 16;

/// Independent normal priors of the unconstrained theta.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// Means.
    pub mean: [f64; N_PARAMETERS],
    /// Standard deviations, all positive.
    pub sd: [f64; N_PARAMETERS],
}

impl Prior {
    /// Theta at whitened coordinates.
    #[must_use]
    pub fn theta(&self, v: &[f64; N_PARAMETERS]) -> [f64; N_PARAMETERS] {
        std::array::from_fn(|i| self.mean[i] + self.sd[i] * v[i])
    }
}

/// Size and seed of a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Independent scrambles; their spread is the error (at least 2).
    pub scrambles: usize,
    /// Points per scramble (at least 2, at most `MAX_POINTS`).
    pub points: usize,
    /// Seed of the scrambles.
    pub seed: u64,
}

/// Weighted draws of theta with the root posterior at each.
#[derive(Debug, Clone)]
pub struct Screen {
    /// Draws, scramble by scramble.
    pub thetas: Vec<[f64; N_PARAMETERS]>,
    /// Log importance weight of each draw: log posterior (unnormalised) minus log proposal.
    pub log_weights: Vec<f64>,
    /// Log posterior probability of each hypothesis at each draw, row-major.
    pub log_root: Vec<f64>,
    /// Log likelihood of each draw.
    pub log_likelihood: Vec<f64>,
    /// The mode the proposal is centred on.
    pub mode: Mode,
    /// Pareto shape of the importance weights.
    pub pareto_k: f64,
}

/// Explore theta's posterior.
///
/// The same seed gives the same bits for any number of threads.
///
/// # Errors
/// `InvalidEvidence` for sizes out of range or a prior without spread; `Cancelled` when `cancelled` returned true;
/// `Numerical` when the posterior is not finite anywhere on the way to the mode.
pub fn screen(
    likelihood: &Likelihood,
    prior: &Prior,
    options: Options,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Screen> {
    if options.scrambles < 2 || !(2..=MAX_POINTS).contains(&options.points) {
        return Err(Error::evidence(
            "screen",
            format!("needs at least 2 scrambles and 2 to {MAX_POINTS} points"),
        ));
    }
    if prior.sd.iter().any(|s| !(s.is_finite() && *s > 0.0))
        || prior.mean.iter().any(|m| !m.is_finite())
    {
        return Err(Error::evidence(
            "prior",
            "means must be finite and standard deviations positive",
        ));
    }
    let mode = find_mode(likelihood, prior, &mut Workspace::default(), cancelled)?;
    let proposal = Proposal::new(&mode, options.points);
    let mut whitened: Vec<[f64; N_PARAMETERS]> = Vec::new();
    for b in 0..options.scrambles {
        if cancelled() {
            return Err(Error::Cancelled);
        }
        whitened.extend(proposal.draw(scramble_seed(options.seed, b), options.points));
    }
    let thetas: Vec<_> = whitened.iter().map(|v| prior.theta(v)).collect();
    let (log_root, log_likelihood) = likelihood.root_log_posteriors(&thetas, cancelled)?;
    if log_likelihood.iter().any(|l| l.is_nan()) {
        return Err(Error::Numerical(
            "the likelihood is not a number at some parameters; this is a bug, please report the incident".into(),
        ));
    }
    let log_weights: Vec<f64> = whitened
        .iter()
        .zip(&log_likelihood)
        .map(|(v, l)| l + log_standard_normal(v) - proposal.log_density(v))
        .collect();
    let pareto_k = pareto_k(&log_weights);
    Ok(Screen {
        thetas,
        log_weights,
        log_root,
        log_likelihood,
        mode,
        pareto_k,
    })
}

/// The defensive mixture in whitened coordinates, where the prior is standard normal.
struct Proposal<'a> {
    mode: &'a Mode,
    from_prior: usize,
    share: f64,
}

impl<'a> Proposal<'a> {
    fn new(mode: &'a Mode, points: usize) -> Self {
        let from_prior = (points / 10).max(1);
        Self {
            mode,
            from_prior,
            share: from_prior as f64 / points as f64,
        }
    }

    fn draw(&self, seed: u32, points: usize) -> Vec<[f64; N_PARAMETERS]> {
        (0..points)
            .map(|i| {
                let (index, seed) = if i < self.from_prior {
                    (i, !seed)
                } else {
                    (i - self.from_prior, seed)
                };
                let normal = |dimension: usize| standard_normal(index, dimension, seed);
                let z: [f64; N_PARAMETERS] = std::array::from_fn(normal);
                if i < self.from_prior {
                    return z;
                }
                let chi_square: f64 = (0..DEGREES).map(|d| normal(N_PARAMETERS + d).powi(2)).sum();
                let stretch = (DEGREES as f64 / chi_square).sqrt();
                let step = self.mode.scale_times(&z);
                std::array::from_fn(|j| self.mode.whitened[j] + stretch * step[j])
            })
            .collect()
    }

    fn log_density(&self, v: &[f64; N_PARAMETERS]) -> f64 {
        let (p, nu) = (N_PARAMETERS as f64, DEGREES as f64);
        let log_t = ln_gamma_ratio(DEGREES, N_PARAMETERS)
            - 0.5 * p * (nu * std::f64::consts::PI).ln()
            - self.mode.log_det_scale
            - 0.5 * (nu + p) * (1.0 + self.mode.squared_distance(v) / nu).ln();
        let (a, b) = (
            (1.0 - self.share).ln() + log_t,
            self.share.ln() + log_standard_normal(v),
        );
        a.max(b) + (-(a - b).abs()).exp().ln_1p()
    }
}

/// `ln Gamma((nu + p) / 2) - ln Gamma(nu / 2)`.
fn ln_gamma_ratio(nu: usize, p: usize) -> f64 {
    use statrs::function::gamma::ln_gamma;
    ln_gamma((nu + p) as f64 / 2.0) - ln_gamma(nu as f64 / 2.0)
}

fn log_standard_normal(v: &[f64; N_PARAMETERS]) -> f64 {
    let squares: f64 = v.iter().map(|x| x * x).sum();
    -0.5 * (squares + N_PARAMETERS as f64 * (2.0 * std::f64::consts::PI).ln())
}

/// One coordinate of a scrambled Sobol point, mapped to the normal distribution.
fn standard_normal(index: usize, dimension: usize, seed: u32) -> f64 {
    let index = u32::try_from(index).expect("at most 2^16 points");
    let dimension = u32::try_from(dimension).expect("at most 2^8 dimensions");
    // The generator's 24 bits lie on a grid from 0; half a step keeps them inside (0, 1).
    let u = f64::from(sobol_burley::sample(index, dimension, seed)) + f64::from(2.0f32.powi(-25));
    -std::f64::consts::SQRT_2 * erfc_inv(2.0 * u)
}

/// Independent 32-bit seeds from one 64-bit seed (`SplitMix64`, Steele, Lea & Flood 2014).
fn scramble_seed(seed: u64, scramble: usize) -> u32 {
    let x = mix(seed.wrapping_add((scramble as u64 + 1).wrapping_mul(STEP)));
    u32::try_from(x >> 32).expect("32 bits remain")
}
