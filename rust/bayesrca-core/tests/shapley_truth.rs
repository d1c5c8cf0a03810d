//! Truth per player at 10, 12 and 20 players for every game, and the trap of treating a graph as a tree.

mod shapley_common;

use bayesrca_core::game::Game;
use bayesrca_core::shapley::games::{
    BatchGame, CallTreeGame, ExcessFlowGame, GaussianTailGame, InteractionGame, LiveEdgeGame,
    NoisyOrGame, NonlinearTailGame, SampledTailGame, Span, Tail,
};
use bayesrca_core::shapley::{
    Estimate, Method, Options, Rule, compute_shapley, estimate_shapley, shapley_of_table, unwatched,
};
use shapley_common::{Random, assert_close, by_definition, exact, sampled};

const SIZES: [usize; 3] = [10, 12, 20];

type Edges = Vec<(usize, usize, f64)>;

/// Without its formula, so that enumeration and sampling have to work.
struct Opaque<G>(G);

impl<G: Game> Game for Opaque<G> {
    type Walk<'a>
        = G::Walk<'a>
    where
        Self: 'a;
    fn n_players(&self) -> usize {
        self.0.n_players()
    }
    fn walk(&self) -> Self::Walk<'_> {
        self.0.walk()
    }
}

#[track_caller]
fn assert_covers(estimate: &Estimate, truth: &[f64]) {
    let size = truth.iter().map(|v| v.abs()).sum::<f64>();
    assert!(estimate.efficiency_gap().abs() <= 1e-10 * (1.0 + size));
    for i in 0..truth.len() {
        let error = (estimate.values[i] - truth[i]).abs();
        let most = 8.0 * estimate.std_err[i] + 1e-9 * (1.0 + size);
        assert!(error <= most, "player {i}: {error} {estimate:?}");
    }
}

/// Enumeration agrees with the definition (with itself in another order of players above 12, where the definition is
/// too slow) and every estimator covers it.
#[track_caller]
fn check<G: Game>(game: G) {
    let n = game.n_players();
    let game = Opaque(game);
    let enumerated = exact(&game);
    assert_eq!(
        (enumerated.rule, enumerated.n_evaluations),
        (Rule::Enumeration, 1 << n)
    );
    let truth = enumerated.values;
    if n <= 12 {
        let size = truth.iter().map(|v| v.abs()).sum::<f64>();
        assert_close(&truth, &by_definition(&game), 1e-12 * (1.0 + size));
    }
    assert_covers(&sampled(&game, Options::new(5)), &truth);
    let options = Options {
        budget: Some((256 * n as u64).min(3 << (n - 2))),
        method: Method::Leverage,
        ..Options::new(5)
    };
    let e = estimate_shapley(&game, &options, &mut unwatched).unwrap();
    assert_eq!(e.rule, Rule::LeverageJackknife);
    assert_covers(&e, &truth);
}

fn weighted(r: &mut Random, n: usize) -> Edges {
    let edges = r.dag(n, false);
    edges
        .into_iter()
        .map(|(i, j)| (i, j, r.between(0.3, 0.9)))
        .collect()
}

fn noise(r: &mut Random, n: usize, samples: usize) -> (Vec<f64>, Vec<f64>) {
    let mut observed: Vec<f64> = (0..n).map(|_| r.normal()).collect();
    observed[n / 3] = 4.0;
    (observed, (0..n * samples).map(|_| r.normal()).collect())
}

#[test]
fn linear_models() {
    for n in SIZES {
        let mut r = Random(n as u64);
        let edges = weighted(&mut r, n);
        let (observed, baseline) = noise(&mut r, n, 64);
        let tail = Tail::Upper;
        check(SampledTailGame::new(n, &edges, n - 1, &observed, &baseline, tail).unwrap());
        let (zero, one) = (vec![0.0; n], vec![1.0; n]);
        check(GaussianTailGame::new(n, &edges, n - 1, &observed, &zero, &one, tail).unwrap());
    }
}

fn nonlinear(n: usize) -> NonlinearTailGame {
    let mut r = Random(40 + n as u64);
    let edges = weighted(&mut r, n);
    let (observed, baseline) = noise(&mut r, n, 40);
    let slope = vec![0.3; n];
    NonlinearTailGame::new(&edges, n - 1, &slope, &observed, &baseline, Tail::Upper).unwrap()
}

