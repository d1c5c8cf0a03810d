//! What came first within each trace: a failed call, or the caller's own change.

use std::collections::BTreeMap;
use std::ops::Range;

use super::batch::SpanBatch;
use super::forest::Forest;
use super::instance::{Lines, Scratch, path_of};
use super::keys::EventKey;
use super::reduction::Reduction;
use crate::error::{Error, Result};

/// Visits of a caller that call one callee. A visit is all that one entry into a component makes it do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EdgeOrder {
    /// Visits in which the caller changed, after a failed or changed call to the callee.
    pub changed_after: u64,
    /// Visits in which the caller did not change, with a failed or changed call to the callee.
    pub unchanged_with: u64,
}

/// Order of changes by edge.
#[derive(Debug, Clone, Default)]
pub struct OrderCounts {
    /// Per (caller, callee), in their order.
    pub edges: BTreeMap<(i32, i32), EdgeOrder>,
    /// Per component: visits in which it changed, and visits in which it did not.
    pub visits: BTreeMap<i32, (u64, u64)>,
}

/// A caller's earliest failed or changed call within a visit.
struct Call {
    visit: u32,
    callee: i32,
    start_ns: i64,
    changed: bool,
}

impl Reduction {
    /// Count in which order things changed, over the visits of a batch that began on some of its sides.
    ///
    /// A span has *changed* where it shows an event whose mark is 1, or misses one whose mark is -1; the first counts from
    /// the event's time, the second from the span's end. A visit has changed from the first such time on. A call has
    /// failed or changed if the client's span or the server's first span failed, or the server's visit has changed.
    ///
    /// # Errors
    /// `InvalidEvidence` naming the first offending column.
    pub fn count_order(
        &self,
        batch: &SpanBatch<'_>,
        sides: Range<i8>,
        marks: &[i8],
        counts: &mut OrderCounts,
    ) -> Result<()> {
        batch.validate(self.sides())?;
        if marks.len() != self.events().len() {
            return Err(Error::evidence(
                "marks",
                format!("needs one mark for each of {} events", self.events().len()),
            ));
        }
        let forest = Forest::new(batch);
        let entry = forest.entries(batch.component);
        let asked = |s: usize| sides.contains(&batch.side[s]);
        let changed = self.first_changes(batch, &forest, &asked, &entry, marks);
        for s in (0..batch.len()).filter(|&s| entry[s] as usize == s && asked(s)) {
            let visits = counts.visits.entry(batch.component[s]).or_default();
            if changed[s] < i64::MAX {
                visits.0 += 1;
            } else {
                visits.1 += 1;
            }
        }
        let mut calls = find_calls(batch, &forest, &asked, &entry, &changed);
        calls.sort_unstable_by_key(|c| (c.visit, c.callee, !c.changed, c.start_ns));
        calls.dedup_by_key(|c| (c.visit, c.callee)); // keeps the earliest that changed, if any did
        for call in calls {
            let visit = call.visit as usize;
            let edge = (batch.component[visit], call.callee);
            let order = counts.edges.entry(edge).or_default();
            if changed[visit] == i64::MAX {
                order.unchanged_with += u64::from(call.changed);
            } else {
                order.changed_after += u64::from(call.changed && call.start_ns < changed[visit]);
            }
        }
        Ok(())
    }

    /// When each visit first changed, at its entry span; `i64::MAX` for never.
    fn first_changes(
        &self,
        batch: &SpanBatch<'_>,
        forest: &Forest,
        asked: &impl Fn(usize) -> bool,
        entry: &[u32],
        marks: &[i8],
    ) -> Vec<i64> {
        let mut missed: BTreeMap<u32, Vec<EventKey>> = BTreeMap::new();
        for (key, _) in self.events().iter().zip(marks).filter(|&(_, &m)| m < 0) {
            missed.entry(key.path).or_default().push(*key);
        }
        let lines = Lines::new(batch);
        let mut scratch = Scratch::default();
        let mut changed = vec![i64::MAX; batch.len()];
        for s in (0..batch.len()).filter(|&s| asked(s)) {
            let Some(path) = self.paths.get(&path_of(batch, forest, s)) else {
                continue;
            };
            let happened = scratch.collect(batch, forest, &lines, s);
            let mut first = i64::MAX;
            for h in happened {
                for twice in [false, true] {
                    let key = EventKey {
                        path: path as u32,
                        kind: h.kind,
                        id: h.id,
                        twice,
                    };
                    let known = (!twice || h.times > 1).then(|| self.events.get(&key));
                    if known.flatten().is_some_and(|e| marks[e] > 0) {
                        first = first.min(h.time_ns);
                    }
                }
            }
            let misses = missed.get(&(path as u32)).is_some_and(|keys| {
                keys.iter().any(|key| {
                    let told = key.kind != super::keys::EventKind::Log || batch.covered[s];
                    let at = happened.binary_search_by_key(&(key.kind, key.id), |h| (h.kind, h.id));
                    told && !at.is_ok_and(|at| !key.twice || happened[at].times > 1)
                })
            });
            if misses {
                first = first.min(batch.end(s));
            }
            let visit = &mut changed[entry[s] as usize];
            *visit = first.min(*visit);
        }
        changed
    }
}

fn find_calls(
    batch: &SpanBatch<'_>,
    forest: &Forest,
    asked: &impl Fn(usize) -> bool,
    entry: &[u32],
    changed: &[i64],
) -> Vec<Call> {
    let mut calls = Vec::new();
    let counted = |visit: u32| asked(visit as usize);
    for s in (0..batch.len()).filter(|&s| asked(s)) {
        match forest.parent(s) {
            Some(p) if batch.component[p] != batch.component[s] && counted(entry[p]) => {
                calls.push(Call {
                    visit: entry[p],
                    callee: batch.component[s],
                    start_ns: batch.start_ns[p],
                    changed: batch.failed(p) || batch.failed(s) || changed[s] < i64::MAX,
                });
            }
            _ => {}
        }
        if let Some(callee) = batch
            .peer_of(s)
            .filter(|_| !forest.calls_out(s) && counted(entry[s]))
        {
            calls.push(Call {
                visit: entry[s],
                callee,
                start_ns: batch.start_ns[s],
                changed: batch.failed(s),
            });
        }
    }
    calls
}
