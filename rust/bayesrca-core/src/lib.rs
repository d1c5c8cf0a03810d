//! Which component caused an anomaly: the numerical core of bayesrca.
//!
//! Pure functions on plain arrays: no Python, no I/O, no printing, no global state. [`Likelihood`] prepares one
//! incident's evidence and then gives, for any parameter vector theta, the log likelihood with the root cause summed
//! out, its gradient, and the posterior over root causes; [`screen`](screen::screen) explores theta's posterior by
//! importance sampling in milliseconds. [`shapley`] shares what a [`game`] is worth among its players.
//!
//! ```
//! use bayesrca_core::{Evidence, FamilyEvidence, Likelihood, N_PARAMETERS, VitalEvidence, Workspace};
//!
//! // Two components, one footprint: component 1 calls component 0; both are slow.
//! let mut latency = FamilyEvidence::silent(2, 1, vec![(0, 1)]);
//! latency.series_component = vec![0, 1];
//! latency.z = vec![12.0, 9.0];
//! let evidence = Evidence {
//!     n_components: 2,
//!     footprint_log_prior: vec![0.0],
//!     target: Some(1),
//!     alarm_family: Some(0),
//!     alarm_in_vitals: false,
//!     root_log_factor: vec![0.0; 2],
//!     root_log_prior: Vec::new(),
//!     crash_log_ratio: Vec::new(),
//!     families: [latency, FamilyEvidence::silent(2, 1, vec![(0, 1)])],
//!     vitals: VitalEvidence::default(),
//!     traces: None,
//!     alert_log_ratio: Vec::new(),
//! };
//! let likelihood = Likelihood::new(&evidence, 0.05, 14)?;
//! let mut log_posterior = vec![0.0; likelihood.n_hypotheses()];
//! likelihood.root_log_posterior(&[0.0; N_PARAMETERS], &mut Workspace::default(), &mut log_posterior);
//! assert!((log_posterior.iter().map(|l| l.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
//! # Ok::<(), bayesrca_core::Error>(())
//! ```
#![forbid(unsafe_code)]

mod elementary;
mod error;
mod evidence;
pub mod game;
mod graph;
pub mod otlp;
mod params;
mod propagation;
mod rng;
pub mod screen;
pub mod shapley;
mod simd;
pub mod spans;
pub mod templates;
mod trace_evidence;

pub use error::{Error, Result};
pub use evidence::{Evidence, FamilyEvidence, TraceEvidence, VitalEvidence};
pub use graph::Graph;
pub use params::{
    CODE, CRASH, EGRESS, ERRORS, FAMILIES, KINDS, LATENCY, LAYOUT, LINK, LOAD, LOAD_VITAL,
    N_FAMILIES, N_KINDS, N_PARAMETERS, N_VITALS, Natural, RESOURCE, STATE, Transform, VITALS,
};
pub use propagation::{Likelihood, MAX_BLOCK, MAX_CAUSES, PathProbabilities, SIZES, Workspace};
