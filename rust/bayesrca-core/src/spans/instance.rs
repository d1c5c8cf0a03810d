//! What happened within one span.

use super::batch::SpanBatch;
use super::forest::Forest;
use super::keys::{EventKind, MAX_ANCESTORS, PathKey};

/// Something that happened within a span, as often as it did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Happening {
    pub(super) kind: EventKind,
    pub(super) id: i32,
    /// When it first did.
    pub(super) time_ns: i64,
    pub(super) times: u32,
    /// How many other things had happened in the span before.
    pub(super) rank: u32,
}

/// Log lines of each span, by time.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    first: Vec<u32>,
    rows: Vec<u32>,
}

impl Lines {
    pub(super) fn new(batch: &SpanBatch<'_>) -> Self {
        let n = batch.len();
        let span = |row: usize| usize::try_from(batch.log_span[row]).ok().filter(|&s| s < n);
        let mut first = vec![0_u32; n + 1];
        for s in (0..batch.log_span.len()).filter_map(span) {
            first[s + 1] += 1;
        }
        for s in 0..n {
            first[s + 1] += first[s];
        }
        let mut next = first.clone();
        let mut rows = vec![0_u32; first[n] as usize];
        for row in 0..batch.log_span.len() {
            if let Some(s) = span(row) {
                rows[next[s] as usize] = row as u32;
                next[s] += 1;
            }
        }
        for s in 0..n {
            rows[first[s] as usize..first[s + 1] as usize]
                .sort_unstable_by_key(|&row| (batch.log_time_ns[row as usize], row));
        }
        Self { first, rows }
    }

    fn of(&self, span: usize) -> &[u32] {
        &self.rows[self.first[span] as usize..self.first[span + 1] as usize]
    }
}

/// The span's context within its component.
pub(super) fn path_of(batch: &SpanBatch<'_>, forest: &Forest, span: usize) -> PathKey {
    let component = batch.component[span];
    let mut operations = [-1; MAX_ANCESTORS + 1];
    operations[0] = batch.operation[span];
    let mut at = span;
    for slot in &mut operations[1..] {
        match forest.parent(at) {
            Some(p) if batch.component[p] == component => {
                *slot = batch.operation[p];
                at = p;
            }
            _ => break,
        }
    }
    PathKey {
        component,
        operations,
    }
}

/// Room for what happens in a span, kept from span to span.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    raw: Vec<(i64, EventKind, i32)>,
    out: Vec<Happening>,
}

impl Scratch {
    /// What happened in the span, each thing once, by sort and id; log lines only where they are covered.
    pub(super) fn collect(
        &mut self,
        batch: &SpanBatch<'_>,
        forest: &Forest,
        lines: &Lines,
        span: usize,
    ) -> &[Happening] {
        self.raw.clear();
        self.out.clear();
        for &c in forest.children(span) {
            let c = c as usize;
            let (kind, id) = if batch.component[c] == batch.component[span] {
                (EventKind::Operation, batch.operation[c])
            } else {
                (EventKind::Remote, 0)
            };
            self.raw.push((batch.start_ns[c], kind, id));
        }
        if batch.covered[span] {
            for &row in lines.of(span) {
                let row = row as usize;
                self.raw
                    .push((batch.log_time_ns[row], EventKind::Log, batch.log_key[row]));
            }
        }
        if batch.failed(span) {
            self.raw.push((batch.end(span), EventKind::Failure, 0));
        }
        self.raw
            .sort_unstable_by_key(|&(time, kind, id)| (kind, id, time));
        for &(time_ns, kind, id) in &self.raw {
            match self.out.last_mut() {
                Some(last) if (last.kind, last.id) == (kind, id) => last.times += 1,
                _ => self.out.push(Happening {
                    kind,
                    id,
                    time_ns,
                    times: 1,
                    rank: 0,
                }),
            }
        }
        self.out.sort_by_key(|h| h.time_ns);
        for (rank, happening) in self.out.iter_mut().enumerate() {
            happening.rank = rank as u32;
        }
        self.out.sort_by_key(|h| (h.kind, h.id));
        &self.out
    }

    /// The call, by its row among the children, after which nothing else happened in the span: the last child by start,
    /// and with `lines` no log line later than that.
    pub(super) fn last_child(
        batch: &SpanBatch<'_>,
        forest: &Forest,
        lines: Option<&Lines>,
        span: usize,
    ) -> Option<usize> {
        let last = *forest.children(span).last()? as usize;
        let spoken = lines.and_then(|lines| lines.of(span).last());
        match spoken {
            Some(&row) if batch.log_time_ns[row as usize] > batch.start_ns[last] => None,
            _ => Some(last),
        }
    }
}
