//! Shapley values of cooperative games (Shapley 1953): exact where possible, Monte Carlo with honest errors elsewhere.
//!
//! A [`Game`](crate::game::Game) says what a coalition is worth and how the value changes as players join;
//! [`compute_shapley`] gives exact values, [`estimate_shapley`] values with a standard error each. The same seed gives
//! the same bits for any number of threads: every sampling unit has its own random stream and blocks of units are
//! added in index order. Work runs on the current `rayon` pool.
//!
//! ```
//! use bayesrca_core::shapley::games::{CallTreeGame, Span};
//! use bayesrca_core::shapley::{Options, Rule, estimate_shapley, unwatched};
//!
//! // The root calls two others in parallel; both got slower, and either alone would make the request as slow.
//! let span = |parent, observed| Span { parent, stage: 0, baseline: 1.0, observed };
//! let game = CallTreeGame::new(&[span(None, 1.0), span(Some(0), 5.0), span(Some(0), 5.0)])?;
//! let estimate = estimate_shapley(&game, &Options::new(7), &mut unwatched)?;
//! // So few coalitions are enumerated: the values are exact.
//! assert_eq!((estimate.rule, estimate.exact), (Rule::Enumeration, true));
//! assert_eq!(estimate.values, [0.0, 2.0, 2.0]);
//! # Ok::<(), bayesrca_core::Error>(())
//! ```

mod choose;
#[cfg(test)]
mod coverage;
mod estimate;
mod exact;
pub mod games;
mod interval;
mod leverage;
mod orders;
mod permutations;
mod units;

pub use choose::estimate_shapley;
pub use estimate::{
    Control, Estimate, Guarantee, Method, Monitor, Options, Progress, Rule, Tolerance,
};
pub use exact::{MAX_EXACT, compute_interactions, compute_shapley, shapley_of_table};
pub use interval::{sequence_half_width, sequence_rho};
pub use leverage::{MAX_LEVERAGE_BUDGET, MAX_LEVERAGE_PLAYERS};
pub use permutations::MAX_SOBOL_PLAYERS;

/// A monitor that never stops the computation.
#[must_use]
pub fn unwatched(_: &Progress) -> Control {
    Control::Continue
}
