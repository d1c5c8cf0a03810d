//! What is counted apart.

use std::collections::HashMap;
use std::hash::Hash;

/// Ancestors of the same component that tell contexts of an operation apart.
pub const MAX_ANCESTORS: usize = 4;

/// Context of a span within its component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathKey {
    /// The component.
    pub component: i32,
    /// The span's operation, then those of its nearest ancestors while these are of the component; -1 beyond.
    pub operations: [i32; MAX_ANCESTORS + 1],
}

/// Sort of thing that happens within a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum EventKind {
    /// A child of the same component; the id is its operation.
    Operation = 0,
    /// A child of another component, whichever; the id is 0.
    Remote = 1,
    /// A log line; the id is its key.
    Log = 2,
    /// The span failed; the id is 0.
    Failure = 3,
}

/// Something that happens within a span of a path, once or more, or twice or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKey {
    /// Index of the path.
    pub path: u32,
    /// Its sort.
    pub kind: EventKind,
    /// What it is, by sort.
    pub id: i32,
    /// Whether it happened at least twice.
    pub twice: bool,
}

/// Distinct keys in the order in which they were first seen, up to a limit.
#[derive(Debug, Clone)]
pub(super) struct Interner<K> {
    index: HashMap<K, u32>,
    keys: Vec<K>,
    limit: usize,
}

impl<K: Copy + Eq + Hash> Interner<K> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            index: HashMap::new(),
            keys: Vec::new(),
            limit,
        }
    }

    /// Index of the key; `None` when it is new and there is no room for another.
    pub(super) fn intern(&mut self, key: K) -> Option<usize> {
        if let Some(&i) = self.index.get(&key) {
            return Some(i as usize);
        }
        if self.keys.len() >= self.limit {
            return None;
        }
        let i = self.keys.len();
        self.index.insert(key, i as u32);
        self.keys.push(key);
        Some(i)
    }

    pub(super) fn get(&self, key: &K) -> Option<usize> {
        self.index.get(key).map(|&i| i as usize)
    }

    pub(super) fn keys(&self) -> &[K] {
        &self.keys
    }
}
