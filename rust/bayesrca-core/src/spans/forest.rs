//! Who was called within whom.

use super::batch::SpanBatch;

const NONE: u32 = u32::MAX;

/// The spans of a batch as trees.
///
/// A parent that is no other row of the batch is none. A span whose ancestors lead back to itself is a root, so that
/// the trees do not depend on the order of rows.
#[derive(Debug, Clone)]
pub struct Forest {
    parent: Vec<u32>,
    first: Vec<u32>,
    children: Vec<u32>,
    calls_out: Vec<bool>,
}

impl Forest {
    /// Build the trees.
    #[must_use]
    pub fn new(batch: &SpanBatch<'_>) -> Self {
        let parent = acyclic_parents(batch.parent);
        let (first, children) = children_of(&parent, batch.start_ns);
        let n = parent.len();
        let mut calls_out = vec![false; n];
        for s in 0..n {
            let p = parent[s] as usize;
            if p < n && batch.component[p] != batch.component[s] {
                calls_out[p] = true;
            }
        }
        Self {
            parent,
            first,
            children,
            calls_out,
        }
    }

    /// Number of spans.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parent.len()
    }

    /// Whether there is no span.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parent.is_empty()
    }

    /// Span that `span` was made within.
    #[must_use]
    pub fn parent(&self, span: usize) -> Option<usize> {
        Some(self.parent[span])
            .filter(|&p| p != NONE)
            .map(|p| p as usize)
    }

    /// Spans made within `span`, by start, then row.
    #[must_use]
    pub fn children(&self, span: usize) -> &[u32] {
        &self.children[self.first[span] as usize..self.first[span + 1] as usize]
    }

    /// Whether a child of the span belongs to another component.
    #[must_use]
    pub fn calls_out(&self, span: usize) -> bool {
        self.calls_out[span]
    }

    /// The first span of each span's visit: its highest ancestor reached without leaving the component.
    #[must_use]
    pub fn entries(&self, component: &[i32]) -> Vec<u32> {
        let mut entry = vec![NONE; self.len()];
        let mut climbed = Vec::new();
        for start in 0..self.len() {
            let mut s = start;
            let top = loop {
                if entry[s] != NONE {
                    break entry[s];
                }
                climbed.push(s);
                match self.parent(s) {
                    Some(p) if component[p] == component[s] => s = p,
                    _ => break s as u32,
                }
            };
            for s in climbed.drain(..) {
                entry[s] = top;
            }
        }
        entry
    }
}

/// Parents with the links of all spans that lie on a cycle cut.
fn acyclic_parents(rows: &[i64]) -> Vec<u32> {
    let n = rows.len();
    let mut parent: Vec<u32> = rows
        .iter()
        .enumerate()
        .map(|(s, &p)| match usize::try_from(p) {
            Ok(p) if p < n && p != s => p as u32,
            _ => NONE,
        })
        .collect();
    let mut walk = vec![NONE; n]; // which walk upwards came by first
    for start in 0..n {
        let mut s = start as u32;
        while s != NONE && walk[s as usize] == NONE {
            walk[s as usize] = start as u32;
            s = parent[s as usize];
        }
        if s != NONE && walk[s as usize] == start as u32 {
            // The walk met itself: everything from here round to here again is a cycle.
            while s != NONE {
                let next = parent[s as usize];
                parent[s as usize] = NONE;
                s = next;
            }
        }
    }
    parent
}

/// Children of each span by start: a counting sort by parent, then each family by itself.
fn children_of(parent: &[u32], start_ns: &[i64]) -> (Vec<u32>, Vec<u32>) {
    let n = parent.len();
    let mut first = vec![0_u32; n + 1];
    for &p in parent.iter().filter(|&&p| p != NONE) {
        first[p as usize + 1] += 1;
    }
    for s in 0..n {
        first[s + 1] += first[s];
    }
    let mut next = first.clone();
    let mut children = vec![0_u32; first[n] as usize];
    for (s, &p) in parent.iter().enumerate() {
        if p != NONE {
            children[next[p as usize] as usize] = s as u32;
            next[p as usize] += 1;
        }
    }
    for s in 0..n {
        children[first[s] as usize..first[s + 1] as usize]
            .sort_unstable_by_key(|&c| (start_ns[c as usize], c));
    }
    (first, children)
}
