//! Regression on sampled coalitions: truth, coverage by replication, when it is chosen, bad input.

mod shapley_common;

use bayesrca_core::Error;
use bayesrca_core::game::{Game, Walk};
use bayesrca_core::shapley::games::{BatchGame, CallTreeGame, InteractionGame, NoisyOrGame, Span};
use bayesrca_core::shapley::{
    Control, Estimate, Method, Options, Rule, Tolerance, estimate_shapley, unwatched,
};
use shapley_common::{Random, assert_close, bits, exact, in_pool};

fn game(seed: u64, n: usize) -> InteractionGame {
    let mut r = Random(seed);
    let single = (0..n).map(|_| r.between(-1.0, 3.0)).collect();
    let triples = (0..3 * n)
        .map(|_| {
            let i = r.below(n - 2);
            (i, i + 1, i + 2 + r.below(n - i - 2), r.normal())
        })
        .collect();
    InteractionGame::new(0.7, single, vec![0.0; n * n], triples).unwrap()
}

fn by_leverage<G: Game>(game: &G, seed: u64, budget: u64) -> Result<Estimate, Error> {
    let options = Options {
        budget: Some(budget),
        method: Method::Leverage,
        ..Options::new(seed)
    };
    estimate_shapley(game, &options, &mut unwatched)
}

/// A game as a function of the caller's, where evaluations are what counts.
fn batch<G: Game + Send + 'static>(game: G) -> BatchGame {
    let n = game.n_players();
    let evaluate = move |rows: &[u8], n_rows: usize| {
        let mut out = vec![0.0; n_rows];
        game.values_of(rows, &mut out);
        Some(out)
    };
    BatchGame::new(n, Box::new(evaluate)).unwrap()
}

#[test]
fn regressions_are_close_efficient_and_counted() {
    for n in [6, 9, 25, 70] {
        let game = game(n as u64, n);
        let truth = exact(&game).values;
        let budget = if n == 6 { 60 } else { 40 * n as u64 };
        let e = by_leverage(&game, 3, budget).unwrap();
        assert_eq!(
            (e.rule, e.exact, e.converged),
            (Rule::LeverageJackknife, false, true)
        );
        assert_eq!((e.n_evaluations, e.n_units), (budget, budget / 2));
        assert!(e.efficiency_gap().abs() < 1e-10 * n as f64);
        for i in 0..n {
            let error = (e.values[i] - truth[i]).abs();
            assert!(error <= 8.0 * e.std_err[i] + 1e-9, "{n} {i}: {error} {e:?}");
        }
        let again = in_pool(3, || by_leverage(&game, 3, budget).unwrap());
        assert_eq!(bits(&again.values), bits(&e.values));
        assert_eq!(again, e);
    }
}

#[test]
fn intervals_cover_the_truth_as_often_as_they_say() {
    let game = game(5, 10);
    let truth = exact(&game).values;
    // From the least budget to three quarters of all coalitions, where no correction for the finite number is made.
    for (budget, most) in [(80, 0.985), (200, 0.985), (768, 1.0)] {
        let runs = 250;
        let covered: usize = (0..runs)
            .map(|seed| {
                let e = by_leverage(&game, seed, budget).unwrap();
                let inside = |&i: &usize| (e.values[i] - truth[i]).abs() <= e.half_width[i];
                (0..10).filter(inside).count()
            })
            .sum();
        let share = covered as f64 / (10 * runs) as f64;
        assert!((0.93..=most).contains(&share), "{budget}: {share}");
    }
}

#[test]
fn players_that_only_add_are_found_exactly() {
    let single: Vec<f64> = (0..30).map(f64::from).collect();
    let game = InteractionGame::new(1.0, single.clone(), vec![0.0; 900], vec![]).unwrap();
    let e = by_leverage(&game, 1, 240).unwrap();
    // Player 0 adds nothing and is not even sampled.
    assert_close(&e.values, &single, 1e-9);
    assert_eq!(e.values[0].to_bits(), 0);
    assert!(e.half_width.iter().all(|&h| h < 1e-5));
}

