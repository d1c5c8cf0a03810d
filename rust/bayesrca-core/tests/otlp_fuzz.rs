//! Hostile requests: an error or a table, never a panic, and never more memory than is promised.
//!
//! `OTLP_FUZZ_CASES=1000000 cargo test --release -p bayesrca-core --test otlp_fuzz` looks longer.

use std::path::Path;

use bayesrca_core::Error;
use bayesrca_core::otlp::{Limits, decode_logs};
use proptest::prelude::*;
use proptest::test_runner::Config;

mod laws;

/// A field of length-delimited content.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(content);
    out
}

/// Bytes that are more often than not a message: fields of small numbers, nested.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        3 => (1_u8..16, prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(n, b)| field(n, &b)),
        1 => (1_u8..16, prop::collection::vec(any::<u8>(), 16..17)).prop_map(|(n, b)| field(n, &b)),
        1 => (1_u8..16, prop::collection::vec(any::<u8>(), 8..9)).prop_map(|(n, b)| field(n, &b)),
        2 => (1_u8..16, 0_u8..128).prop_map(|(n, v)| vec![n << 3, v]),
        2 => (1_u8..16, any::<[u8; 8]>()).prop_map(|(n, v)| [vec![n << 3 | 1], v.to_vec()].concat()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ];
    leaf.prop_recursive(8, 128, 8, |inner| {
        prop::collection::vec((1_u8..16, inner), 0..8).prop_map(|fields| {
            let parts = fields
                .iter()
                .map(|(number, content)| field(*number, content));
            parts.collect::<Vec<_>>().concat()
        })
    })
}

/// Put records where the three services look for them.
fn request(records: &[Vec<u8>]) -> Vec<u8> {
    let scope: Vec<u8> = records.iter().flat_map(|record| field(2, record)).collect();
    field(1, &field(2, &scope))
}

fn check_all(request: &[u8]) {
    laws::otlp_traces(request);
    laws::otlp_metrics(request);
    laws::otlp_logs(request);
}

fn config() -> Config {
    let told = std::env::var("OTLP_FUZZ_CASES").ok();
    Config::with_cases(told.and_then(|n| n.parse().ok()).unwrap_or(2000))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_all(&bytes);
    }

    #[test]
    fn nearly_valid_records(records in prop::collection::vec(message(), 0..4)) {
        check_all(&request(&records));
    }

    #[test]
    fn cut_and_changed(
        record in message(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in any::<prop::sample::Index>(),
    ) {
        let mut bytes = request(&[record]);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(end.index(bytes.len() + 1));
        check_all(&bytes);
    }
}

/// The shapes that take most memory for their length.
#[test]
fn many_empty_things_stay_small() {
    let span = [field(1, &[1; 16]), field(2, &[1; 8]), time(7), time(8)].concat();
    let with = |inner: Vec<u8>| request(&[[span.clone(), inner].concat()]);
    let nested = |number: u8, n: usize| field(number, &[]).repeat(n);
    let attribute = |value: Vec<u8>| field(9, &field(2, &value));
    for request in [
        field(1, &[]).repeat(50_000),
        field(1, &nested(2, 50_000)),
        request(&vec![Vec::new(); 50_000]),
        request(&vec![span.clone(); 1000]),
        with(nested(11, 50_000)),
        with(nested(9, 1000)),
        with(attribute(field(5, &nested(1, 50_000)))),
        with(attribute(field(6, &nested(1, 50_000)))),
        with(attribute(field(7, &vec![7; 50_000]))),
        with(field(5, &vec![0xff; 50_000])),
    ] {
        check_all(&request);
    }
}

fn time(number: u8) -> Vec<u8> {
    [vec![number << 3 | 1], 5_u64.to_le_bytes().to_vec()].concat()
}

#[test]
fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
    let mut value = Vec::new();
    for _ in 0..10_000 {
        value = field(5, &field(1, &value));
        if value.len() > 100_000 {
            break;
        }
    }
    let record = field(5, &value);
    let decoded = decode_logs(&request(&[record]), &Limits::default());
    assert!(matches!(decoded, Err(Error::Telemetry { .. })));
}

type Law = fn(&[u8]);

/// The inputs that the fuzzers start from, and those that they have found (docs/fuzzing.md).
#[test]
fn committed_seeds_keep_the_laws() {
    let laws: [(&str, Law); 6] = [
        ("otlp_traces", laws::otlp_traces),
        ("otlp_metrics", laws::otlp_metrics),
        ("otlp_logs", laws::otlp_logs),
        ("otlp_merge", laws::otlp_merge),
        ("templates", laws::templates),
        ("spans", laws::spans),
    ];
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds");
    for (target, law) in laws {
        let mut count = 0;
        for entry in seeds.join(target).read_dir().unwrap() {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            law(&std::fs::read(&path).unwrap());
            count += 1;
        }
        assert!(count > 0, "{target} has no seed");
    }
}
