//! The reduction of spans against a slow oracle that shares no code with it.
#![allow(clippy::cast_possible_wrap, reason = "a dozen rows")]

use std::collections::{BTreeMap, BTreeSet};

use bayesrca_core::spans::{EventKind, Forest, OrderCounts, Reduction, self_times};
use proptest::prelude::*;
use spans_common::{Oracle, Span, SpanColumns, columns, spans};

mod spans_common;

type Counts<K> = BTreeMap<K, [u64; 2]>;
type Times<K> = BTreeMap<K, [Vec<f64>; 2]>;

fn reduced(spans: &[Span]) -> Reduction {
    let mut reduction = Reduction::new(2, 1 << 20);
    reduction.push(&columns(spans).batch()).unwrap();
    reduction
}

fn table<K: Ord>(keys: impl Iterator<Item = K>, values: &[u64]) -> Counts<K> {
    keys.zip(values.chunks(2).map(|v| [v[0], v[1]])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn self_times_are_the_nanoseconds_that_nobody_covers(spans in spans()) {
        let columns = columns(&spans);
        let batch = columns.batch();
        let forest = Forest::new(&batch);
        let oracle = Oracle::new(&spans);
        for s in 0..spans.len() {
            prop_assert_eq!(forest.parent(s), oracle.parent[s]);
        }
        let expected: Vec<_> = (0..spans.len()).map(|s| oracle.self_time(s)).collect();
        prop_assert_eq!(self_times(&batch, &forest), expected);
    }

    #[test]
    fn paths_and_events_are_counted_one_by_one(spans in spans()) {
        let oracle = Oracle::new(&spans);
        let (mut instances, mut covered) = (Counts::new(), Counts::new());
        let mut present = Counts::new();
        for (s, span) in spans.iter().enumerate() {
            let Ok(side) = usize::try_from(span.side) else { continue };
            let path = oracle.path(s);
            instances.entry(path.clone()).or_insert([0; 2])[side] += 1;
            covered.entry(path.clone()).or_insert([0; 2])[side] += u64::from(span.covered);
            for ((kind, id), times) in oracle.events(s) {
                for twice in [false, true] {
                    if !twice || (times.len() > 1 && kind != 3) {
                        let key = (path.clone(), kind, id, twice);
                        present.entry(key).or_insert([0; 2])[side] += 1;
                    }
                }
            }
        }
        let reduction = reduced(&spans);
        let path = |p: u32| {
            let key = &reduction.paths()[p as usize];
            (key.component, key.operations.to_vec())
        };
        let paths = || (0..reduction.paths().len() as u32).map(path);
        prop_assert_eq!(table(paths(), reduction.instances()), instances);
        prop_assert_eq!(table(paths(), reduction.covered()), covered);
        let events = reduction.events().iter();
        let events = events.map(|e| (path(e.path), e.kind as u8, e.id, e.twice));
        prop_assert_eq!(table(events, reduction.present()), present);
        prop_assert_eq!(reduction.left_out(), 0);
    }

    #[test]
    fn times_are_grouped_by_who_can_tell_them(spans in spans()) {
        let oracle = Oracle::new(&spans);
        let mut selves: Times<(i32, i32)> = Times::new();
        let mut gaps: Times<(i32, i32, i32)> = Times::new();
        for (s, span) in spans.iter().enumerate() {
            let Ok(side) = usize::try_from(span.side) else { continue };
            let x = (oracle.self_time(s) as f64 / 1000.0 + 100.0).ln();
            match oracle.callee(s) {
                Some(callee) if ![2, 5].contains(&span.kind) => {
                    gaps.entry((span.component, span.operation, callee)).or_default()[side].push(x);
                }
                _ => {
                    let owner = if span.peer >= 0 { span.peer } else { span.component };
                    selves.entry((owner, span.operation)).or_default()[side].push(x);
                }
            }
        }
        let reduction = reduced(&spans);
        prop_assert_eq!(reduction.self_keys().len(), selves.len());
        prop_assert_eq!(reduction.gap_keys().len(), gaps.len());
        let all = reduction.self_keys().iter().map(|key| &selves[key]).zip(reduction.self_moments().chunks(2));
        let all = all.chain(reduction.gap_keys().iter().map(|key| &gaps[key]).zip(reduction.gap_moments().chunks(2)));
        for (expected, found) in all {
            for (x, m) in expected.iter().zip(found) {
                prop_assert_eq!(x.len() as u64, m.n);
                let mean = x.iter().sum::<f64>() / x.len().max(1) as f64;
                prop_assert!((mean - m.mean).abs() < 1e-12);
                let squares: f64 = x.iter().map(|v| (v - mean).powi(2)).sum();
                prop_assert!((squares - m.squares).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_call_is_last_when_nothing_starts_after_it(spans in spans()) {
        let oracle = Oracle::new(&spans);
        let (mut calls, mut last) = (Counts::new(), Counts::new());
        for (s, span) in spans.iter().enumerate() {
            let Ok(side) = usize::try_from(span.side) else { continue };
            let children = oracle.children(s);
            let made: BTreeSet<_> = children.iter().filter_map(|&c| oracle.call_of(s, c)).collect();
            for lines in [false, true] {
                let end = children.last().copied();
                let silent = |c: usize| span.lines.iter().all(|&(t, _)| t <= spans[c].start);
                let end = end.filter(|&c| !lines || silent(c)).and_then(|c| oracle.call_of(s, c));
                for &callee in made.iter().filter(|_| !lines || span.covered) {
                    let key = (oracle.path(s), callee, lines);
                    calls.entry(key.clone()).or_insert([0; 2])[side] += 1;
                    last.entry(key).or_insert([0; 2])[side] += u64::from(end == Some(callee));
                }
            }
        }
        let reduction = reduced(&spans);
        let keys = || reduction.terminal_keys().iter().map(|key| {
            let path = &reduction.paths()[key.path as usize];
            ((path.component, path.operations.to_vec()), key.callee, key.lines)
        });
        prop_assert_eq!(table(keys(), reduction.calls()), calls);
        prop_assert_eq!(table(keys(), reduction.last()), last);
    }

    #[test]
    fn changes_are_ordered_within_visits(spans in spans(), seed in any::<u64>()) {
        let oracle = Oracle::new(&spans);
        let reduction = reduced(&spans);
        let marks: Vec<i8> = (0..reduction.events().len())
            .map(|e| ((seed >> (e % 31)) % 3) as i8 - 1)
            .collect();
        let mut found = OrderCounts::default();
        reduction.count_order(&columns(&spans).batch(), 0..1, &marks, &mut found).unwrap();

        let mut changed = vec![i64::MAX; spans.len()];
        for (s, span) in spans.iter().enumerate().filter(|(_, span)| span.side == 0) {
            let (path, events) = (oracle.path(s), oracle.events(s));
            for (key, mark) in reduction.events().iter().zip(&marks) {
                let of = &reduction.paths()[key.path as usize];
                if (of.component, of.operations.to_vec()) != path { continue }
                let times = events.get(&(key.kind as u8, key.id));
                let there = times.is_some_and(|t| !key.twice || t.len() > 1);
                let visit = &mut changed[oracle.entry(s)];
                if *mark > 0 && there {
                    *visit = (*visit).min(times.unwrap()[0]);
                }
                let asked = key.kind != EventKind::Log || span.covered;
                if *mark < 0 && !there && asked {
                    *visit = (*visit).min(span.start + span.duration);
                }
            }
        }
        let mut calls: BTreeMap<(usize, i32), Vec<(bool, i64)>> = BTreeMap::new();
        let mut visits: BTreeMap<i32, (u64, u64)> = BTreeMap::new();
        for (s, span) in spans.iter().enumerate().filter(|(_, span)| span.side == 0) {
            if oracle.entry(s) == s {
                let counts = visits.entry(span.component).or_default();
                if changed[s] < i64::MAX { counts.0 += 1 } else { counts.1 += 1 }
            }
            if let Some(p) = oracle.parent[s].filter(|&p| spans[p].component != span.component) {
                let bad = span.status == 2 || spans[p].status == 2 || changed[s] < i64::MAX;
                calls.entry((oracle.entry(p), span.component)).or_default().push((bad, spans[p].start));
            }
            if span.peer >= 0 && oracle.callee(s).is_none() {
                calls.entry((oracle.entry(s), span.peer)).or_default().push((span.status == 2, span.start));
            }
        }
        let mut edges: BTreeMap<(i32, i32), (u64, u64)> = BTreeMap::new();
        for ((visit, callee), made) in calls {
            if spans[visit].side != 0 { continue }
            let counts = edges.entry((spans[visit].component, callee)).or_default();
            let bad = made.iter().filter(|c| c.0).map(|c| c.1).min();
            if changed[visit] == i64::MAX {
                counts.1 += u64::from(bad.is_some());
            } else {
                counts.0 += u64::from(bad.is_some_and(|start| start < changed[visit]));
            }
        }
        prop_assert_eq!(found.visits, visits);
        let found: BTreeMap<_, _> = found.edges.iter()
            .map(|(&edge, o)| (edge, (o.changed_after, o.unchanged_with)))
            .collect();
        prop_assert_eq!(found, edges);
    }

    #[test]
    fn batches_of_whole_traces_add_up(a in spans(), b in spans()) {
        let mut apart = Reduction::new(2, 1 << 20);
        apart.push(&columns(&a).batch()).unwrap();
        apart.push(&columns(&b).batch()).unwrap();
        let shift = a.len() as i64;
        let moved = b.iter().cloned().map(|mut s| {
            // A row outside `b` must not become one of `a`.
            s.parent = if (0..b.len() as i64).contains(&s.parent) { s.parent + shift } else { -1 };
            s
        });
        let mut alone = a.clone();
        for s in &mut alone {
            s.parent = if (0..shift).contains(&s.parent) { s.parent } else { -1 };
        }
        let together = reduced(&alone.into_iter().chain(moved).collect::<Vec<_>>());
        prop_assert_eq!(apart.events(), together.events());
        prop_assert_eq!(apart.present(), together.present());
        prop_assert_eq!(apart.instances(), together.instances());
        prop_assert_eq!(apart.self_moments(), together.self_moments());
        prop_assert_eq!(apart.gap_moments(), together.gap_moments());
        prop_assert_eq!(apart.last(), together.last());
    }
}

fn plain(component: i32, parent: i64, start: i64, duration: i64) -> Span {
    Span {
        component,
        operation: 0,
        parent,
        start,
        duration,
        kind: 0,
        status: 0,
        peer: -1,
        side: 0,
        covered: true,
        lines: Vec::new(),
    }
}

#[test]
fn a_full_table_counts_what_it_leaves_out() {
    let spans: Vec<_> = (0..10)
        .map(|i| Span {
            operation: i,
            ..plain(0, -1, 0, 1)
        })
        .collect();
    let mut reduction = Reduction::new(1, 4);
    reduction.push(&columns(&spans).batch()).unwrap();
    assert_eq!(
        (reduction.paths().len(), reduction.self_keys().len()),
        (4, 4)
    );
    assert_eq!(reduction.left_out(), 12);
}

#[test]
fn a_deep_chain_and_a_wide_family_are_reduced() {
    let chain = (0..100_000).map(|i| plain(0, i - 1, i, 1));
    assert_eq!(reduced(&chain.collect::<Vec<_>>()).paths().len(), 5);
    let wide = (0..100_000).map(|i| plain(i32::from(i > 0), if i > 0 { 0 } else { -1 }, 0, 9));
    let wide = reduced(&wide.collect::<Vec<_>>());
    assert_eq!(wide.instances()[2], 99_999);
}

#[test]
fn bad_columns_are_named_and_nothing_is_added() {
    let mut reduction = Reduction::new(1, 100);
    let mut refused = |change: &dyn Fn(&mut SpanColumns), name: &str| {
        let mut columns = columns(&[plain(0, -1, 0, 1)]);
        change(&mut columns);
        let error = reduction.push(&columns.batch()).unwrap_err().to_string();
        assert!(error.starts_with(name), "{error}");
        assert!(reduction.paths().is_empty());
    };
    refused(&|c| c.longs[2][0] = -1, "duration_ns");
    refused(&|c| c.ints[0][0] = -1, "component");
    refused(&|c| c.bytes[2][0] = 1, "side");
    refused(&|c| c.covered.clear(), "covered");
    refused(&|c| c.log_span.push(0), "log_key");
}
