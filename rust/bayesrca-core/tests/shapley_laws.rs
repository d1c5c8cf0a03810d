//! Shapley's axioms on random games: efficiency, symmetry, null players, linearity.

mod shapley_common;

use bayesrca_core::game::{Game, Walk};
use bayesrca_core::shapley::games::{
    CallTreeGame, InteractionGame, NoisyOrGame, SampledTailGame, Span, Tail,
};
use bayesrca_core::shapley::{Options, Tolerance, compute_interactions, unwatched};
use proptest::prelude::*;
use shapley_common::{Random, exact, sampled};

/// `a v + b w`.
struct Sum<'g, G: Game>(f64, &'g G, f64, &'g G);

#[derive(Clone)]
struct SumWalk<W>(f64, W, f64, W);

impl<W: Walk> Walk for SumWalk<W> {
    fn start(&mut self) -> f64 {
        self.0 * self.1.start() + self.2 * self.3.start()
    }
    fn add(&mut self, player: usize) -> f64 {
        self.0 * self.1.add(player) + self.2 * self.3.add(player)
    }
}

impl<G: Game> Game for Sum<'_, G> {
    type Walk<'a>
        = SumWalk<G::Walk<'a>>
    where
        Self: 'a;
    fn n_players(&self) -> usize {
        self.1.n_players()
    }
    fn walk(&self) -> Self::Walk<'_> {
        SumWalk(self.0, self.1.walk(), self.2, self.3.walk())
    }
}

fn tail_game(seed: u64, n: usize) -> SampledTailGame {
    let mut r = Random(seed);
    let edges: Vec<_> = r
        .dag(n, true)
        .into_iter()
        .map(|(i, j)| (i, j, r.between(-0.5, 1.0)))
        .collect();
    let observed: Vec<f64> = (0..n).map(|_| 1.5 * r.normal()).collect();
    let baseline: Vec<f64> = (0..n * 70).map(|_| r.normal()).collect();
    SampledTailGame::new(n, &edges, n - 1, &observed, &baseline, Tail::Upper).unwrap()
}

fn noisy_or(seed: u64, n: usize) -> NoisyOrGame {
    let mut r = Random(seed);
    let edges: Vec<_> = r
        .dag(n, true)
        .into_iter()
        .map(|(i, j)| (i, j, r.next()))
        .collect();
    let leak: Vec<f64> = (0..n).map(|_| 0.1 * r.next()).collect();
    let activation: Vec<f64> = (0..n).map(|_| r.next()).collect();
    NoisyOrGame::new(n, &edges, n - 1, &leak, &activation).unwrap()
}

/// A star of equal calls in two stages, so that calls of one stage and time are symmetric.
fn star(seed: u64, n: usize) -> CallTreeGame {
    let mut r = Random(seed);
    let times: Vec<(f64, f64)> = (0..3).map(|_| (r.next(), 3.0 * r.next())).collect();
    let spans: Vec<Span> = (0..n)
        .map(|i| Span {
            parent: (i > 0).then_some(0),
            stage: i % 2,
            baseline: times[i % 3].0,
            observed: times[i % 3].1,
        })
        .collect();
    CallTreeGame::new(&spans).unwrap()
}

fn check_efficiency<G: Game>(game: &G, seed: u64) -> Result<(), TestCaseError> {
    let tolerance = Options {
        tolerance: Some(Tolerance::Relative(0.5)),
        budget: Some(5000),
        ..Options::new(seed)
    };
    for e in [
        exact(game),
        sampled(game, Options::new(seed)),
        sampled(game, tolerance),
    ] {
        let size = 1.0 + e.grand.abs() + e.baseline.abs();
        prop_assert!(e.efficiency_gap().abs() < 1e-11 * size, "{e:?}");
        prop_assert!(e.values.iter().chain(&e.std_err).all(|v| v.is_finite()));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn values_share_the_whole_gain(seed in any::<u64>(), n in 2usize..9) {
        check_efficiency(&tail_game(seed, n), seed)?;
        check_efficiency(&noisy_or(seed, n), seed)?;
        check_efficiency(&star(seed, n), seed)?;
    }

    #[test]
    fn equal_players_get_equal_values(seed in any::<u64>(), n in 8usize..11) {
        let game = star(seed, n);
        let e = exact(&game);
        // Spans 1 and 7 have the same stage and times.
        prop_assert!((e.values[1] - e.values[7]).abs() < 1e-12);
        let e = sampled(&game, Options::new(seed));
        let spread = e.std_err[1].hypot(e.std_err[7]);
        prop_assert!((e.values[1] - e.values[7]).abs() <= 9.0 * spread + 1e-9);
    }

    #[test]
    fn null_players_get_exactly_nothing(seed in any::<u64>(), n in 3usize..9) {
        let mut r = Random(seed);
        let null = r.below(n);
        let mut single: Vec<f64> = (0..n).map(|_| r.normal()).collect();
        let mut pair = vec![0.0; n * n];
        for i in 0..n {
            for j in (0..i).filter(|&j| i != null && j != null) {
                pair[i * n + j] = r.normal();
                pair[j * n + i] = pair[i * n + j];
            }
        }
        single[null] = 0.0;
        let game = InteractionGame::new(r.normal(), single, pair, vec![]).unwrap();
        let whole = Sum(1.0, &game, 0.0, &game);
        // The sum does not know its null players: differences have to cancel bit by bit.
        for e in [exact(&game), exact(&whole), sampled(&game, Options::new(seed)), sampled(&whole, Options::new(seed))] {
            prop_assert_eq!(e.values[null].abs().to_bits(), 0);
            prop_assert_eq!(e.std_err[null].abs().to_bits(), 0);
        }
        let index = compute_interactions(&whole, &mut unwatched).unwrap();
        prop_assert!((0..n).all(|i| index[i * n + null].abs() < 1e-12));
    }

    #[test]
    fn values_are_linear_in_the_game(seed in any::<u64>(), n in 2usize..9, a in -3.0..3.0, b in -3.0..3.0) {
        let (v, w) = (noisy_or(seed, n), noisy_or(seed ^ 1, n));
        let sum = Sum(a, &v, b, &w);
        let (x, y, both) = (exact(&v), exact(&w), exact(&sum));
        for i in 0..n {
            prop_assert!((a * x.values[i] + b * y.values[i] - both.values[i]).abs() < 1e-12);
        }
        // On the same orders the estimates are linear too.
        let (v, w) = (star(seed, n), star(seed ^ 1, n));
        let walks = |g: &CallTreeGame| sampled(&Sum(1.0, g, 0.0, g), Options::new(seed));
        let (x, y, both) = (walks(&v), walks(&w), sampled(&Sum(a, &v, b, &w), Options::new(seed)));
        for i in 0..n {
            prop_assert!((a * x.values[i] + b * y.values[i] - both.values[i]).abs() < 1e-11);
        }
    }
}
