//! Reading what every kind of record has: resources, scopes, attributes, texts.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::Limits;
use super::intern::{Interner, hash};
use super::table::{Dictionary, Lists, Records, Tally};
use super::value::{Reading, Value};
use super::wire::{Message, Result, Wire, malformed};

/// Lists of attributes, each distinct one kept once.
#[derive(Default)]
pub(super) struct DistinctLists {
    pub(super) lists: Lists,
    known: HashMap<Vec<u32>, u32>,
}

impl DistinctLists {
    pub(super) fn intern(&mut self, list: &[u32]) -> u32 {
        if let Some(&id) = self.known.get(list) {
            return id;
        }
        let id = self.lists.len() as u32;
        self.lists.items.extend_from_slice(list);
        self.lists.close();
        self.known.insert(list.to_vec(), id);
        id
    }
}

/// An attribute's identity: a NaN is itself, and -0.0 is not 0.0.
fn identity(key: u32, value: Value) -> (u32, u8, u64) {
    let (kind, bits) = match value {
        Value::Empty => (0, 0),
        Value::Text(id) => (1, u64::from(id)),
        Value::Bool(b) => (2, u64::from(b)),
        Value::Int(i) => (3, i.cast_unsigned()),
        Value::Double(d) => (4, d.to_bits()),
        Value::Bytes(id) => (5, u64::from(id)),
        Value::Json(id) => (6, u64::from(id)),
    };
    (key, kind, bits)
}

/// Distinct attributes, numbered in the order in which they come.
pub(super) struct Attributes {
    pub(super) pairs: Vec<(u32, Value)>,
    table: HashTable<u32>,
    seed: RandomState,
}

impl Attributes {
    pub(super) fn new() -> Self {
        Self {
            pairs: Vec::new(),
            table: HashTable::new(),
            seed: RandomState::default(),
        }
    }

    pub(super) fn intern(&mut self, key: u32, value: Value) -> u32 {
        let (pairs, seed) = (&self.pairs, self.seed);
        let own = identity(key, value);
        let of = |&id: &u32| {
            let (k, v) = pairs[id as usize];
            identity(k, v)
        };
        let hash = seed.hash_one(own);
        if let Some(&id) = self.table.find(hash, |id| of(id) == own) {
            return id;
        }
        let id = self.pairs.len() as u32;
        self.table
            .insert_unique(hash, id, |other| seed.hash_one(of(other)));
        self.pairs.push((key, value));
        id
    }
}

