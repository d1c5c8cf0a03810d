//! Spans and the log lines within them, reduced to counts and moments.
//!
//! A [`Reduction`] takes batches of whole traces, one after the other, and keeps of them only sums: how often an
//! operation ran in which local context, what happened within it, how long it took by itself, how long its calls spent
//! outside caller and callee. Its memory grows with the number of distinct contexts, never with that of spans; its
//! time is that of sorting siblings. Any parents are legal: what lies on a cycle counts as a root.

mod batch;
mod forest;
mod instance;
mod keys;
mod order;
mod reduction;
mod self_time;

pub use batch::SpanBatch;
pub use forest::Forest;
pub use keys::{EventKey, EventKind, MAX_ANCESTORS, PathKey};
pub use order::{EdgeOrder, OrderCounts};
pub use reduction::{Moments, Reduction, TerminalKey};
pub use self_time::{MAX_SIBLINGS, self_times};
