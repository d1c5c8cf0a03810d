//! The estimators against exact values: truth per player, intervals, stopping, determinism, bad input.

mod shapley_common;

use bayesrca_core::Error;
use bayesrca_core::game::Game;
use bayesrca_core::shapley::games::InteractionGame;
use bayesrca_core::shapley::{
    Control, MAX_EXACT, Options, Rule, Tolerance, compute_interactions, compute_shapley,
    estimate_shapley, shapley_of_table, unwatched,
};
use shapley_common::{
    Random, assert_close, bits, by_definition, check_game, exact, in_pool, sampled,
};

fn interaction_game(seed: u64, n: usize, triples: usize) -> InteractionGame {
    let mut r = Random(seed);
    let single = (0..n).map(|_| r.between(-1.0, 3.0)).collect();
    let mut pair = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..i {
            pair[i * n + j] = r.normal() / (n as f64).sqrt();
            pair[j * n + i] = pair[i * n + j];
        }
    }
    let triples = (0..triples)
        .map(|_| {
            let i = r.below(n - 2);
            (i, i + 1, i + 2 + r.below(n - i - 2), 0.5 * r.normal())
        })
        .collect();
    InteractionGame::new(0.7, single, pair, triples).unwrap()
}

/// The same game without its formula, so that enumeration and sampling have to work.
struct Opaque(InteractionGame);

impl Game for Opaque {
    type Walk<'a> = <InteractionGame as Game>::Walk<'a>;
    fn n_players(&self) -> usize {
        self.0.n_players()
    }
    fn walk(&self) -> Self::Walk<'_> {
        self.0.walk()
    }
}

#[test]
fn enumeration_matches_the_definition_and_the_formula() {
    for n in [1, 2, 3, 10, 12] {
        let game = Opaque(interaction_game(n as u64, n, if n > 2 { 2 * n } else { 0 }));
        check_game(&game, 1e-12);
        assert_close(&exact(&game).values, &exact(&game.0).values, 1e-12);
    }
    let game = Opaque(interaction_game(20, 20, 40));
    let estimate = exact(&game);
    assert_eq!(
        (estimate.rule, estimate.n_evaluations),
        (Rule::Enumeration, 1 << 20)
    );
    assert_close(&estimate.values, &exact(&game.0).values, 1e-11);
}

#[test]
fn interactions_match_the_formula() {
    for n in [1, 2, 3, 9, 12] {
        let game = Opaque(interaction_game(
            90 + n as u64,
            n,
            if n > 2 { n } else { 0 },
        ));
        let by_enumeration = compute_interactions(&game, &mut unwatched).unwrap();
        let by_formula = compute_interactions(&game.0, &mut unwatched).unwrap();
        assert_close(&by_enumeration, &by_formula, 1e-11);
    }
}

#[test]
fn one_antithetic_pair_is_exact_on_pairwise_games() {
    let game = Opaque(interaction_game(3, 40, 0));
    let estimate = sampled(
        &game,
        Options {
            budget: Some(80),
            ..Options::new(1)
        },
    );
    assert_eq!(
        (estimate.rule, estimate.n_units, estimate.n_evaluations),
        (Rule::PairInterval, 1, 80)
    );
    assert_close(&estimate.values, &exact(&game.0).values, 1e-12);
    assert!(estimate.std_err.iter().all(|s| s.is_infinite()));
}

#[test]
fn methods_are_chosen_and_named() {
    let game = interaction_game(1, 30, 60);
    let of =
        |game: &InteractionGame, options| estimate_shapley(game, &options, &mut unwatched).unwrap();
    let opaque = |game: InteractionGame, options| {
        estimate_shapley(&Opaque(game), &options, &mut unwatched).unwrap()
    };
    let new = Options::new(1);
    assert_eq!(of(&game, new).rule, Rule::ClosedForm);
    assert_eq!(
        opaque(interaction_game(1, 12, 3), new).rule,
        Rule::Enumeration
    );
    let default = opaque(game.clone(), new);
    assert_eq!(
        (default.rule, default.n_evaluations),
        (Rule::ScrambleInterval, 16 * 64 * 30)
    );
    assert_eq!(
        (default.n_units, default.converged, default.exact),
        (16, true, false)
    );
    let budget = |b| Options {
        budget: Some(b),
        ..new
    };
    assert_eq!(opaque(game.clone(), budget(30)).rule, Rule::SingleWalk);
    assert_eq!(opaque(game.clone(), budget(59)).n_evaluations, 30);
    assert_eq!(
        opaque(game.clone(), budget(31 * 30)).rule,
        Rule::PairInterval
    );
    assert_eq!(opaque(game, budget(32 * 30)).rule, Rule::ScrambleInterval);
    let large = opaque(interaction_game(2, 300, 9), new);
    assert_eq!(large.rule, Rule::ManyPlayersPairInterval);
    assert_eq!(large.n_evaluations, 16 * 64 * 300);
}

