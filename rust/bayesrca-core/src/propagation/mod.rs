//! Likelihood of root causes over the propagation graph.

mod affected;
mod alarm;
mod cells;
mod density;
mod doses;
mod hypotheses;
mod knot;
mod likelihood;
mod order;
mod plan;
mod range;
mod source;
mod spread;
mod untraced;
mod vitals;

pub use likelihood::{Likelihood, Workspace};
pub use plan::MAX_BLOCK;
