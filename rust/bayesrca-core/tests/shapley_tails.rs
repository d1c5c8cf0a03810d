//! Anomaly attribution in linear structural models.

mod shapley_common;

use bayesrca_core::game::{Coalition, Game, Surrogate, SurrogateValues};
use bayesrca_core::shapley::games::{GaussianTailGame, SampledTailGame, Tail};
use bayesrca_core::shapley::{Estimate, Options, Rule, Tolerance};
use shapley_common::{
    Random, assert_close, bits, by_definition, check_game, exact, in_pool, sampled,
};

/// The same game without its control variate.
struct Plain<'a>(&'a SampledTailGame);

impl Game for Plain<'_> {
    type Walk<'a>
        = <SampledTailGame as Game>::Walk<'a>
    where
        Self: 'a;
    fn n_players(&self) -> usize {
        self.0.n_players()
    }
    fn active_players(&self) -> Vec<u32> {
        self.0.active_players()
    }
    fn walk(&self) -> Self::Walk<'_> {
        self.0.walk()
    }
}

struct Case {
    n: usize,
    edges: Vec<(usize, usize, f64)>,
    observed: Vec<f64>,
    baseline: Vec<f64>,
}

fn case(seed: u64, n: usize, samples: usize, loose: bool) -> Case {
    let mut r = Random(seed);
    let edges = r
        .dag(n, loose)
        .into_iter()
        .map(|(i, j)| (i, j, r.between(-0.5, 1.0)))
        .collect();
    let mut observed: Vec<f64> = (0..n).map(|_| r.normal()).collect();
    observed[n / 3] = 4.0;
    Case {
        n,
        edges,
        observed,
        baseline: (0..n * samples).map(|_| r.normal()).collect(),
    }
}

fn sampled_tail(c: &Case, tail: Tail) -> SampledTailGame {
    SampledTailGame::new(c.n, &c.edges, c.n - 1, &c.observed, &c.baseline, tail).unwrap()
}

fn gaussian_tail(c: &Case, tail: Tail) -> GaussianTailGame {
    let (zero, one) = (vec![0.0; c.n], vec![1.0; c.n]);
    GaussianTailGame::new(c.n, &c.edges, c.n - 1, &c.observed, &zero, &one, tail).unwrap()
}

/// The definition: run the structural equations in every sample and count.
fn simulate(c: &Case, coalition: &Coalition) -> f64 {
    let solve = |noise: &dyn Fn(usize) -> f64| {
        let mut x = vec![0.0; c.n];
        for j in 0..c.n {
            let parents = c.edges.iter().filter(|e| e.1 == j);
            x[j] = noise(j) + parents.map(|&(i, _, w)| w * x[i]).sum::<f64>();
        }
        x[c.n - 1]
    };
    let samples = c.baseline.len() / c.n;
    let y: Vec<f64> = (0..samples)
        .map(|k| solve(&|i| c.baseline[k * c.n + i]))
        .collect();
    let mean = y.iter().sum::<f64>() / samples as f64;
    let deviation =
        (y.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (samples - 1) as f64).sqrt();
    let threshold = solve(&|i| c.observed[i]) - 1e-3 * deviation;
    let count = (0..samples)
        .filter(|k| {
            let noise = |i: usize| {
                if coalition.contains(i) {
                    c.observed[i]
                } else {
                    c.baseline[k * c.n + i]
                }
            };
            solve(&noise) >= threshold
        })
        .count();
    ((count as f64 + 0.5) / (samples as f64 + 0.5)).ln()
}

#[test]
fn sampled_values_are_those_of_the_simulated_model() {
    for (seed, samples) in [(1, 100), (2, 32), (3, 257)] {
        let c = case(seed, 9, samples, seed == 3);
        let game = sampled_tail(&c, Tail::Upper);
        for s in (0..512usize).step_by(7).chain([511]) {
            let coalition = Coalition::of(9, (0..9).filter(|i| s >> i & 1 == 1));
            assert_close(
                &[game.value(&coalition)],
                &[simulate(&c, &coalition)],
                1e-12,
            );
        }
        assert_close(&[game.grand()], &[0.0], 1e-12);
    }
}

#[test]
fn sampled_tails_match_enumeration() {
    for n in [10, 12] {
        for tail in [Tail::Upper, Tail::Lower] {
            check_game(
                &sampled_tail(&case(40 + n as u64, n, 96, n == 12), tail),
                1e-11,
            );
        }
    }
    let c = case(20, 20, 64, false);
    let game = sampled_tail(&c, Tail::Upper);
    let (truth, estimate) = (exact(&game), sampled(&game, Options::new(3)));
    for i in 0..20 {
        assert!((truth.values[i] - estimate.values[i]).abs() <= 8.0 * estimate.std_err[i]);
    }
}