#[test]
fn a_tolerance_is_met_or_the_budget_says_so() {
    let game = Opaque(interaction_game(8, 20, 40));
    let truth = exact(&game).values;
    let options = Options {
        tolerance: Some(Tolerance::Relative(0.05)),
        ..Options::new(4)
    };
    let estimate = sampled(&game, options);
    let rms = (truth.iter().map(|v| v * v).sum::<f64>() / 20.0).sqrt();
    assert_eq!(estimate.rule, Rule::PairSequence);
    assert!(estimate.converged && estimate.half_width.iter().all(|&h| h <= 0.0505 * rms));
    for i in 0..20 {
        assert!((estimate.values[i] - truth[i]).abs() <= estimate.half_width[i]);
    }
    let limited = sampled(
        &game,
        Options {
            budget: Some(64 * 40 + 39),
            ..options
        },
    );
    assert_eq!(
        (limited.rule, limited.converged, limited.n_evaluations),
        (Rule::PairSequence, false, 64 * 40)
    );
    let absolute = Options {
        tolerance: Some(Tolerance::Absolute(100.0)),
        ..options
    };
    assert_eq!(sampled(&game, absolute).n_units, 64);
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let game = Opaque(interaction_game(6, 18, 36));
    let run = |threads| {
        in_pool(threads, || {
            let tolerance = Options {
                tolerance: Some(Tolerance::Relative(0.1)),
                ..Options::new(9)
            };
            let estimates = [
                exact(&game),
                sampled(&game, Options::new(9)),
                sampled(&game, tolerance),
            ];
            estimates.map(|e| {
                (
                    bits(&e.values),
                    bits(&e.std_err),
                    bits(&e.half_width),
                    e.n_evaluations,
                )
            })
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
    assert_ne!(
        sampled(&game, Options::new(1)).values,
        sampled(&game, Options::new(2)).values
    );
}

#[test]
fn intervals_cover_the_truth_as_often_as_they_say() {
    let game = Opaque(interaction_game(12, 8, 16));
    let truth = by_definition(&game);
    let (mut all, mut players) = (0, 0);
    let runs: usize = 100;
    for seed in 0..runs as u64 {
        let options = Options {
            tolerance: Some(Tolerance::Relative(0.03)),
            ..Options::new(seed)
        };
        let e = sampled(&game, options);
        all += usize::from((0..8).all(|i| (e.values[i] - truth[i]).abs() <= e.half_width[i]));
        let e = sampled(
            &game,
            Options {
                budget: Some(16 * 16 * 8),
                ..Options::new(seed)
            },
        );
        players += (0..8)
            .filter(|&i| (e.values[i] - truth[i]).abs() <= e.half_width[i])
            .count();
    }
    // All players at all times: at least 95%; 90 of 100 would have a chance of 1 in 35 at exactly 95%.
    assert!(all >= 95, "{all} of {runs}");
    // Player by player at 95%: 760 of 800 expected; players of one run depend on each other.
    assert!((720..=792).contains(&players), "{players} of {}", 8 * runs);
}

#[test]
fn sobol_orders_beat_random_pairs() {
    let game = Opaque(interaction_game(31, 12, 24));
    let truth = exact(&game).values;
    let error = |options| -> f64 {
        (0..8)
            .map(|seed| {
                let e = sampled(&game, Options { seed, ..options });
                (0..12)
                    .map(|i| (e.values[i] - truth[i]).powi(2))
                    .sum::<f64>()
            })
            .sum()
    };
    let budget = 16 * 64 * 12;
    let sobol = error(Options {
        budget: Some(budget),
        ..Options::new(0)
    });
    // A tolerance out of reach makes the same budget go into independent pairs.
    let tolerance = Some(Tolerance::Absolute(1e-300));
    let pairs = error(Options {
        budget: Some(budget),
        tolerance,
        ..Options::new(0)
    });
    assert!(sobol < pairs, "{sobol} against {pairs}");
}

#[test]
fn a_monitor_stops_or_finishes() {
    let game = Opaque(interaction_game(8, 18, 36));
    let long = Options {
        budget: Some(16 * 128 * 18),
        ..Options::new(1)
    };
    let precise = Options {
        tolerance: Some(Tolerance::Absolute(1e-9)),
        ..Options::new(1)
    };
    for options in [long, precise] {
        let cancelled = estimate_shapley(&game, &options, &mut |_| Control::Cancel);
        assert_eq!(cancelled.unwrap_err(), Error::Cancelled);
        let mut seen = Vec::new();
        let early = estimate_shapley(&game, &options, &mut |p| {
            seen.push(*p);
            if seen.len() == 2 {
                Control::Finish
            } else {
                Control::Continue
            }
        })
        .unwrap();
        assert!(!early.converged && early.std_err.iter().all(|s| s.is_finite()));
        assert!(
            seen[1].n_evaluations > seen[0].n_evaluations
                && seen[1].half_width < seen[0].half_width * 1.5
        );
        assert_eq!(early.n_evaluations, seen[1].n_evaluations);
    }
    let mut calls = 0;
    let stopped = compute_shapley(&game, &mut |_| {
        calls += 1;
        Control::Cancel
    });
    assert_eq!((stopped.unwrap_err(), calls), (Error::Cancelled, 1));
}

#[test]
fn a_budget_without_end_is_watched_by_the_monitor() {
    let game = Opaque(interaction_game(8, 20, 36));
    for budget in [u64::MAX, 1 << 40] {
        let options = Options {
            budget: Some(budget),
            method: bayesrca_core::shapley::Method::Sampled,
            ..Options::new(1)
        };
        let e = estimate_shapley(&game, &options, &mut |_| Control::Finish).unwrap();
        assert_eq!(
            (e.rule, e.n_units, e.converged),
            (Rule::PairInterval, 64, false)
        );
    }
}

#[test]
fn bad_input_is_named() {
    let field = |result: Result<_, Error>| match result {
        Err(Error::InvalidEvidence { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    let game = Opaque(interaction_game(8, MAX_EXACT + 1, 9));
    assert_eq!(field(compute_shapley(&game, &mut unwatched)), "game");
    let estimate = |options: Options| estimate_shapley(&game, &options, &mut unwatched);
    assert_eq!(
        field(estimate(Options {
            budget: Some(22),
            ..Options::new(1)
        })),
        "budget"
    );
    for confidence in [0.0, 1.0, f64::NAN] {
        assert_eq!(
            field(estimate(Options {
                confidence,
                ..Options::new(1)
            })),
            "confidence"
        );
    }
    for t in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let tolerance = Some(Tolerance::Relative(t));
        assert_eq!(
            field(estimate(Options {
                tolerance,
                ..Options::new(1)
            })),
            "tolerance"
        );
    }
    assert_eq!(field(shapley_of_table(0, &[1.0])), "game");
    assert_eq!(field(shapley_of_table(2, &[0.0; 3])), "table");
    assert_eq!(field(shapley_of_table(1, &[0.0, f64::NAN])), "table");
    assert_close(
        &shapley_of_table(2, &[1.0, 2.0, 4.0, 7.0]).unwrap().values,
        &[2.0, 4.0],
        1e-15,
    );
    assert!(InteractionGame::new(0.0, vec![], vec![], vec![]).is_err());
    assert!(InteractionGame::new(0.0, vec![f64::INFINITY], vec![0.0], vec![]).is_err());
    assert!(InteractionGame::new(0.0, vec![0.0; 2], vec![0.0, 1.0, 2.0, 0.0], vec![]).is_err());
    assert!(InteractionGame::new(0.0, vec![0.0; 2], vec![0.0; 4], vec![(0, 1, 1, 1.0)]).is_err());
}

/// A game whose value breaks down when everybody has joined.
#[derive(Clone)]
struct Broken(usize);

impl Game for Broken {
    type Walk<'a> = Broken;
    fn n_players(&self) -> usize {
        5
    }
    fn walk(&self) -> Broken {
        Broken(0)
    }
}

impl bayesrca_core::game::Walk for Broken {
    fn start(&mut self) -> f64 {
        self.0 = 0;
        0.0
    }
    fn add(&mut self, _: usize) -> f64 {
        self.0 += 1;
        if self.0 == 3 { f64::NAN } else { 1.0 }
    }
}

#[test]
fn a_value_that_is_not_finite_is_an_error() {
    assert!(matches!(
        compute_shapley(&Broken(0), &mut unwatched),
        Err(Error::Numerical(_))
    ));
    for budget in [5, 50, 500] {
        let options = Options {
            budget: Some(budget),
            method: bayesrca_core::shapley::Method::Sampled,
            ..Options::new(1)
        };
        assert!(matches!(
            estimate_shapley(&Broken(0), &options, &mut unwatched),
            Err(Error::Numerical(_))
        ));
    }
}
