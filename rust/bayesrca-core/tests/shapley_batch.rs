//! Games valued many coalitions at a time: the same values, few calls, clean failures.

mod shapley_common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bayesrca_core::Error;
use bayesrca_core::game::{Coalition, Game, Walk};
use bayesrca_core::shapley::games::{BatchGame, InteractionGame};
use bayesrca_core::shapley::{
    Method, Options, Tolerance, compute_shapley, estimate_shapley, unwatched,
};
use shapley_common::{Random, assert_close, bits, check_game, exact, in_pool, sampled};

fn pairwise(seed: u64, n: usize) -> InteractionGame {
    let mut r = Random(seed);
    let single = (0..n).map(|_| r.normal()).collect();
    let triples = (0..n.saturating_sub(2))
        .map(|i| (i, i + 1, i + 2, r.normal()))
        .collect();
    InteractionGame::new(0.5, single, vec![0.0; n * n], triples).unwrap()
}

type Calls = Arc<Mutex<Vec<usize>>>;

/// The batch version of a game, and the number of rows of each call.
fn batched(game: InteractionGame) -> (BatchGame, Calls) {
    let calls = Calls::default();
    let seen = calls.clone();
    let n = game.n_players();
    let evaluate = move |rows: &[u8], n_rows: usize| {
        assert_eq!(rows.len(), n_rows * game.n_players());
        seen.lock().unwrap().push(n_rows);
        let mut out = vec![0.0; n_rows];
        game.values_of(rows, &mut out);
        Some(out)
    };
    (BatchGame::new(n, Box::new(evaluate)).unwrap(), calls)
}

