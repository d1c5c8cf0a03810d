//! Every kernel gives the same bits with the baseline instructions, with the machine's best and player by player.

use super::{
    GaussianTailGame, InteractionGame, LiveEdgeGame, NoisyOrGame, NonlinearTailGame,
    SampledTailGame, Tail,
};
use crate::game::{Game, Walk};
use crate::rng::{Purpose, Stream};
use crate::shapley::{Options, unwatched};
use crate::simd::tests::on_baseline;

const N: usize = 23;
const SAMPLES: usize = 330;

/// Up to three earlier parents per node.
fn edges(r: &mut Stream) -> Vec<(usize, usize, f64)> {
    let mut edges = Vec::new();
    for j in 1..N {
        for _ in 0..=r.below(3) {
            edges.push((r.below(j as u32) as usize, j, r.normal() / 4.0));
        }
    }
    edges
}

fn normals(r: &mut Stream, len: usize) -> Vec<f64> {
    (0..len).map(|_| r.normal()).collect()
}

#[track_caller]
fn check<G: Game>(game: &G) {
    let players = game.active_players();
    let length = players.len();
    let mut orders = Vec::new();
    for unit in 0..5 {
        orders.extend(&players);
        Stream::new(1, Purpose::Pairs, unit).shuffle(&mut orders[unit as usize * length..]);
    }
    let along = || {
        let mut values = vec![0.0; orders.len() + 1];
        values[orders.len()] = game
            .walk()
            .along(&orders, length, &mut values[..orders.len()]);
        bits(&values)
    };
    let one_by_one = || {
        let (mut walk, mut values) = (game.walk(), Vec::new());
        for order in orders.chunks_exact(length) {
            walk.start();
            values.extend(order.iter().map(|&player| walk.add(player as usize)));
        }
        values.push(game.walk().start());
        bits(&values)
    };
    let here = along();
    assert_eq!(on_baseline(along), here);
    assert_eq!(one_by_one(), here);
    assert_eq!(on_baseline(one_by_one), here);
    let inner = || game.inner_std_err(&orders).map(|e| bits(&e));
    assert_eq!(on_baseline(inner), inner());
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn tails_give_the_same_bits_on_any_machine() {
    let mut r = Stream::new(2, Purpose::Inner, 0);
    let edges = edges(&mut r);
    let mut observed = normals(&mut r, N);
    observed[3] = 4.0;
    let noise = normals(&mut r, N * SAMPLES);
    for tail in [Tail::Upper, Tail::Lower] {
        check(&SampledTailGame::new(N, &edges, N - 1, &observed, &noise, tail).unwrap());
        check(&NonlinearTailGame::new(&edges, N - 1, &[0.3; N], &observed, &noise, tail).unwrap());
        let (mean, sd) = ([0.0; N], [1.0; N]);
        check(&GaussianTailGame::new(N, &edges, N - 1, &observed, &mean, &sd, tail).unwrap());
    }
}

#[test]
fn effects_and_faults_give_the_same_bits_on_any_machine() {
    let mut r = Stream::new(3, Purpose::Inner, 0);
    let mut pair = vec![0.0; N * N];
    for i in 0..N {
        for j in 0..i {
            pair[i * N + j] = r.normal();
            pair[j * N + i] = pair[i * N + j];
        }
    }
    let triples = (2..N).map(|i| (i - 2, i - 1, i, r.normal())).collect();
    check(&InteractionGame::new(0.5, normals(&mut r, N), pair, triples).unwrap());
    let edges: Vec<_> = edges(&mut r)
        .into_iter()
        .map(|(i, j, w)| (i, j, w.abs().min(1.0)))
        .collect();
    check(&NoisyOrGame::new(N, &edges, N - 1, &[0.01; N], &[0.7; N]).unwrap());
    let worlds = LiveEdgeGame::new(N, &edges, N - 1, &[0.01; N], &[0.7; N]).unwrap();
    let options = Options {
        budget: Some(64 * 77),
        ..Options::new(4)
    };
    let estimate = || worlds.estimate_shapley(&options, &mut unwatched).unwrap();
    let one_thread = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread();
    let pool = one_thread.build().unwrap();
    assert_eq!(pool.install(|| on_baseline(estimate)), estimate());
}
