//! What must hold of any bytes from outside: an error that says where, or a table that is whole.
//!
//! Each law takes bytes and panics where it is broken. The fuzz targets (`rust/fuzz`), the property tests and the
//! replay of committed seeds share them.

#![allow(dead_code, reason = "each of those uses some of them")]
#![allow(missing_docs)]

use bayesrca_core::otlp::{
    BYTES_PER_BYTE, Columns, Limits, Records, Value, decode_logs, decode_metrics, decode_spans,
};
use bayesrca_core::spans::{Forest, OrderCounts, Reduction, SpanBatch, self_times};
use bayesrca_core::templates::{MAX_BYTES, Miner};
use bayesrca_core::{Error, Result};

use span_columns::SpanColumns;

#[path = "../span_columns/mod.rs"]
mod span_columns;

/// Bytes of an empty table.
const EMPTY: usize = 4096;

pub fn otlp_traces(request: &[u8]) {
    decoded(decode_spans(request, &Limits::default()), request);
}

pub fn otlp_metrics(request: &[u8]) {
    decoded(decode_metrics(request, &Limits::default()), request);
}

pub fn otlp_logs(request: &[u8]) {
    decoded(decode_logs(request, &Limits::default()), request);
}

/// A table is within its bound of memory and refers to nothing that is not there; an error lies within the request.
fn decoded<T: Columns>(decoded: Result<T>, request: &[u8]) {
    match decoded {
        Ok(table) => {
            let most = BYTES_PER_BYTE * request.len() + EMPTY;
            assert!(table.n_bytes() <= most, "{} bytes", table.n_bytes());
            said(table.records(), &mut Vec::new());
            let merged = T::merge(&[&table, &table], i64::MIN, i64::MAX).unwrap();
            assert_eq!(merged.len(), 2 * table.len());
        }
        Err(Error::Telemetry { offset, .. }) => assert!(offset <= request.len()),
        Err(other) => panic!("{other}"),
    }
}

/// Everything that the common columns say of each record, in plain words.
fn said(records: &Records, out: &mut Vec<(i64, String)>) {
    let dictionary = &records.dictionary;
    let text = |id: u32| dictionary.strings.get(id);
    let mut words = |row: usize| {
        let own = records.attributes.get(row);
        let resource = dictionary.resources.get(records.resource[row] as usize);
        let scope = dictionary.scopes.get(records.scope[row] as usize);
        let mut lines = Vec::new();
        for (place, list) in [own, resource, scope].into_iter().enumerate() {
            for &id in list {
                let (key, value) = dictionary.attributes[id as usize];
                let value = match value {
                    Value::Text(id) => format!("text {}", text(id)),
                    Value::Bytes(id) => format!("bytes {}", text(id)),
                    Value::Json(id) => format!("json {}", text(id)),
                    Value::Double(x) => format!("double {}", x.to_bits()),
                    other => format!("{other:?}"),
                };
                lines.push(format!("{place} {} {value}", text(key)));
            }
        }
        out.push((records.time[row], lines.join("\n")));
    };
    (0..records.time.len()).for_each(&mut words);
}

/// Tables put together say what each of them says, as far as it lies in the window, in their order.
///
/// The first byte chooses the sort, the next two records whose times begin and end the window; requests follow, each
/// behind its length in two bytes.
pub fn otlp_merge(data: &[u8]) {
    let [sort, from, to, rest @ ..] = data else {
        return;
    };
    match sort % 3 {
        0 => merged(decode_spans, *from, *to, rest),
        1 => merged(decode_metrics, *from, *to, rest),
        _ => merged(decode_logs, *from, *to, rest),
    }
}

fn merged<T: Columns>(decode: fn(&[u8], &Limits) -> Result<T>, from: u8, to: u8, mut rest: &[u8]) {
    let mut tables = Vec::new();
    while let [low, high, more @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(more.len());
        let (request, others) = more.split_at(length);
        tables.extend(decode(request, &Limits::default()).ok());
        rest = others;
    }
    let mut all = Vec::new();
    for table in &tables {
        said(table.records(), &mut all);
    }
    let instant = |which: u8| match all.len() {
        0 => 0,
        n => all[usize::from(which) % n].0,
    };
    let (from, to) = (instant(from), instant(to));
    let references: Vec<&T> = tables.iter().collect();
    let window = T::merge(&references, from, to).unwrap();
    let mut found = Vec::new();
    said(window.records(), &mut found);
    all.retain(|(time, _)| (from..to).contains(time));
    assert_eq!(found, all);
    let again = T::merge(&[&window], i64::MIN, i64::MAX).unwrap();
    assert_eq!(again.len(), window.len());
}