#[test]
fn matrices_of_coalitions_have_the_values_of_their_rows() {
    let game = pairwise(3, 7);
    let (batch, _) = batched(game.clone());
    let rows = [1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    let (mut a, mut b) = ([0.0; 2], [0.0; 2]);
    game.values_of(&rows, &mut a);
    batch.values_of(&rows, &mut b);
    assert_eq!(bits(&a), bits(&b));
    let coalition = Coalition::of(7, [0, 3, 4, 6]);
    assert_close(&a, &[game.value(&coalition), game.baseline()], 1e-14);
    assert_eq!(batch.value(&coalition).to_bits(), a[0].to_bits());
    let mut walk = batch.walk();
    walk.start();
    assert_close(&[walk.add(2)], &[game.value(&Coalition::of(7, [2]))], 1e-14);
}

#[test]
fn batches_match_the_game_they_wrap() {
    for n in [1, 2, 5, 12] {
        let game = pairwise(n as u64, n);
        check_game(&batched(game.clone()).0, 1e-12);
        let truth = exact(&game).values;
        assert_close(&exact(&batched(game).0).values, &truth, 1e-12);
    }
}

#[test]
fn calls_are_few_and_bounded_and_independent_of_threads() {
    let run = |threads| {
        let (game, calls) = batched(pairwise(4, 30));
        let budget = Some(16 * 32 * 30);
        let options = Options {
            budget,
            ..Options::new(2)
        };
        let estimate = in_pool(threads, || sampled(&game, options));
        let mut calls = calls.lock().unwrap().clone();
        calls.sort_unstable();
        (bits(&estimate.values), estimate.n_evaluations, calls)
    };
    let (values, n_evaluations, calls) = run(1);
    assert_eq!((values, n_evaluations, calls.clone()), run(2));
    // 16 scrambles of 16 pairs, 9 pairs to a call; one call for the empty and the grand coalition.
    assert_eq!((n_evaluations, calls.len()), (16 * 32 * 30, 33));
    assert!(calls[17..].iter().all(|&rows| rows == 18 * 29));
    let (game, calls) = batched(pairwise(5, 14));
    compute_shapley(&game, &mut unwatched).unwrap();
    assert_eq!(*calls.lock().unwrap(), [1024; 16]);
}

#[test]
fn calls_stay_small_for_many_players() {
    let size = |row: &[u8]| row.iter().map(|&x| f64::from(x)).sum::<f64>();
    let evaluate = move |rows: &[u8], n_rows: usize| {
        assert!(rows.len() <= 1 << 24 && rows.len() == n_rows * 5000);
        Some(rows.chunks(5000).map(size).collect())
    };
    let game = BatchGame::new(5000, Box::new(evaluate)).unwrap();
    let options = Options {
        budget: Some(4 * 5000),
        ..Options::new(1)
    };
    assert_eq!(sampled(&game, options).values, vec![1.0; 5000]);
}

#[test]
fn a_failure_ends_the_estimate_and_is_the_last_call() {
    // Fails at once, in the middle, or returns the wrong number of values.
    for (fail_at, short) in [(0, false), (3, false), (3, true)] {
        for (tolerance, method) in [
            (None, Method::Sampled),
            (Some(Tolerance::Relative(1e-6)), Method::Sampled),
            (None, Method::Automatic),
        ] {
            let calls = Arc::new(AtomicUsize::new(0));
            let seen = calls.clone();
            let evaluate = move |_: &[u8], rows: usize| {
                let call = seen.fetch_add(1, Ordering::SeqCst);
                let length = if short { rows - 1 } else { rows };
                let ends = rows == 2;
                (ends || call < fail_at || short).then(|| vec![1.0; if ends { 2 } else { length }])
            };
            let game = BatchGame::new(13, Box::new(evaluate)).unwrap();
            let options = Options {
                tolerance,
                method,
                ..Options::new(1)
            };
            let result = in_pool(1, || estimate_shapley(&game, &options, &mut unwatched));
            assert!(matches!(result, Err(Error::Numerical(_))), "{result:?}");
            assert!(game.has_failed());
            let so_far = calls.load(Ordering::SeqCst);
            assert!(so_far <= fail_at + 2);
            assert!(game.value(&Coalition::empty(13)).is_nan());
            assert_eq!(calls.load(Ordering::SeqCst), so_far);
        }
    }
}

#[test]
fn the_inner_error_is_that_of_the_mean_over_samples() {
    // f(x) = x0 + 2 x1 + x2 x3 at x = 1, against background rows: interventional Shapley values.
    let (n, m) = (4, 40);
    let mut r = Random(8);
    let background: Arc<Vec<f64>> = Arc::new((0..n * m).map(|_| r.normal()).collect());
    let of_samples = |background: Arc<Vec<f64>>| {
        move |rows: &[u8], _: usize| -> Option<Vec<f64>> {
            let f = |row: &[u8], b: &[f64]| {
                let x = |i: usize| if row[i] == 1 { 1.0 } else { b[i] };
                x(0) + 2.0 * x(1) + x(2) * x(3)
            };
            let samples = |row| background.chunks(n).map(move |b| f(row, b));
            Some(rows.chunks(n).flat_map(samples).collect())
        }
    };
    let each = of_samples(background.clone());
    let mean = move |rows: &[u8], n_rows: usize| {
        let values = each(rows, n_rows)?;
        Some(
            values
                .chunks(m)
                .map(|v| v.iter().sum::<f64>() / m as f64)
                .collect(),
        )
    };
    let game = BatchGame::new(n, Box::new(mean)).unwrap();
    let game = game
        .with_samples(m, Box::new(of_samples(background.clone())))
        .unwrap();
    let inner = exact(&game).inner_std_err.unwrap();
    let sd_of = |i: usize| {
        let column: Vec<f64> = background.chunks(n).map(|b| b[i]).collect();
        let mean = column.iter().sum::<f64>() / m as f64;
        (column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (m - 1) as f64).sqrt()
    };
    let error = |i| sd_of(i) / (m as f64).sqrt();
    assert_close(&inner[..2], &[error(0), 2.0 * error(1)], 1e-12);
    assert!(inner[2] > 0.3 * error(2));
}

#[test]
fn bad_batch_games_are_named() {
    let nothing = || Box::new(|_: &[u8], _: usize| None);
    assert!(BatchGame::new(0, nothing()).is_err());
    assert!(
        BatchGame::new(1, nothing())
            .unwrap()
            .with_samples(1, nothing())
            .is_err()
    );
}
