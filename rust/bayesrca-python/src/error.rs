//! One conversion from core errors to `bayesrca.errors`, the one tree of Python exceptions.

use pyo3::prelude::*;

pyo3::import_exception!(bayesrca.errors, InvalidEvidenceError);
pyo3::import_exception!(bayesrca.errors, InvalidGameError);
pyo3::import_exception!(bayesrca.errors, InvalidTelemetryError);
pyo3::import_exception!(bayesrca.errors, InvalidSettingsError);
pyo3::import_exception!(bayesrca.errors, GraphTooWideError);
pyo3::import_exception!(bayesrca.errors, KernelError);
pyo3::import_exception!(bayesrca.errors, CancelledError);

/// The Python exception for a core error.
pub(crate) fn to_python(error: bayesrca_core::Error) -> PyErr {
    use bayesrca_core::Error;
    let message = error.to_string();
    match error {
        Error::InvalidEvidence { .. } => InvalidEvidenceError::new_err(message),
        Error::GraphTooWide {
            component,
            needed,
            limit,
        } => {
            let raised = GraphTooWideError::new_err(message);
            // Python knows the component's name: hand it the index.
            Python::attach(|py| {
                let value = raised.value(py);
                let _ = value.setattr("component", component);
                let _ = value.setattr("needed", needed);
                let _ = value.setattr("limit", limit);
            });
            raised
        }
        Error::Telemetry { .. } => InvalidTelemetryError::new_err(message),
        Error::Numerical(_) => KernelError::new_err(message),
        Error::Cancelled => CancelledError::new_err(message),
    }
}

/// An `InvalidEvidenceError` about one argument.
pub(crate) fn invalid(message: String) -> PyErr {
    InvalidEvidenceError::new_err(message)
}

/// An error of the core about a game or the effort to spend on it, with the offender's name as its field.
pub(crate) fn game_error(error: bayesrca_core::Error) -> PyErr {
    let bayesrca_core::Error::InvalidEvidence { field, .. } = &error else {
        return to_python(error);
    };
    let message = error.to_string();
    let raised = match field.as_str() {
        "budget" | "tolerance" | "confidence" | "method" | "guarantee" | "deadline"
        | "resamples" => InvalidSettingsError::new_err(message),
        _ => InvalidGameError::new_err(message),
    };
    Python::attach(|py| {
        let _ = raised.value(py).setattr("field", field);
    });
    raised
}

/// The core's error about one argument of a game.
pub(crate) fn game_invalid(field: &str, message: String) -> bayesrca_core::Error {
    bayesrca_core::Error::InvalidEvidence {
        field: field.into(),
        message,
    }
}