#[test]
fn all_coalitions_are_enumerated() {
    for (n, budget) in [(1, 1), (2, 4), (5, 32), (8, 300)] {
        let tree: Vec<Span> = (0..n)
            .map(|i: usize| Span {
                parent: i.checked_sub(1),
                stage: 0,
                baseline: 1.0,
                observed: 3.0,
            })
            .collect();
        let e = by_leverage(&CallTreeGame::new(&tree).unwrap(), 1, budget).unwrap();
        assert_eq!((e.rule, e.exact), (Rule::Enumeration, true));
    }
}

#[test]
fn bad_requests_are_named() {
    let game = game(7, 25);
    for budget in [199, 1 << 24] {
        let Err(Error::InvalidEvidence { field, message }) = by_leverage(&game, 1, budget) else {
            panic!("{budget} is out of range")
        };
        assert!(
            field == "budget" && message.contains("at least 200"),
            "{message}"
        );
    }
    let tolerance = Options {
        tolerance: Some(Tolerance::Relative(0.1)),
        method: Method::Leverage,
        ..Options::new(1)
    };
    let result = estimate_shapley(&game, &tolerance, &mut unwatched);
    assert!(matches!(result, Err(Error::InvalidEvidence { field, .. }) if field == "tolerance"));
    let options = Options {
        method: Method::Leverage,
        ..Options::new(1)
    };
    let cancelled = estimate_shapley(&game, &options, &mut |_| Control::Cancel);
    assert_eq!(cancelled.unwrap_err(), Error::Cancelled);
    let early = estimate_shapley(&game, &options, &mut |_| Control::Finish).unwrap();
    assert_eq!((early.n_evaluations, early.converged), (8192, false));
    assert!(early.efficiency_gap().abs() < 1e-9);
}

#[test]
fn the_better_method_is_chosen_where_evaluations_count() {
    let of = |game: BatchGame, budget| {
        let options = Options {
            budget,
            ..Options::new(2)
        };
        let e = estimate_shapley(&game, &options, &mut unwatched).unwrap();
        assert!(budget.is_none_or(|b| e.n_evaluations <= b));
        (e.rule, e.n_evaluations)
    };
    assert_eq!(of(batch(game(1, 12)), None).0, Rule::Enumeration);
    let (rule, n) = of(batch(game(1, 16)), Some(4000));
    assert_eq!((rule, n), (Rule::LeverageJackknife, 4000));
    // Too little to try both.
    assert_eq!(
        of(batch(game(1, 30)), Some(500 * 30)).0,
        Rule::ScrambleInterval
    );
    // Position matters most in a noisy-or, the players' own effects in the other game.
    let (rule, n) = of(batch(game(1, 30)), None);
    assert_eq!(rule, Rule::LeverageJackknife);
    assert!(n > 1000 * 30);
    let chain: Vec<_> = (0..39).map(|i| (i, 39, 0.9)).collect();
    let noisy_or = NoisyOrGame::new(40, &chain, 39, &[0.001; 40], &[0.9; 40]).unwrap();
    assert_eq!(of(batch(noisy_or.clone()), None).0, Rule::ScrambleInterval);
    // A native game's walks are cheaper than its coalitions.
    let native = estimate_shapley(&noisy_or, &Options::new(1), &mut unwatched).unwrap();
    assert_eq!(native.rule, Rule::ScrambleInterval);
    let mut walk = noisy_or.walk();
    assert!(walk.start() < walk.add(0));
    let mut polls = 0;
    let early = estimate_shapley(&batch(game(1, 30)), &Options::new(2), &mut |p| {
        assert_eq!(p.planned, Some(1024 * 30));
        polls += 1;
        if polls > 1 {
            Control::Finish
        } else {
            Control::Continue
        }
    });
    assert!(!early.unwrap().converged);
}
