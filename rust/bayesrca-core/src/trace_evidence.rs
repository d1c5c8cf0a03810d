//! What spans and logs say, as log Bayes factors of components and of call edges.

use std::collections::HashSet;

use crate::error::{Error, Result};

/// Largest log Bayes factor.
const LARGEST: f64 = 60.0;

/// Log Bayes factors "affected by a fault" against "quiet"; NaN where there is nothing to tell.
#[derive(Debug, Clone, Default)]
pub struct TraceEvidence {
    /// Of child calls and log lines within a component's own span paths, length `n`.
    pub own_pattern: Vec<f64>,
    /// Of the time that a component's operations spend in themselves, length `n`.
    pub own_self_time: Vec<f64>,
    /// Calls that were seen: caller and callee, each pair once.
    pub edges: Vec<(usize, usize)>,
    /// Of client time less server time, by edge.
    pub gap: Vec<f64>,
    /// Of the call being the last thing that its caller does, by edge.
    pub terminal: Vec<f64>,
    /// Of the caller's changes following a failed call to this callee, by edge.
    pub order: Vec<f64>,
}

impl TraceEvidence {
    pub(crate) fn validate(&self, n: usize) -> Result<()> {
        let e = self.edges.len();
        for (name, values, length) in [
            ("traces.own_pattern", &self.own_pattern, n),
            ("traces.own_self_time", &self.own_self_time, n),
            ("traces.gap", &self.gap, e),
            ("traces.terminal", &self.terminal, e),
            ("traces.order", &self.order, e),
        ] {
            if values.len() != length || values.iter().any(|x| x.abs() > LARGEST) {
                return Err(Error::evidence(
                    name,
                    format!("needs {length} entries, each NaN or at most {LARGEST} in size"),
                ));
            }
        }
        let mut seen = HashSet::new();
        let good = |&(a, b): &(usize, usize)| a < n && b < n && a != b && seen.insert((a, b));
        if self.edges.iter().all(good) {
            Ok(())
        } else {
            Err(Error::evidence(
                "traces.edges",
                "names a component that does not exist, joins one to itself, or holds a pair twice",
            ))
        }
    }
}
