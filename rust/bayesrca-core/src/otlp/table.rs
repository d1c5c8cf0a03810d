//! What spans, points and log records have in common.

use super::intern::Strings;
use super::value::Value;

/// A list of numbers for each row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lists {
    /// Where each row's list ends; it begins where the one before ends.
    pub ends: Vec<u32>,
    /// The lists, one after the other.
    pub items: Vec<u32>,
}

impl Lists {
    /// The list of a row.
    #[must_use]
    pub fn get(&self, row: usize) -> &[u32] {
        let begin = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.items[begin as usize..self.ends[row] as usize]
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// End a row: its list is what was pushed since the last one.
    pub(super) fn close(&mut self) {
        self.ends.push(self.items.len() as u32);
    }

    /// Drop rows from one on, and what belongs to a row that has not been closed.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        let end = self.ends.last().map_or(0, |&end| end as usize);
        self.items.truncate(end);
    }

    pub(super) fn shrink(&mut self) {
        self.ends.shrink_to_fit();
        self.items.shrink_to_fit();
    }

    pub(super) fn n_bytes(&self) -> usize {
        4 * (self.ends.capacity() + self.items.capacity())
    }
}

/// The texts and attributes that a table's records refer to by number.
#[derive(Debug, Clone, PartialEq)]
pub struct Dictionary {
    /// Every text.
    pub strings: Strings,
    /// Every distinct attribute: its key's number and its value.
    pub attributes: Vec<(u32, Value)>,
    /// Attributes of each distinct resource, in the order in which they were sent.
    pub resources: Lists,
    /// Attributes of each distinct instrumentation scope, `otel.scope.name` and `otel.scope.version` first.
    pub scopes: Lists,
}

/// What became of a request's records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records left out, by why.
    pub rejected: Vec<(&'static str, u64)>,
    /// Texts that were not UTF-8.
    pub invalid_texts: u64,
}

impl Tally {
    /// Count a record that is left out.
    #[cold]
    pub(super) fn reject(&mut self, why: &'static str, count: u64) {
        match self.rejected.iter_mut().find(|(known, _)| *known == why) {
            Some((_, n)) => *n += count,
            None => self.rejected.push((why, count)),
        }
    }
}

/// The part of a table that every kind of record has.
#[derive(Debug, Clone, PartialEq)]
pub struct Records {
    /// Texts and attributes.
    pub dictionary: Dictionary,
    /// Time of each record, nanoseconds since 1970: when a span began, a point was taken, a line was written.
    pub time: Vec<i64>,
    /// Number of each record's resource.
    pub resource: Vec<u32>,
    /// Number of each record's instrumentation scope.
    pub scope: Vec<u32>,
    /// Attributes of each record.
    pub attributes: Lists,
    /// What was left out on the way.
    pub tally: Tally,
}

impl Records {
    pub(super) fn shrink(&mut self) {
        self.dictionary.strings.shrink();
        self.dictionary.attributes.shrink_to_fit();
        self.dictionary.resources.shrink();
        self.dictionary.scopes.shrink();
        self.time.shrink_to_fit();
        self.resource.shrink_to_fit();
        self.scope.shrink_to_fit();
        self.attributes.shrink();
    }

    pub(super) fn n_bytes(&self) -> usize {
        let dictionary = &self.dictionary;
        dictionary.strings.n_bytes()
            + dictionary.attributes.capacity() * size_of::<(u32, Value)>()
            + dictionary.resources.n_bytes()
            + dictionary.scopes.n_bytes()
            + 8 * self.time.capacity()
            + 4 * (self.resource.capacity() + self.scope.capacity())
            + self.attributes.n_bytes()
    }

    /// The values of one attribute: for each record the number of the attribute, or none; the first counts where a
    /// record has it twice.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Vec<Option<u32>> {
        first_of(&self.attributes, &self.dictionary, key)
    }

    /// The same of each distinct resource.
    #[must_use]
    pub fn resource_attribute(&self, key: &str) -> Vec<Option<u32>> {
        first_of(&self.dictionary.resources, &self.dictionary, key)
    }
}

pub(super) fn first_of(lists: &Lists, dictionary: &Dictionary, key: &str) -> Vec<Option<u32>> {
    let mut wanted = vec![false; dictionary.attributes.len()];
    for (i, &(k, _)) in dictionary.attributes.iter().enumerate() {
        wanted[i] = dictionary.strings.get(k) == key;
    }
    (0..lists.len())
        .map(|row| {
            let mut items = lists.get(row).iter();
            items.find(|&&id| wanted[id as usize]).copied()
        })
        .collect()
}

/// A table of records in columns.
pub trait Columns: Sized + Sync {
    /// The columns that every kind of record has.
    fn records(&self) -> &Records;

    /// How many records there are.
    fn len(&self) -> usize {
        self.records().time.len()
    }

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that it takes in memory.
    fn n_bytes(&self) -> usize;

    /// The records of several tables whose time is in `[from, to)`, in their order, as one table.
    ///
    /// # Errors
    ///
    /// They are more than a table can hold, 2^32 - 1 attributes or records.
    fn merge(tables: &[&Self], from: i64, to: i64) -> crate::Result<Self>;
}
