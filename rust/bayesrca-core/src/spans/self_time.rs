//! How long a span was busy with itself.

use super::batch::SpanBatch;
use super::forest::Forest;

/// Later siblings that a span looks at: what bounds the work when thousands start at once.
pub const MAX_SIBLINGS: usize = 64;

/// Nanoseconds of each span that no child of it covers.
///
/// Children are clipped to the span. Of the next [`MAX_SIBLINGS`] siblings, those of the same component that start
/// later within the span and call another component count as children: asynchronous clients report them side by side.
#[must_use]
pub fn self_times(batch: &SpanBatch<'_>, forest: &Forest) -> Vec<i64> {
    let mut out = vec![0; batch.len()];
    for s in 0..batch.len() {
        if forest.parent(s).is_none() {
            out[s] = self_time(batch, forest, s, &[]);
        }
        let children = forest.children(s);
        for (k, &c) in children.iter().enumerate() {
            let later = &children[k + 1..];
            let later = &later[..later.len().min(MAX_SIBLINGS)];
            out[c as usize] = self_time(batch, forest, c as usize, later);
        }
    }
    out
}

fn self_time(batch: &SpanBatch<'_>, forest: &Forest, s: usize, later: &[u32]) -> i64 {
    let (from, to) = (batch.start_ns[s], batch.end(s));
    let mut own = forest.children(s).iter().map(|&c| c as usize).peekable();
    let mut beside = later
        .iter()
        .map(|&c| c as usize)
        .filter(|&c| {
            batch.component[c] == batch.component[s]
                && forest.calls_out(c)
                && batch.start_ns[c] > from
        })
        .peekable();
    let (mut covered, mut reached) = (0, from);
    loop {
        // Both run by start, so that the union is found in one walk.
        let next = match (own.peek(), beside.peek()) {
            (Some(&a), Some(&b)) if batch.start_ns[b] < batch.start_ns[a] => beside.next(),
            (None, _) => beside.next(),
            _ => own.next(),
        };
        let Some(c) = next else { break };
        let (a, b) = (batch.start_ns[c].max(reached), batch.end(c).min(to));
        if b > a {
            covered += b - a;
            reached = b;
        }
    }
    (to - from) - covered
}
