//! The likelihood as a C function, for compiled samplers that call it without Python.
#![allow(
    unsafe_code,
    reason = "a C function reads and writes through the caller's pointers"
)]

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bayesrca_core::{N_PARAMETERS, Workspace};
use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;

use crate::handles;

thread_local! {
    static WORKSPACE: RefCell<Workspace> = RefCell::new(Workspace::default());
}

/// The handle is unknown or released.
const UNKNOWN_HANDLE: i64 = 1;
/// The log likelihood is not finite at this theta.
const NOT_FINITE: i64 = 2;
/// A bug: the computation panicked.
const PANICKED: i64 = 3;

/// Run `f` with this thread's scratch memory.
pub(crate) fn with_workspace<R>(f: impl FnOnce(&mut Workspace) -> R) -> R {
    WORKSPACE.with(|w| match w.try_borrow_mut() {
        Ok(mut w) => f(&mut w),
        Err(_) => f(&mut Workspace::default()),
    })
}

/// Log likelihood and gradient. Returns 0, or a positive error code with the outputs untouched.
///
/// # Safety
/// `theta` and `gradient` must point to `N_PARAMETERS` doubles, `logp` to one; `gradient` and `logp` are written.
unsafe extern "C" fn bayesrca_logp_grad(
    handle: i64,
    theta: *const f64,
    logp: *mut f64,
    gradient: *mut f64,
) -> i64 {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the caller promises N_PARAMETERS readable doubles.
        let theta: &[f64; N_PARAMETERS] = unsafe { &*theta.cast() };
        handles::with(handle, |l| with_workspace(|w| l.logp_grad(theta, w)))
    }));
    match outcome {
        Err(_) => PANICKED,
        Ok(None) => UNKNOWN_HANDLE,
        Ok(Some((value, g))) => {
            if !value.is_finite() || g.iter().any(|x| !x.is_finite()) {
                return NOT_FINITE;
            }
            // SAFETY: the caller promises one and N_PARAMETERS writable doubles.
            unsafe {
                logp.write(value);
                gradient.cast::<[f64; N_PARAMETERS]>().write(g);
            }
            0
        }
    }
}

/// Address of an exported C function, for registration with a compiler.
///
/// `bayesrca_logp_grad(int64 handle, const double *theta, double *logp, double *gradient) -> int64`: 0 on success;
/// 1 unknown or released handle, 2 log likelihood not finite, 3 internal error. It takes no lock and needs no GIL.
///
/// Args:
///     name: the symbol.
///
/// Raises:
///     KeyError: no such symbol.
#[pyfunction]
pub(crate) fn symbol_address(name: &str) -> PyResult<usize> {
    match name {
        "bayesrca_logp_grad" => Ok(bayesrca_logp_grad as *const () as usize),
        _ => Err(PyKeyError::new_err(name.to_owned())),
    }
}
