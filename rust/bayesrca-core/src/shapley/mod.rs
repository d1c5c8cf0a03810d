//! Shapley values of cooperative games (Shapley 1953): exact where possible, Monte Carlo with honest errors elsewhere.
//!
//! A [`Game`](crate::game::Game) says what a coalition is worth and how the value changes as players join;
//! [`compute_shapley`] gives exact values, [`estimate_shapley`] values with a standard error each. The same seed gives
//! the same bits for any number of threads: every sampling unit has its own random stream and blocks of units are
//! added in index order. Work runs on the current `rayon` pool.

mod estimate;
mod exact;
pub mod games;
mod interval;
mod orders;
mod permutations;
mod units;

pub use estimate::{Control, Estimate, Method, Monitor, Options, Progress, Rule, Tolerance};
pub use exact::{MAX_EXACT, compute_interactions, compute_shapley, shapley_of_table};
pub use interval::{sequence_half_width, sequence_rho};
pub use permutations::{MAX_SOBOL_PLAYERS, estimate_shapley};

/// A monitor that never stops the computation.
#[must_use]
pub fn unwatched(_: &Progress) -> Control {
    Control::Continue
}
