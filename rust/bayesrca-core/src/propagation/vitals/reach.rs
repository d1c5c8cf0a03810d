//! Whom a fault can disturb: distances from the roots of a source, towards callers and towards callees (eq. 12).

use std::collections::{HashSet, VecDeque};

use crate::evidence::VitalEvidence;
use crate::graph::Graph;

/// Steps beyond which distance no longer matters.
const FARTHEST: u8 = 2;
/// Number of classes `3 * up + down`; class 0 is out of reach.
pub(super) const N_CLASSES: usize = 9;

/// One component in reach of a source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reached {
    pub component: usize,
    /// `3 * up + down`, each the number of steps, at most 2; 0 where there is no way.
    pub class: usize,
    /// Density of its onset given the root's, over that of an unrelated one; NaN where either is not known.
    pub timely: f64,
}

/// Onsets of the components.
#[derive(Debug, Clone)]
pub(super) struct Onsets {
    time: Vec<f64>,
    error: Vec<f64>,
    window: f64,
}

impl Onsets {
    pub fn new(e: &VitalEvidence) -> Self {
        Self {
            time: e.onset.clone(),
            error: e.onset_error.clone(),
            window: e.window,
        }
    }

    /// Density of the lag between two onsets, log-uniform in its size, over the uniform one (eq. 16).
    fn timely(&self, root: usize, i: usize) -> f64 {
        let (Some(from), Some(to)) = (self.time.get(root), self.time.get(i)) else {
            return f64::NAN;
        };
        let step = self.error[root].hypot(self.error[i]);
        let lag = (to - from).abs();
        0.5 * self.window / ((lag + step) * (self.window / step).ln_1p())
    }
}

/// Steps of a class, `(up, down)`.
pub(super) fn steps(class: usize) -> (i32, i32) {
    (exponent(class / 3), exponent(class % 3))
}

/// A number of steps as the exponent of a probability to pass each.
pub(super) fn exponent(steps: usize) -> i32 {
    i32::try_from(steps).unwrap_or(i32::MAX)
}

/// The two directions in which a disturbance travels.
#[derive(Debug, Clone)]
pub(super) struct Directions {
    up: Graph,
    down: Graph,
    n: usize,
}

impl Directions {
    /// `up`: edges along which latency and errors travel; `down`: those of demand, of which the ones in `up` are left
    /// out.
    pub fn new(n: usize, up: &[(usize, usize)], down: &[(usize, usize)]) -> Self {
        let mut known = up.to_vec();
        known.sort_unstable();
        let only_down: Vec<_> = down
            .iter()
            .filter(|e| known.binary_search(e).is_err())
            .copied()
            .collect();
        Self {
            up: Graph::new(n, up),
            down: Graph::new(n, &only_down),
            n,
        }
    }

    /// Whether anybody sends demand to a component.
    pub fn has_callers(&self, i: usize) -> bool {
        !self.down.parents(i).is_empty()
    }

    /// Components in reach of any of `roots`, the roots left out, ascending.
    ///
    /// The onset of a component in reach of several is weighed against all of theirs, a step counting half.
    pub fn reached(&self, roots: &[usize], onsets: &Onsets) -> Vec<Reached> {
        let mut class = vec![0usize; self.n];
        for (graph, weight) in [(&self.up, 3), (&self.down, 1)] {
            for (i, d) in distances(graph, roots) {
                class[i] += weight * usize::from(d);
            }
        }
        let timely = if onsets.time.is_empty() {
            vec![f64::NAN; self.n]
        } else {
            self.timely(roots, onsets)
        };
        (0..self.n)
            .filter(|i| class[*i] > 0 && !roots.contains(i))
            .map(|component| Reached {
                component,
                class: class[component],
                timely: timely[component],
            })
            .collect()
    }
}

impl Directions {
    fn timely(&self, roots: &[usize], onsets: &Onsets) -> Vec<f64> {
        let (mut sum, mut weight) = (vec![0.0; self.n], vec![0.0; self.n]);
        for &root in roots {
            for graph in [&self.up, &self.down] {
                for (i, d) in distances(graph, &[root]) {
                    let near = 0.5f64.powi(i32::from(d));
                    sum[i] += near * onsets.timely(root, i);
                    weight[i] += near;
                }
            }
        }
        sum.iter().zip(weight).map(|(s, w)| s / w).collect()
    }
}

/// Steps from the nearest root to everything it can reach, at most `FARTHEST`.
fn distances(graph: &Graph, roots: &[usize]) -> Vec<(usize, u8)> {
    let mut known: HashSet<usize> = roots.iter().copied().collect();
    let mut queue: VecDeque<(usize, u8)> = roots.iter().map(|&r| (r, 0)).collect();
    let mut out = Vec::new();
    while let Some((i, d)) = queue.pop_front() {
        for &j in graph.children(i) {
            if known.insert(j) {
                let d = (d + 1).min(FARTHEST);
                out.push((j, d));
                queue.push_back((j, d));
            }
        }
    }
    out
}