#[test]
fn nonlinear_models() {
    check(nonlinear(10));
    check(nonlinear(12));
}

/// `cargo test --release -p bayesrca-core --test shapley_truth -- --ignored`
#[test]
#[ignore = "slow without optimisation"]
fn large_nonlinear_models() {
    check(nonlinear(20));
}

#[test]
fn noisy_ors() {
    for n in SIZES {
        let edges = weighted(&mut Random(60 + n as u64), n);
        let (leak, activation) = (vec![0.01; n], vec![0.8; n]);
        check(NoisyOrGame::new(n, &edges, n - 1, &leak, &activation).unwrap());
    }
}

#[test]
fn call_trees_effects_and_flows() {
    for n in SIZES {
        let mut r = Random(80 + n as u64);
        let spans: Vec<Span> = (0..n)
            .map(|i: usize| Span {
                parent: i.checked_sub(1).map(|j| j / 2),
                stage: r.below(2),
                baseline: r.between(0.5, 2.0),
                observed: r.between(0.5, 4.0),
            })
            .collect();
        check(CallTreeGame::new(&spans).unwrap());
        let single: Vec<f64> = (0..n).map(|_| r.normal()).collect();
        let triples = (2..n).map(|i| (i, i - 1, i - 2, r.normal())).collect();
        let game = InteractionGame::new(0.3, single, vec![0.5; n * n], triples).unwrap();
        assert_close(
            &exact(&Opaque(game.clone())).values,
            &exact(&game).values,
            1e-11,
        );
        check(game);
        let calls: Edges = weighted(&mut r, n)
            .iter()
            .map(|&(i, j, w)| (j, i, w))
            .collect();
        let dose: Vec<f64> = (0..n).map(|_| r.between(1.0, 5.0)).collect();
        let game = ExcessFlowGame::new(&calls, n - 1, &dose, &vec![0.1; n], 1.5).unwrap();
        assert_close(
            &exact(&Opaque(game.clone())).values,
            &exact(&game).values,
            1e-11,
        );
        check(game);
    }
}

#[test]
fn batches() {
    for n in SIZES {
        let edges = weighted(&mut Random(90 + n as u64), n);
        let inner = NoisyOrGame::new(n, &edges, n - 1, &vec![0.01; n], &vec![0.8; n]).unwrap();
        let truth = exact(&inner).values;
        let evaluate = move |rows: &[u8], n_rows: usize| {
            let mut out = vec![0.0; n_rows];
            inner.values_of(rows, &mut out);
            Some(out)
        };
        let game = BatchGame::new(n, Box::new(evaluate)).unwrap();
        if n <= 12 {
            assert_close(&exact(&game).values, &truth, 1e-12);
        }
        let options = Options {
            budget: Some(64 * n as u64),
            ..Options::new(1)
        };
        assert_covers(
            &estimate_shapley(&game, &options, &mut unwatched).unwrap(),
            &truth,
        );
    }
}

fn live_edge(n: usize, edges: &Edges, target: usize) -> Estimate {
    let game = LiveEdgeGame::new(n, edges, target, &vec![0.01; n], &vec![0.8; n]).unwrap();
    let options = Options {
        budget: Some(1 << 17),
        ..Options::new(7)
    };
    game.estimate_shapley(&options, &mut unwatched).unwrap()
}

#[test]
fn live_edges_on_trees_are_noisy_ors() {
    for n in SIZES {
        let edges = tree(n);
        let tree = NoisyOrGame::new(n, &edges, n - 1, &vec![0.01; n], &vec![0.8; n]).unwrap();
        assert_covers(&live_edge(n, &edges, n - 1), &exact(&tree).values);
    }
}

/// Every node has one child, so that its parents' causes are independent.
fn tree(n: usize) -> Edges {
    let mut r = Random(n as u64);
    (0..n - 1)
        .map(|i| (i, i + 1 + r.below((n - 1 - i).min(4)), r.between(0.3, 0.9)))
        .collect()
}

