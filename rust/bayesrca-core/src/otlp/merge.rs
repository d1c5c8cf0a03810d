//! Several tables of a kind as one.

use super::build::{Attributes, DistinctLists};
use super::intern::Interner;
use super::logs::Logs;
use super::points::{Buckets, Metric, Points, Quantiles};
use super::spans::{SpanEvents, Spans};
use super::table::{Dictionary, Lists, Records, Tally};
use super::value::Value;
use crate::error::{Error, Result};

/// Stands for what has not been met.
const NEW: u32 = u32::MAX;

/// What several tables have in common, as one table is put after the other.
struct Merge {
    interner: Interner,
    attributes: Attributes,
    resources: DistinctLists,
    scopes: DistinctLists,
    tally: Tally,
    time: Vec<i64>,
    resource: Vec<u32>,
    scope: Vec<u32>,
    lists: Lists,
}

/// Numbers of one table's texts and attributes in the merged one.
struct Numbers<'a> {
    of: &'a Dictionary,
    text: Vec<u32>,
    attribute: Vec<u32>,
}

impl<'a> Numbers<'a> {
    fn new(of: &'a Dictionary) -> Self {
        Self {
            of,
            text: vec![NEW; of.strings.len()],
            attribute: vec![NEW; of.attributes.len()],
        }
    }
}

impl Merge {
    fn new() -> Self {
        Self {
            interner: Interner::new(),
            attributes: Attributes::new(),
            resources: DistinctLists::default(),
            scopes: DistinctLists::default(),
            tally: Tally::default(),
            time: Vec::new(),
            resource: Vec::new(),
            scope: Vec::new(),
            lists: Lists::default(),
        }
    }

    fn text(&mut self, numbers: &mut Numbers<'_>, old: u32) -> u32 {
        let known = numbers.text[old as usize];
        if known != NEW {
            return known;
        }
        let id = self.interner.intern(numbers.of.strings.get(old));
        numbers.text[old as usize] = id;
        id
    }

    fn attribute(&mut self, numbers: &mut Numbers<'_>, old: u32) -> u32 {
        let known = numbers.attribute[old as usize];
        if known != NEW {
            return known;
        }
        let (key, value) = numbers.of.attributes[old as usize];
        let key = self.text(numbers, key);
        let value = match value {
            Value::Text(id) => Value::Text(self.text(numbers, id)),
            Value::Bytes(id) => Value::Bytes(self.text(numbers, id)),
            Value::Json(id) => Value::Json(self.text(numbers, id)),
            plain => plain,
        };
        let id = self.attributes.intern(key, value);
        numbers.attribute[old as usize] = id;
        id
    }

    fn list(&mut self, numbers: &mut Numbers<'_>, old: &[u32]) -> Vec<u32> {
        old.iter().map(|&id| self.attribute(numbers, id)).collect()
    }

    /// Take over the records of a table that lie in `[from, to)`; returns their rows.
    fn take<'t>(
        &mut self,
        records: &'t Records,
        from: i64,
        to: i64,
    ) -> Result<(Vec<usize>, Numbers<'t>)> {
        let mut numbers = Numbers::new(&records.dictionary);
        let (mut resources, mut scopes) = (
            vec![NEW; records.dictionary.resources.len()],
            vec![NEW; records.dictionary.scopes.len()],
        );
        let mut rows = Vec::new();
        for (row, &time) in records.time.iter().enumerate() {
            if !(from..to).contains(&time) {
                continue;
            }
            rows.push(row);
            self.time.push(time);
            let old = records.resource[row] as usize;
            if resources[old] == NEW {
                let list = self.list(&mut numbers, records.dictionary.resources.get(old));
                resources[old] = self.resources.intern(&list);
            }
            self.resource.push(resources[old]);
            let old = records.scope[row] as usize;
            if scopes[old] == NEW {
                let list = self.list(&mut numbers, records.dictionary.scopes.get(old));
                scopes[old] = self.scopes.intern(&list);
            }
            self.scope.push(scopes[old]);
            self.append(&mut numbers, &records.attributes, row, None)?;
        }
        for &(why, count) in &records.tally.rejected {
            self.tally.reject(why, count);
        }
        self.tally.invalid_texts += records.tally.invalid_texts;
        Ok((rows, numbers))
    }

    /// Put a row's attributes at the end of the merged ones, or of another list.
    fn append(
        &mut self,
        numbers: &mut Numbers<'_>,
        lists: &Lists,
        row: usize,
        into: Option<&mut Lists>,
    ) -> Result<()> {
        let list = self.list(numbers, lists.get(row));
        let into = into.unwrap_or(&mut self.lists);
        if into.items.len() + list.len() >= NEW as usize || into.len() + 1 >= NEW as usize {
            let message = "one table cannot hold 2^32 records or attributes; ask for less time";
            return Err(Error::evidence("window", message));
        }
        into.items.extend(list);
        into.close();
        Ok(())
    }

    fn finish(self) -> Records {
        Records {
            dictionary: Dictionary {
                strings: self.interner.strings,
                attributes: self.attributes.pairs,
                resources: self.resources.lists,
                scopes: self.scopes.lists,
            },
            time: self.time,
            resource: self.resource,
            scope: self.scope,
            attributes: self.lists,
            tally: self.tally,
        }
    }
}

/// The entries of a column at some rows.
fn pick<'a, T: Copy>(column: &'a [T], rows: &'a [usize]) -> impl Iterator<Item = T> + 'a {
    rows.iter().map(|&row| column[row])
}

