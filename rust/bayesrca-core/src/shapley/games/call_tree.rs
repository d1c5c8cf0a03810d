//! Latency blame on a call tree: sequential stages of parallel calls.

use super::dag::check_finite;
use crate::error::{Error, Result};
use crate::game::{Coalition, Game, Walk};

/// One span of a [`CallTreeGame`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// The calling span; `None` for the root.
    pub parent: Option<usize>,
    /// Which of its parent's sequential stages the call belongs to; calls of one stage run in parallel.
    pub stage: usize,
    /// Usual time of its own, without its calls.
    pub baseline: f64,
    /// Time of its own in the incident.
    pub observed: f64,
}

/// The players are spans; a coalition's spans take their observed own time, the others their usual one. `v(S)` is the
/// latency of the root: `latency = own + sum over stages of the longest call`, the length of the critical path.
///
/// Spans outside the root's tree do not exist here: every span must reach the root. A call that is shorter than another
/// one of its stage in every coalition is a null player, with all it calls; so is a span that takes its usual time.
#[derive(Debug, Clone)]
pub struct CallTreeGame {
    root: usize,
    baseline: Vec<f64>,
    observed: Vec<f64>,
    /// For each span, its parent and the stage, numbered through; `None` where its latency never matters.
    above: Vec<Option<(usize, usize)>>,
    /// First stage of each span; one more entry than spans.
    stages: Vec<usize>,
    /// First call of each stage in `calls`; one more entry than stages.
    first_call: Vec<usize>,
    /// Calls, those that matter before the others of their stage.
    calls: Vec<usize>,
    /// End of the calls of each stage that matter.
    last_call: Vec<usize>,
    /// Spans in an order in which callers come before their calls.
    order: Vec<usize>,
    /// Latencies and longest calls in the empty coalition.
    latency: Vec<f64>,
    longest: Vec<f64>,
}

impl CallTreeGame {
    /// The game of a tree of spans, in any order.
    ///
    /// # Errors
    /// `InvalidEvidence` for no spans, times that are negative or not finite, none or several roots, an unknown parent
    /// or a cycle.
    pub fn new(spans: &[Span]) -> Result<Self> {
        let n = spans.len();
        if n == 0 {
            return Err(Error::evidence("game", "has no players"));
        }
        let baseline: Vec<f64> = spans.iter().map(|s| s.baseline).collect();
        let observed: Vec<f64> = spans.iter().map(|s| s.observed).collect();
        for (field, times) in [("baseline", &baseline), ("observed", &observed)] {
            check_finite(field, times, n)?;
            if let Some(i) = times.iter().position(|t| *t < 0.0) {
                return Err(Error::evidence(field, format!("entry {i} is negative")));
            }
        }
        let roots: Vec<usize> = (0..n).filter(|&i| spans[i].parent.is_none()).collect();
        if roots.len() != 1 {
            return Err(Error::evidence(
                "parent",
                format!("{} spans have none, needs 1", roots.len()),
            ));
        }
        if let Some(i) = spans.iter().position(|s| s.parent.is_some_and(|p| p >= n)) {
            return Err(Error::evidence(
                "parent",
                format!("entry {i} is not among {n} spans"),
            ));
        }
        let mut calls: Vec<usize> = (0..n).filter(|&i| spans[i].parent.is_some()).collect();
        calls.sort_by_key(|&i| (spans[i].parent, spans[i].stage));
        let mut game = Self {
            root: roots[0],
            baseline,
            observed,
            above: vec![None; n],
            stages: vec![0; n + 1],
            first_call: Vec::new(),
            calls,
            last_call: Vec::new(),
            order: vec![roots[0]],
            latency: vec![0.0; n],
            longest: Vec::new(),
        };
        let mut current = None;
        for (k, &call) in game.calls.iter().enumerate() {
            let Span {
                parent: Some(parent),
                stage,
                ..
            } = spans[call]
            else {
                continue;
            };
            if current != Some((parent, stage)) {
                current = Some((parent, stage));
                game.first_call.push(k);
                game.stages[parent + 1] += 1;
            }
            game.above[call] = Some((parent, game.first_call.len() - 1));
        }
        game.first_call.push(n - 1);
        for i in 0..n {
            game.stages[i + 1] += game.stages[i];
        }
        game.sort_spans()?;
        game.last_call = game.first_call[1..].to_vec();
        (game.latency, game.longest) = game.latencies(&game.baseline);
        game.drop_short_calls();
        Ok(game)
    }

    fn sort_spans(&mut self) -> Result<()> {
        let mut next = 0;
        while next < self.order.len() {
            let i = self.order[next];
            next += 1;
            self.order.extend(
                &self.calls[self.first_call[self.stages[i]]..self.first_call[self.stages[i + 1]]],
            );
        }
        if self.order.len() != self.calls.len() + 1 {
            return Err(Error::evidence(
                "parent",
                "some spans call each other in a cycle",
            ));
        }
        Ok(())
    }