#[test]
fn a_gaussian_tail_is_the_limit_of_sampled_ones() {
    let c = case(5, 10, 60_000, false);
    let (game, limit) = (
        sampled_tail(&c, Tail::Upper),
        gaussian_tail(&c, Tail::Upper),
    );
    check_game(&limit, 1e-11);
    let (a, b) = (exact(&game), exact(&limit));
    let inner = a.inner_std_err.unwrap();
    for i in 0..10 {
        assert!(
            (a.values[i] - b.values[i]).abs() <= 5.0 * inner[i] + 0.05,
            "{i}: {} {}",
            a.values[i],
            b.values[i]
        );
    }
    assert!(b.grand.abs() < 1e-300);
    assert_eq!(b.inner_std_err, None);
}

#[test]
fn the_inner_error_is_the_spread_over_baseline_samples() {
    let c = case(6, 8, 512, false);
    let mut r = Random(77);
    let mut values = Vec::new();
    // Of an exact computation, and of an estimate so small that 4 orders have to do, which errs by
    // overstating it.
    let (mut claimed, mut by_few) = ([0.0; 8], [0.0; 8]);
    let small = |seed| Options {
        budget: Some(64 * 8),
        ..Options::new(seed)
    };
    let runs = 60.0;
    for run in 0..60 {
        let baseline = (0..8 * 512).map(|_| r.normal()).collect();
        let game = sampled_tail(
            &Case {
                baseline,
                observed: c.observed.clone(),
                edges: c.edges.clone(),
                n: 8,
            },
            Tail::Upper,
        );
        let e = exact(&game);
        assert_eq!(e.std_err, [0.0; 8]);
        for (sum, s) in claimed.iter_mut().zip(e.inner_std_err.unwrap()) {
            *sum += s / runs;
        }
        for (sum, s) in by_few
            .iter_mut()
            .zip(sampled(&game, small(run)).inner_std_err.unwrap())
        {
            *sum += s / runs;
        }
        values.push(e.values);
    }
    for i in 0..8 {
        let mean = values.iter().map(|v| v[i]).sum::<f64>() / runs;
        let spread =
            (values.iter().map(|v| (v[i] - mean).powi(2)).sum::<f64>() / (runs - 1.0)).sqrt();
        for claimed in [claimed[i], by_few[i]] {
            assert!(
                (0.5..2.0).contains(&(claimed / spread)),
                "player {i}: {claimed} against {spread}"
            );
        }
    }
}

#[test]
fn null_players_get_exactly_zero_and_mirrored_models_the_same() {
    let mut c = case(7, 12, 200, false);
    c.edges.retain(|e| e.0 != 4 && e.1 != 4);
    let upper = sampled_tail(&c, Tail::Upper);
    assert!(!upper.active_players().contains(&4));
    assert_eq!(exact(&upper).values[4].to_bits(), 0);
    assert_eq!(sampled(&upper, Options::new(1)).values[4].to_bits(), 0);
    assert_close(&by_definition(&upper), &exact(&upper).values, 1e-11);
    assert_eq!(
        exact(&gaussian_tail(&c, Tail::Upper)).values[4].to_bits(),
        0
    );
    let gaussian = gaussian_tail(&c, Tail::Upper);
    c.observed
        .iter_mut()
        .chain(&mut c.baseline)
        .for_each(|x| *x = -*x);
    assert_eq!(
        bits(&exact(&sampled_tail(&c, Tail::Lower)).values),
        bits(&exact(&upper).values)
    );
    assert_eq!(
        bits(&exact(&gaussian_tail(&c, Tail::Lower)).values),
        bits(&exact(&gaussian).values)
    );
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let game = sampled_tail(&case(8, 30, 300, false), Tail::Upper);
    let run = |threads| in_pool(threads, || sampled(&game, Options::new(2)));
    assert_eq!(run(1), run(3));
    assert_eq!(run(1).rule, Rule::ScrambleInterval);
}

