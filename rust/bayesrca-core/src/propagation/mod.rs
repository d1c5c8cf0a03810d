//! Likelihood of root causes over the propagation graph.

mod affected;
mod alarm;
mod alerts;
mod cells;
mod choose;
mod density;
mod doses;
mod hypotheses;
mod joints;
mod knot;
mod likelihood;
mod order;
mod plan;
mod range;
mod set_prior;
mod sets;
mod source;
mod spread;
mod sums;
mod traces;
mod untraced;
mod vitals;
mod weights;

pub use likelihood::{Likelihood, Workspace};
pub use plan::MAX_BLOCK;
pub use sets::{MAX_CAUSES, SIZES};
pub use spread::PathProbabilities;
