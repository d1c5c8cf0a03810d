//! The one error type of the core.

use thiserror::Error;

/// Why a computation could not be done.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Error {
    /// Arrays disagree in shape or hold values outside their range.
    #[error("{field}: {message}")]
    InvalidEvidence {
        /// Name of the offending array or argument.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// The exact sum over affected sets would need too many states.
    #[error(
        "the graph is too densely connected around component {component} for the exact sum over affected sets: \
         {needed} components stay open at once, the limit is {limit}"
    )]
    GraphTooWide {
        /// Index of the root whose upstream set is too wide.
        component: usize,
        /// Components that would be open at once.
        needed: usize,
        /// The limit that was exceeded.
        limit: usize,
    },
    /// An OpenTelemetry request cannot be read, or holds more than it may.
    #[error("byte {offset}: {message}")]
    Telemetry {
        /// Index of the byte at which it was noticed.
        offset: usize,
        /// What is wrong there.
        message: String,
    },
    /// The posterior over the parameters could not be explored.
    #[error("{0}")]
    Numerical(String),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// Stable word for automation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidEvidence { .. } => "INVALID_EVIDENCE",
            Self::GraphTooWide { .. } => "GRAPH_TOO_WIDE",
            Self::Telemetry { .. } => "INVALID_TELEMETRY",
            Self::Numerical(_) => "NUMERICAL",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Whether the same call can succeed when repeated with other parameters of the model.
    #[must_use]
    pub fn is_recoverable(&self) -> bool {
        matches!(self, Self::Numerical(_))
    }

    pub(crate) fn evidence(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InvalidEvidence {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// Result of a fallible computation of the core.
pub type Result<T> = std::result::Result<T, Error>;
