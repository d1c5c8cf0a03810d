//! However dear an evaluation is, whoever watches is asked often.

use std::time::{Duration, Instant};

use bayesrca_core::game::{Game, Walk};
use bayesrca_core::shapley::{Control, Method, Options, Tolerance, estimate_shapley};

/// A game of 10 players whose evaluations take a while.
struct Slow(Duration);

impl Game for Slow {
    type Walk<'a> = SlowWalk;

    fn n_players(&self) -> usize {
        10
    }

    fn walk(&self) -> SlowWalk {
        SlowWalk(self.0, 0.0)
    }
}

#[derive(Clone)]
struct SlowWalk(Duration, f64);

impl Walk for SlowWalk {
    fn start(&mut self) -> f64 {
        self.1 = 0.0;
        0.0
    }

    fn add(&mut self, player: usize) -> f64 {
        let begun = Instant::now();
        while begun.elapsed() < self.0 {
            std::hint::spin_loop();
        }
        self.1 = 0.5 * self.1 + player as f64;
        self.1
    }
}

#[test]
fn dear_evaluations_do_not_keep_the_monitor_waiting() {
    let options = Options {
        tolerance: Some(Tolerance::Absolute(1e-12)),
        budget: Some(20 * 256),
        method: Method::Sampled,
        ..Options::new(3)
    };
    let watch = |game: &Slow| {
        let (mut gap, mut before) = (0, 0);
        let estimate = estimate_shapley(game, &options, &mut |now| {
            gap = now.n_evaluations - before;
            before = now.n_evaluations;
            Control::Continue
        });
        (gap, estimate.unwrap())
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let (gap, slow) = pool
        .unwrap()
        .install(|| watch(&Slow(Duration::from_micros(100))));
    // A look is 32 pairs away; 8 of them take 16 ms and more, so that blocks shrink to that.
    assert_eq!(gap, 8 * 20);
    let (_, quick) = watch(&Slow(Duration::ZERO));
    assert_eq!(
        slow, quick,
        "the same bits, however the clock cuts the work"
    );
}

#[test]
fn an_estimate_on_a_budget_is_watched_in_parts() {
    let calls = |budget| {
        let options = Options {
            budget,
            method: Method::Sampled,
            ..Options::new(3)
        };
        let mut calls = 0;
        let count = &mut |_: &_| {
            calls += 1;
            Control::Continue
        };
        estimate_shapley(&Slow(Duration::ZERO), &options, count).unwrap();
        calls
    };
    // 32, 8 and 1,024 points of each scramble.
    assert_eq!(calls(None), 4);
    assert_eq!(calls(Some(256 * 10)), 2);
    assert_eq!(calls(Some(32 * 1024 * 10)), 64);
}