/// What has been read of one request.
pub(super) struct Build<'a> {
    pub(super) limits: &'a Limits,
    pub(super) interner: Interner,
    pub(super) tally: Tally,
    attributes: Attributes,
    /// The last attribute at each place of a list: what records of a kind say is often the same.
    last: Vec<(&'a [u8], u32)>,
    /// Attributes by the bytes they arrived as.
    raw: HashTable<(&'a [u8], u32)>,
    seed: RandomState,
    resources: DistinctLists,
    scopes: DistinctLists,
    count: usize,
}

impl<'a> Build<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            interner: Interner::new(),
            tally: Tally::default(),
            attributes: Attributes::new(),
            last: Vec::new(),
            raw: HashTable::new(),
            seed: RandomState::default(),
            resources: DistinctLists::default(),
            scopes: DistinctLists::default(),
            count: 0,
        }
    }

    /// Count a record that begins.
    #[inline]
    pub(super) fn begin_record(&mut self, message: &Message<'a>) -> Result<()> {
        self.count += 1;
        if self.count > self.limits.records {
            let most = self.limits.records;
            let message_text = format!("the request holds more than {most} records; send fewer");
            return Err(malformed(message.offset(), message_text));
        }
        Ok(())
    }

    /// The number of a text.
    #[inline]
    pub(super) fn text(&mut self, message: Message<'a>) -> Result<u32> {
        self.check_length(&message)?;
        let (id, valid) = self.interner.intern_bytes(message.bytes());
        self.tally.invalid_texts += u64::from(!valid);
        Ok(id)
    }

    /// Read an attribute and put its number at the end of a list that began at `begin`.
    #[inline]
    pub(super) fn attribute(
        &mut self,
        message: Message<'a>,
        items: &mut Vec<u32>,
        begin: usize,
    ) -> Result<()> {
        let (bytes, place) = (message.bytes(), items.len() - begin);
        if let Some((known, id)) = self.last.get(place)
            && *known == bytes
        {
            items.push(*id);
            return Ok(());
        }
        if place >= self.limits.attributes {
            let most = self.limits.attributes;
            let text = format!("more than {most} attributes in one place; send fewer");
            return Err(malformed(message.offset(), text));
        }
        let hashed = hash(self.seed, bytes);
        if let Some(&(_, id)) = self.raw.find(hashed, |(known, _)| *known == bytes) {
            items.push(id);
            match self.last.get_mut(place) {
                Some(last) => *last = (bytes, id),
                None => self.last.push((bytes, id)),
            }
            return Ok(());
        }
        items.push(self.new_attribute(message, hashed)?);
        Ok(())
    }

    fn new_attribute(&mut self, message: Message<'a>, hashed: u64) -> Result<u32> {
        self.check_length(&message)?;
        let (bytes, mut message) = (message.bytes(), message);
        let (mut key, mut value) = (None, Reading::new(self.limits.depth));
        while let Some((number, wire)) = message.next()? {
            match (number, wire) {
                (1, Wire::Bytes(text)) => key = Some(text),
                (2, Wire::Bytes(any)) => value.merge(any)?,
                _ => {}
            }
        }
        let before = self.tally.invalid_texts;
        let key = key.map_or(Ok(0), |key| self.text(key))?;
        let (value, invalid) = value.finish(&mut self.interner);
        self.tally.invalid_texts += invalid;
        let id = self.attributes.intern(key, value);
        // What is not UTF-8 is not remembered, so that it is counted whenever it comes.
        if self.tally.invalid_texts == before {
            let seed = self.seed;
            self.raw
                .insert_unique(hashed, (bytes, id), |(known, _)| hash(seed, known));
        }
        Ok(id)
    }

    /// The text of a log record's body.
    pub(super) fn body(&mut self, message: Message<'a>, body: &mut Reading<'a>) -> Result<()> {
        self.check_length(&message)?;
        body.merge(message)
    }

    /// The number of a finished value's text.
    pub(super) fn body_text(&mut self, body: Reading<'a>) -> u32 {
        let (value, invalid) = body.finish(&mut self.interner);
        self.tally.invalid_texts += invalid;
        match value {
            Value::Empty => 0,
            Value::Text(id) | Value::Bytes(id) | Value::Json(id) => id,
            Value::Bool(b) => self.interner.intern(if b { "true" } else { "false" }),
            Value::Int(i) => self.interner.intern(&i.to_string()),
            Value::Double(d) => self.interner.intern(&format!("{d:?}")),
        }
    }

    /// Read a resource: its attributes go to the end of a list.
    pub(super) fn resource(&mut self, mut message: Message<'a>, list: &mut Vec<u32>) -> Result<()> {
        while let Some((number, wire)) = message.next()? {
            if let (1, Wire::Bytes(pair)) = (number, wire) {
                self.attribute(pair, list, 0)?;
            }
        }
        Ok(())
    }

    /// Read an instrumentation scope: its name, version and attributes go to a list.
    pub(super) fn scope(&mut self, mut message: Message<'a>, scope: &mut Scope) -> Result<()> {
        while let Some((number, wire)) = message.next()? {
            match (number, wire) {
                (1, Wire::Bytes(text)) => scope.name = self.text(text)?,
                (2, Wire::Bytes(text)) => scope.version = self.text(text)?,
                (3, Wire::Bytes(pair)) => self.attribute(pair, &mut scope.attributes, 0)?,
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn resource_id(&mut self, list: &[u32]) -> u32 {
        self.resources.intern(list)
    }

    pub(super) fn scope_id(&mut self, scope: &Scope) -> u32 {
        let mut list = Vec::with_capacity(2 + scope.attributes.len());
        for (key, text) in [
            ("otel.scope.name", scope.name),
            ("otel.scope.version", scope.version),
        ] {
            if text != 0 {
                let key = self.interner.intern(key);
                list.push(self.attributes.intern(key, Value::Text(text)));
            }
        }
        list.extend_from_slice(&scope.attributes);
        self.scopes.intern(&list)
    }

    /// What all records have, once everything is read.
    pub(super) fn finish(self, mut rows: Rows) -> Records {
        rows.attributes.shrink();
        let mut records = Records {
            dictionary: Dictionary {
                strings: self.interner.strings,
                attributes: self.attributes.pairs,
                resources: self.resources.lists,
                scopes: self.scopes.lists,
            },
            time: rows.time,
            resource: rows.resource,
            scope: rows.scope,
            attributes: rows.attributes,
            tally: self.tally,
        };
        records.shrink();
        records
    }

    #[inline]
    fn check_length(&self, message: &Message<'a>) -> Result<()> {
        let (length, most) = (message.bytes().len(), self.limits.text_bytes);
        if length <= most {
            return Ok(());
        }
        let text = format!("a text or value of {length} bytes; the most is {most}");
        Err(malformed(message.offset(), text))
    }
}

/// A scope on the way.
#[derive(Default)]
pub(super) struct Scope {
    name: u32,
    version: u32,
    attributes: Vec<u32>,
}

/// The columns that every kind of record fills.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) time: Vec<i64>,
    pub(super) resource: Vec<u32>,
    pub(super) scope: Vec<u32>,
    pub(super) attributes: Lists,
}

/// A kind of record, as it is read.
pub(super) trait Reader<'a> {
    /// What is being built, and the columns that all records fill.
    fn parts(&mut self) -> (&mut Build<'a>, &mut Rows);

    /// Read one item of a scope: a span, a metric with its points, a log record.
    fn item(&mut self, message: Message<'a>) -> Result<()>;

    /// Read a whole request: records by scope by resource, in field 1, 2 and 2.
    fn request(&mut self, mut request: Message<'a>) -> Result<()> {
        while let Some((number, wire)) = request.next()? {
            if let (1, Wire::Bytes(group)) = (number, wire) {
                self.by_resource(group)?;
            }
        }
        Ok(())
    }

    /// Read the records of one resource, which may be told before or after them.
    fn by_resource(&mut self, mut message: Message<'a>) -> Result<()> {
        let mut resource = Vec::new();
        while let Some((number, wire)) = message.next()? {
            match (number, wire) {
                (1, Wire::Bytes(told)) => self.parts().0.resource(told, &mut resource)?,
                (2, Wire::Bytes(group)) => self.by_scope(group)?,
                _ => {}
            }
        }
        let (build, rows) = self.parts();
        let id = build.resource_id(&resource);
        rows.resource.resize(rows.time.len(), id);
        Ok(())
    }

    /// Read the records of one scope, which may be told before or after them.
    fn by_scope(&mut self, mut message: Message<'a>) -> Result<()> {
        let mut scope = Scope::default();
        while let Some((number, wire)) = message.next()? {
            match (number, wire) {
                (1, Wire::Bytes(told)) => self.parts().0.scope(told, &mut scope)?,
                (2, Wire::Bytes(item)) => self.item(item)?,
                _ => {}
            }
        }
        let (build, rows) = self.parts();
        let id = build.scope_id(&scope);
        rows.scope.resize(rows.time.len(), id);
        Ok(())
    }
}