pub(super) fn merge_spans(tables: &[&Spans], from: i64, to: i64) -> Result<Spans> {
    let mut merge = Merge::new();
    let (mut trace, mut id, mut parent) = (Vec::new(), Vec::new(), Vec::new());
    let (mut duration, mut name, mut kind) = (Vec::new(), Vec::new(), Vec::new());
    let (mut status, mut message) = (Vec::new(), Vec::new());
    let mut events = SpanEvents::default();
    for table in tables {
        let base = merge.time.len();
        let (rows, mut numbers) = merge.take(&table.records, from, to)?;
        trace.extend(pick(&table.trace, &rows));
        id.extend(pick(&table.id, &rows));
        parent.extend(pick(&table.parent, &rows));
        duration.extend(pick(&table.duration, &rows));
        kind.extend(pick(&table.kind, &rows));
        status.extend(pick(&table.status, &rows));
        name.extend(pick(&table.name, &rows).map(|old| merge.text(&mut numbers, old)));
        message.extend(pick(&table.message, &rows).map(|old| merge.text(&mut numbers, old)));
        let mut place = vec![NEW; table.id.len()];
        for (i, &row) in rows.iter().enumerate() {
            place[row] = (base + i) as u32;
        }
        let old = &table.events;
        for event in (0..old.span.len()).filter(|&i| place[old.span[i] as usize] != NEW) {
            events.span.push(place[old.span[event] as usize]);
            events.time.push(old.time[event]);
            events.name.push(merge.text(&mut numbers, old.name[event]));
            merge.append(
                &mut numbers,
                &old.attributes,
                event,
                Some(&mut events.attributes),
            )?;
        }
    }
    Ok(Spans {
        records: merge.finish(),
        trace,
        id,
        parent,
        duration,
        name,
        kind,
        status,
        message,
        events,
    })
}

pub(super) fn merge_points(tables: &[&Points], from: i64, to: i64) -> Result<Points> {
    let mut merge = Merge::new();
    let mut known = std::collections::HashMap::new();
    let (mut metrics, mut metric, mut start) = (Vec::new(), Vec::new(), Vec::new());
    let (mut value, mut count) = (Vec::new(), Vec::new());
    let (mut sum, mut min, mut max) = (Vec::new(), Vec::new(), Vec::new());
    let (mut buckets, mut quantiles) = (Buckets::default(), Quantiles::default());
    for table in tables {
        let (rows, mut numbers) = merge.take(&table.records, from, to)?;
        for old in pick(&table.metric, &rows) {
            let told = &table.metrics[old as usize];
            let told = Metric {
                name: merge.text(&mut numbers, told.name),
                unit: merge.text(&mut numbers, told.unit),
                ..told.clone()
            };
            metric.push(*known.entry(told).or_insert_with_key(|told: &Metric| {
                metrics.push(told.clone());
                metrics.len() as u32 - 1
            }));
        }
        start.extend(pick(&table.start, &rows));
        value.extend(pick(&table.value, &rows));
        count.extend(pick(&table.count, &rows));
        sum.extend(pick(&table.sum, &rows));
        min.extend(pick(&table.min, &rows));
        max.extend(pick(&table.max, &rows));
        for &row in &rows {
            let held = list(&table.buckets.ends, row);
            buckets
                .upper
                .extend_from_slice(&table.buckets.upper[held.clone()]);
            buckets.count.extend_from_slice(&table.buckets.count[held]);
            buckets.ends.push(end(buckets.upper.len())?);
            let held = list(&table.quantiles.ends, row);
            let old = &table.quantiles;
            quantiles
                .quantile
                .extend_from_slice(&old.quantile[held.clone()]);
            quantiles.value.extend_from_slice(&old.value[held]);
            quantiles.ends.push(end(quantiles.value.len())?);
        }
    }
    Ok(Points {
        records: merge.finish(),
        metrics,
        metric,
        start,
        value,
        count,
        sum,
        min,
        max,
        buckets,
        quantiles,
    })
}

pub(super) fn merge_logs(tables: &[&Logs], from: i64, to: i64) -> Result<Logs> {
    let mut merge = Merge::new();
    let (mut severity, mut severity_text) = (Vec::new(), Vec::new());
    let (mut body, mut event) = (Vec::new(), Vec::new());
    let (mut trace, mut span) = (Vec::new(), Vec::new());
    for table in tables {
        let (rows, mut numbers) = merge.take(&table.records, from, to)?;
        severity.extend(pick(&table.severity, &rows));
        trace.extend(pick(&table.trace, &rows));
        span.extend(pick(&table.span, &rows));
        let mut texts = |column: &[u32]| -> Vec<u32> {
            pick(column, &rows)
                .map(|old| merge.text(&mut numbers, old))
                .collect()
        };
        severity_text.extend(texts(&table.severity_text));
        body.extend(texts(&table.body));
        event.extend(texts(&table.event));
    }
    Ok(Logs {
        records: merge.finish(),
        severity,
        severity_text,
        body,
        event,
        trace,
        span,
    })
}

/// The places of a row's list.
fn list(ends: &[u32], row: usize) -> std::ops::Range<usize> {
    let begin = if row == 0 { 0 } else { ends[row - 1] };
    begin as usize..ends[row] as usize
}

fn end(length: usize) -> Result<u32> {
    u32::try_from(length).map_err(|_| {
        Error::evidence(
            "window",
            "one table cannot hold 2^32 buckets; ask for less time",
        )
    })
}
