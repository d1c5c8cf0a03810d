//! `bayesrca._core`: array views in, fresh arrays out. The mathematics lives in `bayesrca-core`.
//!
//! Only the C-ABI symbol in `capi` and the handle table behind it need `unsafe`.
#![allow(
    clippy::needless_pass_by_value,
    reason = "PyO3 functions take owned arguments"
)]
#![allow(
    clippy::doc_markdown,
    reason = "these comments become Python docstrings, shown by help()"
)]

mod build_games;
mod capi;
mod error;
mod evidence;
mod games;
mod handles;
mod likelihood;
mod otlp;
mod poll;
mod screen;
mod shapley;
mod spans;
mod templates;
mod value;

use pyo3::prelude::*;

/// Native core of bayesrca. Private and unstable: use the `bayesrca` package, which validates its arguments.
#[pymodule]
mod _core {
    #[pymodule_export]
    use super::build_games::{
        call_tree_game, excess_flow_game, excess_flow_weights, gaussian_tail_game,
        interaction_game, live_edge_game, noisy_or_game, nonlinear_tail_game, sampled_tail_game,
    };
    #[pymodule_export]
    use super::capi::symbol_address;
    #[pymodule_export]
    use super::evidence::{FamilyEvidence, TraceEvidence, VitalEvidence};
    #[pymodule_export]
    use super::games::NativeGame;
    #[pymodule_export]
    use super::likelihood::{
        families_at_fault, fault_kinds, footprint_log_joint, logp_grad, max_block, n_estimated,
        n_hypotheses, own_log_ratios, own_patterns_shown, parameter_layout, path_probabilities,
        prepare, release, root_log_posterior, set_sizes, sets, sum_errors, trace_log_ratios,
        vital_families, vital_log_ratios, width,
    };
    #[pymodule_export]
    use super::otlp::{OtlpTable, decode_otlp, merge_otlp};
    #[pymodule_export]
    use super::screen::{Screen, pareto_k, screen};
    #[pymodule_export]
    use super::shapley::{NativeEstimate, compute_interactions, compute_shapley, estimate_shapley};
    #[pymodule_export]
    use super::spans::{SpanBatch, SpanReduction};
    #[pymodule_export]
    use super::templates::mine_templates;
    #[pymodule_export]
    use super::value::python_game;

    /// Version of the package, the same as the wheel's.
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
