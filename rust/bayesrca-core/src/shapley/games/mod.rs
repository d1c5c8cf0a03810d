//! The games root-cause analysis plays.

mod batch;
mod call_tree;
mod dag;
mod excess_flow;
mod fixed_point;
mod gaussian_tail;
mod interaction;
mod live_edge;
mod log_tail;
mod noisy_or;
mod nonlinear_tail;
mod quadrature;
#[cfg(test)]
mod same_bits;
mod sampled_tail;
mod tail;
mod tail_surrogate;

pub use batch::{BatchGame, Evaluator};
pub use call_tree::{CallTreeGame, Span};
pub use excess_flow::{ExcessFlowGame, FlowShares, flow_weights};
pub use gaussian_tail::GaussianTailGame;
pub use interaction::InteractionGame;
pub use live_edge::LiveEdgeGame;
pub use noisy_or::NoisyOrGame;
pub use nonlinear_tail::NonlinearTailGame;
pub use sampled_tail::SampledTailGame;
pub use tail::{TAIL_MARGIN, Tail};