    /// Latency of each span and longest call of each stage, given the spans' own times.
    fn latencies(&self, own: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let mut latency = vec![0.0; own.len()];
        let mut longest = vec![0.0; self.last_call.len()];
        for &i in self.order.iter().rev() {
            for stage in self.stages[i]..self.stages[i + 1] {
                longest[stage] = self.longest_call(stage, &latency);
            }
            latency[i] = self.latency_of(i, own[i], &longest);
        }
        (latency, longest)
    }

    /// Cut off the calls that are never the longest of their stage. No latency shrinks when a time grows, not even by
    /// rounding, so that a call's bounds are those of all spans fast and of all spans slow.
    fn drop_short_calls(&mut self) {
        let own = |bound: fn(f64, f64) -> f64| {
            let times = self.baseline.iter().zip(&self.observed);
            times.map(|(&b, &o)| bound(b, o)).collect::<Vec<f64>>()
        };
        let floor = self.latencies(&own(f64::min)).1;
        let most = self.latencies(&own(f64::max)).0;
        for stage in 0..floor.len() {
            let calls = &mut self.calls[self.first_call[stage]..self.last_call[stage]];
            calls.sort_by_key(|&call| most[call] < floor[stage]);
            let short = calls.iter().filter(|&&call| most[call] < floor[stage]);
            self.last_call[stage] -= short.count();
        }
        for k in 1..self.order.len() {
            let i = self.order[k];
            let matters = |&(parent, stage): &(usize, usize)| {
                most[i] >= floor[stage] && (parent == self.root || self.above[parent].is_some())
            };
            self.above[i] = self.above[i].filter(matters);
        }
    }

    fn longest_call(&self, stage: usize, latency: &[f64]) -> f64 {
        let calls = &self.calls[self.first_call[stage]..self.last_call[stage]];
        calls.iter().map(|&i| latency[i]).fold(0.0, f64::max)
    }

    fn latency_of(&self, i: usize, own: f64, longest: &[f64]) -> f64 {
        longest[self.stages[i]..self.stages[i + 1]]
            .iter()
            .fold(own, |sum, l| sum + l)
    }
}

impl Game for CallTreeGame {
    type Walk<'a> = CallTreeWalk<'a>;

    fn n_players(&self) -> usize {
        self.baseline.len()
    }

    fn walk(&self) -> CallTreeWalk<'_> {
        CallTreeWalk {
            game: self,
            own: self.baseline.clone(),
            latency: self.latency.clone(),
            longest: self.longest.clone(),
        }
    }

    /// No latency shrinks when a time grows: the extremes are those of all that got faster and of all that got slower.
    fn range(&self) -> Option<(f64, f64)> {
        let n = self.baseline.len();
        let those = |slower: bool| {
            let changed = |&i: &usize| (self.observed[i] > self.baseline[i]) == slower;
            self.value(&Coalition::of(n, (0..n).filter(changed)))
        };
        Some((those(false), those(true)))
    }

    #[expect(
        clippy::float_cmp,
        reason = "only a time that did not change at all makes a null player"
    )]
    fn active_players(&self) -> Vec<u32> {
        (0..self.baseline.len())
            .filter(|&i| i == self.root || self.above[i].is_some())
            .filter(|&i| self.observed[i] != self.baseline[i])
            .map(|i| i as u32)
            .collect()
    }
}

/// The growing coalition of a [`CallTreeGame`]: a joining span changes its callers, up to the first stage whose longest
/// call stays the same.
#[derive(Debug, Clone)]
pub struct CallTreeWalk<'a> {
    game: &'a CallTreeGame,
    own: Vec<f64>,
    latency: Vec<f64>,
    longest: Vec<f64>,
}

impl Walk for CallTreeWalk<'_> {
    fn start(&mut self) -> f64 {
        self.own.copy_from_slice(&self.game.baseline);
        self.latency.copy_from_slice(&self.game.latency);
        self.longest.copy_from_slice(&self.game.longest);
        self.latency[self.game.root]
    }

    #[expect(
        clippy::float_cmp,
        reason = "a maximum is one of its arguments, bit by bit"
    )]
    fn add(&mut self, player: usize) -> f64 {
        self.own[player] = self.game.observed[player];
        let mut i = player;
        loop {
            let before = self.latency[i];
            let after = self.game.latency_of(i, self.own[i], &self.longest);
            self.latency[i] = after;
            let Some((parent, stage)) = self.game.above[i] else {
                break;
            };
            let longest = self.longest[stage];
            let now = if after >= longest {
                after
            } else if before == longest {
                self.game.longest_call(stage, &self.latency)
            } else {
                longest
            };
            if now == longest {
                break;
            }
            self.longest[stage] = now;
            i = parent;
        }
        self.latency[self.game.root]
    }

    fn copy_from(&mut self, other: &Self) {
        self.own.copy_from_slice(&other.own);
        self.latency.copy_from_slice(&other.latency);
        self.longest.copy_from_slice(&other.longest);
    }
}