/// A line has a template that fits it, and the same one when it comes again at once.
pub fn templates(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut miner = Miner::default();
    for (i, line) in text.split('\n').enumerate() {
        let number = miner.add(line);
        assert_eq!(miner.add(line), number);
        assert!(number <= i);
    }
    for template in miner.texts() {
        assert!(template.len() <= 4 * MAX_BYTES, "{template}");
        assert!(!template.contains('\n'));
    }
}

const SIDES: usize = 2;
/// Bytes that make a span, and bytes that make a log line within it.
const SPAN: usize = 16;

fn read_spans(data: &[u8]) -> SpanColumns {
    let mut rows = SpanColumns::default();
    for (row, chunk) in (0_i64..).zip(data.chunks_exact(SPAN)) {
        let small = |i: usize| chunk[i].cast_signed();
        // A shift makes small numbers as likely as those of 64 bits.
        let long = |i: usize| {
            let bits = i64::from(i16::from_le_bytes([chunk[i], chunk[i + 1]]));
            bits.wrapping_shl(u32::from(chunk[i + 2]))
        };
        for (column, at) in rows.ints.iter_mut().zip([0, 1, 2]) {
            column.push(i32::from(small(at)));
        }
        let parent = i64::from(small(3));
        for (column, x) in rows.longs.iter_mut().zip([parent, long(4), long(7)]) {
            column.push(x);
        }
        for (column, at) in rows.bytes.iter_mut().zip([10, 11, 12]) {
            column.push(small(at));
        }
        rows.covered.push(chunk[13] & 1 == 1);
        if chunk[13] & 2 == 2 {
            rows.log_span.push(i64::from(small(14)));
            rows.log_key.push(i32::from(small(15)));
            rows.log_time.push(long(4).wrapping_add(row));
        }
    }
    rows
}

/// Spans are refused by name of a column, or each that counts is counted once and no time is lost or made up.
pub fn spans(data: &[u8]) {
    let rows = read_spans(data);
    let batch = rows.batch();
    let mut reduction = Reduction::new(SIDES, 1 << 16);
    match reduction.push(&batch) {
        Err(Error::InvalidEvidence { field, .. }) => {
            assert!(!field.is_empty());
            assert!(reduction.paths().is_empty());
        }
        Err(other) => panic!("{other}"),
        Ok(()) => reduced(&reduction, &batch),
    }
}

fn reduced(reduction: &Reduction, batch: &SpanBatch<'_>) {
    let forest = Forest::new(batch);
    for (span, busy) in self_times(batch, &forest).into_iter().enumerate() {
        assert!((0..=batch.duration_ns[span]).contains(&busy));
        let mut ancestor = forest.parent(span);
        for _ in 0..batch.len() {
            ancestor = ancestor.and_then(|s| forest.parent(s));
        }
        assert_eq!(ancestor, None);
    }
    let counted = batch.side.iter().filter(|&&side| side >= 0).count() as u64;
    assert_eq!(reduction.instances().iter().sum::<u64>(), counted);
    for (event, counts) in reduction
        .events()
        .iter()
        .zip(reduction.present().chunks(SIDES))
    {
        let path = event.path as usize;
        let of_path = &reduction.instances()[SIDES * path..][..SIDES];
        assert!(counts.iter().zip(of_path).all(|(a, b)| a <= b));
    }
    for moments in [reduction.self_moments(), reduction.gap_moments()].concat() {
        assert!(moments.mean.is_finite() && moments.squares >= 0.0);
    }
    assert!(reduction.ranks().iter().all(|rank| *rank >= 0.0));
    let marks: Vec<i8> = (0..reduction.events().len())
        .map(|event| [1, -1, 0][event % 3])
        .collect();
    let mut order = OrderCounts::default();
    reduction
        .count_order(batch, 0..1, &marks, &mut order)
        .unwrap();
    for ((caller, _), edge) in &order.edges {
        let (changed, unchanged) = order.visits[caller];
        assert!(edge.changed_after <= changed && edge.unchanged_with <= unchanged);
    }
}