#[test]
fn bad_models_are_named() {
    let noise = [0.0; 2];
    let samples = [0.0, 1.0, 2.0, 3.0];
    let build = |n, edges: &[(usize, usize, f64)], observed: &[f64], baseline: &[f64]| {
        SampledTailGame::new(n, edges, 0, observed, baseline, Tail::Upper).is_ok()
    };
    assert!(build(2, &[], &noise, &samples));
    assert!(!build(0, &[], &[], &[]));
    assert!(!build(2, &[(0, 1, 1.0), (1, 0, 1.0)], &noise, &samples));
    assert!(!build(2, &[(1, 0, f64::NAN)], &noise, &samples));
    assert!(!build(
        2,
        &[(1, 0, f64::MAX), (1, 0, f64::MAX)],
        &noise,
        &samples
    ));
    assert!(!build(2, &[], &[1e9, 0.0], &samples));
    assert!(!build(2, &[], &[0.0], &samples));
    assert!(!build(2, &[], &[0.0, f64::NAN], &samples));
    assert!(!build(2, &[], &noise, &samples[..3]));
    assert!(!build(2, &[], &noise, &[0.0, 1.0, 2.0, f64::INFINITY]));
    let gaussian = |sd| GaussianTailGame::new(1, &[], 0, &[1.0], &[0.0], &[sd], Tail::Upper);
    assert!(gaussian(-1.0).is_err());
    // Without noise nothing is anomalous once the player has joined.
    let certain = exact(&gaussian(0.0).unwrap());
    assert!(certain.values[0] > 1e4 && certain.grand.abs() < 1e-300);
}

#[test]
fn a_surrogate_of_many_cheap_orders_cuts_the_error() {
    let game = sampled_tail(&case(9, 40, 1024, false), Tail::Upper);
    let Some(SurrogateValues::ByWalks(walks)) = game.surrogate().map(Surrogate::shapley) else {
        panic!("a Gaussian target of 40 players has a surrogate");
    };
    let plain = Plain(&game);
    let size = |e: &Estimate| e.std_err.iter().map(|s| s * s).sum::<f64>();
    for tolerance in [None, Some(Tolerance::Absolute(1e-300))] {
        let options = Options {
            budget: Some(512 * 40),
            tolerance,
            ..Options::new(1)
        };
        let (with, without) = (sampled(&game, options), sampled(&plain, options));
        assert!(
            size(&with) * 2.0 < size(&without),
            "{} {}",
            size(&with),
            size(&without)
        );
        assert!(with.efficiency_gap().abs() < 1e-9);
        assert_eq!(with.n_evaluations, without.n_evaluations);
        assert_eq!(without.n_surrogate_evaluations, 0);
        let expected = with.n_evaluations * u64::from(1 + walks);
        assert_eq!(with.n_surrogate_evaluations, expected);
        assert_eq!(in_pool(3, || sampled(&game, options)), with);
        for i in 0..40 {
            let error = (with.values[i] - without.values[i]).abs();
            assert!(error <= 6.0 * with.std_err[i].hypot(without.std_err[i]) + 1e-9);
        }
    }
    // Few players, few samples, or a target far from Gaussian: the game alone.
    assert!(
        sampled_tail(&case(9, 20, 1024, false), Tail::Upper)
            .surrogate()
            .is_none()
    );
    assert!(
        sampled_tail(&case(9, 40, 64, false), Tail::Upper)
            .surrogate()
            .is_none()
    );
    let mut c = case(9, 40, 1024, false);
    for row in c.baseline.chunks_exact_mut(40) {
        let fate = row[0].signum();
        for x in row {
            *x = 3.0 * fate + 0.1 * *x;
        }
    }
    assert!(sampled_tail(&c, Tail::Upper).surrogate().is_none());
}

#[test]
fn intervals_with_a_surrogate_cover_the_truth() {
    let game = sampled_tail(&case(10, 28, 1024, false), Tail::Upper);
    assert!(game.surrogate().is_some());
    let long = Options {
        budget: Some(28 << 12),
        ..Options::new(99)
    };
    let truth = sampled(&game, long).values;
    let (mut players, mut all) = (0, 0);
    let runs = 24;
    for seed in 0..runs as u64 {
        let options = Options {
            budget: Some(28 * 128),
            ..Options::new(seed)
        };
        let inside = |e: &Estimate| {
            (0..28)
                .filter(|&i| (e.values[i] - truth[i]).abs() <= e.half_width[i])
                .count()
        };
        players += inside(&sampled(&game, options));
        let tolerance = Some(Tolerance::Absolute(1e-300));
        let sequence = sampled(
            &game,
            Options {
                tolerance,
                ..options
            },
        );
        all += usize::from(inside(&sequence) == 28);
    }
    let share = players as f64 / f64::from(28 * runs);
    assert!((0.91..0.985).contains(&share), "{share}");
    assert!(all >= 22, "{all}");
}
