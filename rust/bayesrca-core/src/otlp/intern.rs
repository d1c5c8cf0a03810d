//! Texts that occur often, kept once.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Distinct texts; a text's number is its place. Number 0 is the empty text.
#[derive(Debug, Clone, PartialEq)]
pub struct Strings {
    text: String,
    ends: Vec<usize>,
}

impl Strings {
    /// The text with a number.
    #[must_use]
    pub fn get(&self, id: u32) -> &str {
        let i = id as usize;
        let begin = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.text[begin..self.ends[i]]
    }

    /// How many there are, at least 1.
    #[must_use]
    #[allow(
        clippy::len_without_is_empty,
        reason = "the empty text is always there"
    )]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).map(|i| self.get(i as u32))
    }

    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    pub(super) fn n_bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

/// Numbers texts in the order in which they come.
///
/// The hash is seeded anew for every request, so nobody can send texts that collide on purpose.
pub(super) struct Interner {
    pub(super) strings: Strings,
    table: HashTable<u32>,
    seed: RandomState,
}

impl Interner {
    pub(super) fn new() -> Self {
        Self {
            strings: Strings {
                text: String::new(),
                ends: vec![0],
            },
            table: HashTable::new(),
            seed: RandomState::default(),
        }
    }

    /// The number of a text.
    pub(super) fn intern(&mut self, text: &str) -> u32 {
        self.find(text.as_bytes()).unwrap_or_else(|| self.add(text))
    }

    /// The number of a text that may not be UTF-8, and whether it is: what is not becomes U+FFFD.
    #[inline]
    pub(super) fn intern_bytes(&mut self, bytes: &[u8]) -> (u32, bool) {
        if let Some(id) = self.find(bytes) {
            return (id, true);
        }
        match str::from_utf8(bytes) {
            Ok(text) => (self.add(text), true),
            Err(_) => (self.intern(&String::from_utf8_lossy(bytes)), false),
        }
    }

    #[inline]
    fn find(&self, bytes: &[u8]) -> Option<u32> {
        if bytes.is_empty() {
            return Some(0);
        }
        self.table
            .find(hash(self.seed, bytes), |&id| {
                self.strings.get(id).as_bytes() == bytes
            })
            .copied()
    }

    fn add(&mut self, text: &str) -> u32 {
        let id = self.strings.ends.len() as u32;
        self.strings.text.push_str(text);
        self.strings.ends.push(self.strings.text.len());
        let (strings, seed) = (&self.strings, self.seed);
        self.table
            .insert_unique(hash(seed, text.as_bytes()), id, |&other| {
                hash(seed, strings.get(other).as_bytes())
            });
        id
    }
}

/// The hash of some bytes.
#[inline]
pub(super) fn hash(seed: RandomState, bytes: &[u8]) -> u64 {
    let mut hasher = seed.build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_one_number() {
        let mut interner = Interner::new();
        let ids: Vec<u32> = ["a", "", "b", "a", ""].map(|t| interner.intern(t)).into();
        assert_eq!(ids, [1, 0, 2, 1, 0]);
        assert_eq!(interner.strings.iter().collect::<Vec<_>>(), ["", "a", "b"]);
    }

    #[test]
    fn what_is_not_utf8_is_kept_as_far_as_it_can_be() {
        let mut interner = Interner::new();
        assert_eq!(interner.intern_bytes(b"a\xffb"), (1, false));
        assert_eq!(interner.intern_bytes(b"a\xffb"), (1, false)); // told every time
        assert_eq!(interner.intern_bytes("a\u{fffd}b".as_bytes()), (1, true));
        assert_eq!(interner.strings.get(1), "a\u{fffd}b");
    }
}
