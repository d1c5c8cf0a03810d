//! Bounds for finite samples: where they hold, how wide they are, which games can give them.

mod shapley_common;

use bayesrca_core::Error;
use bayesrca_core::game::{Coalition, Game};
use bayesrca_core::shapley::games::{
    BatchGame, CallTreeGame, GaussianTailGame, LiveEdgeGame, NoisyOrGame, NonlinearTailGame,
    SampledTailGame, Span, Tail,
};
use bayesrca_core::shapley::{
    Control, Guarantee, Method, Options, Rule, Tolerance, estimate_shapley, unwatched,
};
use shapley_common::{Random, exact, sampled};

const N: usize = 9;

fn edges(seed: u64) -> Vec<(usize, usize, f64)> {
    let mut r = Random(seed);
    let edges = r.dag(N, false);
    edges
        .into_iter()
        .map(|(i, j)| (i, j, r.between(0.2, 0.9)))
        .collect()
}

fn noisy_or() -> NoisyOrGame {
    NoisyOrGame::new(N, &edges(1), N - 1, &[0.01; N], &[0.7; N]).unwrap()
}

fn noise(seed: u64, samples: usize) -> (Vec<f64>, Vec<f64>) {
    let mut r = Random(seed);
    let observed = (0..N).map(|_| 1.5 * r.normal()).collect();
    (observed, (0..N * samples).map(|_| r.normal()).collect())
}

fn bernstein(tolerance: Option<Tolerance>, budget: Option<u64>) -> Options {
    Options {
        tolerance,
        budget,
        guarantee: Guarantee::Bernstein,
        ..Options::new(3)
    }
}

#[track_caller]
fn check_range<G: Game>(game: &G) {
    let (low, high) = game.range().unwrap();
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for s in 0..1usize << N {
        let value = game.value(&Coalition::of(N, (0..N).filter(|i| s >> i & 1 == 1)));
        (least, most) = (least.min(value), most.max(value));
    }
    let slack = 1e-12 * (high - low);
    assert!(
        low - slack <= least && most <= high + slack,
        "{low} {least} {most} {high}"
    );
}

#[test]
fn every_value_lies_in_the_stated_range() {
    let mut r = Random(4);
    check_range(&noisy_or());
    let (observed, baseline) = noise(2, 50);
    let tail = |t| SampledTailGame::new(N, &edges(2), N - 1, &observed, &baseline, t).unwrap();
    check_range(&tail(Tail::Upper));
    check_range(&tail(Tail::Lower));
    let slope = [0.3; N];
    let bent = NonlinearTailGame::new(&edges(2), N - 1, &slope, &observed, &baseline, Tail::Upper);
    check_range(&bent.unwrap());
    let spans: Vec<Span> = (0..N)
        .map(|i| Span {
            parent: i.checked_sub(1).map(|j| j / 2),
            stage: i % 2,
            baseline: r.next(),
            observed: r.next(),
        })
        .collect();
    check_range(&CallTreeGame::new(&spans).unwrap());
}

#[test]
fn bernstein_bounds_hold_and_stop_at_doublings() {
    let game = noisy_or();
    let truth = exact(&game).values;
    let options = bernstein(Some(Tolerance::Absolute(0.1)), None);
    let e = sampled(&game, options);
    assert_eq!((e.rule, e.converged), (Rule::PairBernstein, true));
    assert!(e.n_units.is_power_of_two() && e.n_evaluations == 2 * 9 * e.n_units);
    let inside = |i: usize| (e.values[i] - truth[i]).abs() <= e.half_width[i];
    assert!((0..N).all(|i| inside(i) && e.half_width[i] <= 0.1));
    // A budget buys one look at its end; independent pairs, not scrambles.
    let budget = Some(18 * 1000);
    let e = sampled(&game, bernstein(None, budget));
    assert_eq!(
        (e.rule, e.n_units, e.converged),
        (Rule::PairBernstein, 1000, true)
    );
    let plain = sampled(
        &game,
        Options {
            tolerance: Some(Tolerance::Absolute(1e-9)),
            budget,
            ..Options::new(3)
        },
    );
    assert_eq!(plain.values, e.values);
    assert!((0..N).all(|i| e.half_width[i] > plain.half_width[i]));
    // A deadline between two looks returns the last one.
    let mut polls = 0;
    let early = estimate_shapley(
        &game,
        &Options {
            method: Method::Sampled,
            ..bernstein(Some(Tolerance::Absolute(1e-9)), None)
        },
        &mut |_| {
            polls += 1;
            if polls == 5 {
                Control::Finish
            } else {
                Control::Continue
            }
        },
    )
    .unwrap();
    assert!(early.n_units.is_power_of_two() && early.n_evaluations >= 18 * early.n_units);
    assert!(!early.converged && early.half_width.iter().all(|h| h.is_finite()));
}

#[test]
fn live_edges_have_bernstein_bounds_too() {
    let game = LiveEdgeGame::new(N, &edges(1), N - 1, &[0.01; N], &[0.7; N]).unwrap();
    let options = bernstein(Some(Tolerance::Absolute(0.02)), None);
    let e = game.estimate_shapley(&options, &mut unwatched).unwrap();
    assert_eq!((e.rule, e.converged), (Rule::WorldBernstein, true));
    let long = Options {
        budget: Some(1 << 20),
        ..Options::new(8)
    };
    let truth = game.estimate_shapley(&long, &mut unwatched).unwrap();
    assert!((0..N).all(|i| (e.values[i] - truth.values[i]).abs() <= e.half_width[i]));
}

#[test]
fn what_cannot_be_guaranteed_is_an_error() {
    let message = |result: Result<_, Error>| match result {
        Err(Error::InvalidEvidence { field, message }) if field == "guarantee" => message,
        other => panic!("{other:?}"),
    };
    let (observed, _) = noise(2, 1);
    let (zero, one) = ([0.0; N], [1.0; N]);
    let game = GaussianTailGame::new(N, &edges(2), N - 1, &observed, &zero, &one, Tail::Upper);
    let walks = Options {
        method: Method::Sampled,
        ..bernstein(None, None)
    };
    let result = estimate_shapley(&game.unwrap(), &walks, &mut unwatched);
    assert!(message(result).starts_with("GaussianTailGame states no range"));
    let leverage = Options {
        method: Method::Leverage,
        ..bernstein(None, Some(400))
    };
    message(estimate_shapley(&noisy_or(), &leverage, &mut unwatched));
    // A batch game is as bounded as its owner says; then walks, whatever leverage would do.
    let batch = || {
        let mean = |row: &[u8]| row.iter().map(|&x| f64::from(x)).sum::<f64>() / 16.0;
        let evaluate = move |rows: &[u8], _: usize| Some(rows.chunks(16).map(mean).collect());
        BatchGame::new(16, Box::new(evaluate)).unwrap()
    };
    let options = bernstein(None, Some(3200));
    message(estimate_shapley(&batch(), &options, &mut unwatched));
    let bounded = batch().with_range(0.0, 1.0).unwrap();
    let e = estimate_shapley(&bounded, &options, &mut unwatched).unwrap();
    assert_eq!((e.rule, e.n_units), (Rule::PairBernstein, 100));
    assert!(batch().with_range(1.0, 1.0).is_err());
    assert!(batch().with_range(0.0, f64::NAN).is_err());
}
