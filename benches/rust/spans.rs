//! Cost of reducing spans and log lines: spans per second, on traces of a made-up system of 40 services.
//!
//! `cargo bench -p bayesrca-core --bench spans`. Every trace calls 12 services one within the other, each with five local
//! spans and three log lines; half of the traces lie in the window.
#![allow(clippy::cast_possible_wrap, reason = "thousands of rows")]

use std::hint::black_box;

use bayesrca_core::spans::{OrderCounts, Reduction, SpanBatch};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const SERVICES: usize = 40;
const DEPTH: usize = 12;
const LOCAL: usize = 5;

#[derive(Default)]
struct Columns {
    component: Vec<i32>,
    operation: Vec<i32>,
    parent: Vec<i64>,
    start: Vec<i64>,
    duration: Vec<i64>,
    side: Vec<i8>,
    log_span: Vec<i64>,
    log_key: Vec<i32>,
    log_time: Vec<i64>,
}

fn traces(n: usize) -> Columns {
    let mut out = Columns::default();
    for trace in 0..n {
        let mut parent = -1;
        let mut start = trace as i64 * 1_000_000;
        let mut duration = 900_000;
        for level in 0..DEPTH {
            let service = ((trace * 7 + level * 3) % SERVICES) as i32;
            for local in 0..LOCAL {
                let row = out.component.len() as i64;
                out.component.push(service);
                out.operation.push(service * 8 + local as i32);
                out.parent.push(parent);
                out.start.push(start);
                out.duration.push(duration);
                out.side.push((trace % 2) as i8);
                if local < 3 {
                    out.log_span.push(row);
                    out.log_key.push(service * 4 + local as i32);
                    out.log_time.push(start + 1);
                }
                parent = row;
                start += 1_000;
                duration -= 5_000;
            }
        }
    }
    out
}

fn reduce(c: &mut Criterion) {
    let columns = traces(500);
    let n = columns.component.len();
    let (zero, none, covered) = (vec![0; n], vec![-1; n], vec![true; n]);
    let batch = SpanBatch {
        component: &columns.component,
        operation: &columns.operation,
        parent: &columns.parent,
        start_ns: &columns.start,
        duration_ns: &columns.duration,
        kind: &zero,
        status: &zero,
        peer: &none,
        side: &columns.side,
        covered: &covered,
        log_span: &columns.log_span,
        log_key: &columns.log_key,
        log_time_ns: &columns.log_time,
    };
    let push = || {
        let mut reduction = Reduction::new(2, 1_000_000);
        reduction.push(black_box(&batch)).expect("a legal batch");
        reduction
    };
    let mut group = c.benchmark_group("spans");
    group.throughput(Throughput::Elements(n as u64));
    group.bench_function("reduce", |b| b.iter(push));
    let reduction = push();
    let marks = vec![1; reduction.events().len()];
    group.bench_function("order", |b| {
        b.iter(|| {
            let mut counts = OrderCounts::default();
            reduction
                .count_order(black_box(&batch), 0..1, &marks, &mut counts)
                .expect("a mark per event");
            counts
        });
    });
    group.finish();
}

criterion_group!(benches, reduce);
criterion_main!(benches);