#[test]
fn live_edges_on_graphs_match_all_worlds() {
    for n in [10, 12] {
        let mut edges: Edges = tree(n);
        // Shared ancestors and a cycle.
        edges.extend([(0, n - 2, 0.7), (0, n - 3, 0.6), (n - 2, 1, 0.5)]);
        let mut reached = vec![0.0; 1 << n];
        for live in 0..1usize << edges.len() {
            let chance: f64 = edges
                .iter()
                .enumerate()
                .map(|(e, &(.., q))| if live >> e & 1 == 1 { q } else { 1.0 - q })
                .product();
            let (mut reach, mut before) = (1usize << (n - 1), 0);
            while reach != before {
                before = reach;
                for (e, &(from, to, _)) in edges.iter().enumerate() {
                    reach |= (live >> e & reach >> to & 1) << from;
                }
            }
            reached[reach] += chance;
        }
        let mut table = vec![0.0; 1 << n];
        for (reach, chance) in reached.iter().enumerate().filter(|(_, c)| **c > 0.0) {
            let quiet = 0.99f64.powi(reach.count_ones().cast_signed());
            for (s, value) in table.iter_mut().enumerate() {
                let spared = 0.2f64.powi((s & reach).count_ones().cast_signed());
                *value += chance * (1.0 - quiet * spared);
            }
        }
        let truth = shapley_of_table(n, &table).unwrap().values;
        assert_covers(&live_edge(n, &edges, n - 1), &truth);
    }
}

/// What the multilinear extension gives when a noisy-or propagates probabilities with activations scaled by t, as if
/// the graph were a tree: the integral over t of the target's slope in each player's activation.
fn as_if_a_tree(n: usize, edges: &Edges, leak: f64, activation: f64) -> Vec<f64> {
    let slope = |player: usize, t: f64| {
        let (mut p, mut slopes) = (vec![0.0; n], vec![0.0; n]);
        for j in 0..n {
            let own = 1.0 - t * activation;
            let (mut quiet, mut change) = ((1.0 - leak) * own, 0.0);
            if j == player {
                change = -(1.0 - leak) * activation;
            }
            for &(i, _, q) in edges.iter().filter(|e| e.1 == j) {
                change = change * (1.0 - q * p[i]) - quiet * q * slopes[i];
                quiet *= 1.0 - q * p[i];
            }
            (p[j], slopes[j]) = (1.0 - quiet, -change);
        }
        slopes[n - 1]
    };
    // Simpson's rule.
    let panels: i32 = 1000;
    let weight = |k: i32| match k {
        0 => 1.0,
        k if k == panels => 1.0,
        k if k % 2 == 1 => 4.0,
        _ => 2.0,
    };
    let h = 1.0 / f64::from(panels);
    (0..n)
        .map(|i| {
            (0..=panels)
                .map(|k| weight(k) * h / 3.0 * slope(i, f64::from(k) * h))
                .sum()
        })
        .collect()
}

#[test]
fn shared_ancestors_are_not_a_tree_although_the_sum_is_right() {
    let n = 12;
    let game =
        |edges: &Edges| NoisyOrGame::new(n, edges, n - 1, &vec![0.01; n], &vec![0.8; n]).unwrap();
    let edges = tree(n);
    assert_close(
        &as_if_a_tree(n, &edges, 0.01, 0.8),
        &exact(&game(&edges)).values,
        1e-8,
    );

    let edges = weighted(&mut Random(72), n);
    let game = game(&edges);
    let (truth, trap) = (exact(&game), as_if_a_tree(n, &edges, 0.01, 0.8));
    let rms = (truth.values.iter().map(|v| v * v).sum::<f64>() / n as f64).sqrt();
    let sum: f64 = trap.iter().sum();
    assert!((sum - (truth.grand - truth.baseline)).abs() < 1e-8);
    let worst = |values: &[f64]| {
        let errors = values.iter().zip(&truth.values).map(|(a, b)| (a - b).abs());
        errors.fold(0.0, f64::max) / rms
    };
    assert!(worst(&trap) > 0.1, "{}", worst(&trap));
    // Walks with the control variate, leverage and enumeration know better.
    let walks = sampled(&game, Options::new(1));
    assert_covers(&walks, &truth.values);
    assert!(worst(&walks.values) < 0.02, "{}", worst(&walks.values));
    let options = Options {
        budget: Some(3000),
        method: Method::Leverage,
        ..Options::new(1)
    };
    let regression = estimate_shapley(&game, &options, &mut unwatched).unwrap();
    assert_covers(&regression, &truth.values);
    assert!(
        worst(&regression.values) < 0.05,
        "{}",
        worst(&regression.values)
    );
    assert_close(&by_definition(&game), &truth.values, 1e-12);
    assert!(compute_shapley(&game, &mut unwatched).unwrap().exact);
}
