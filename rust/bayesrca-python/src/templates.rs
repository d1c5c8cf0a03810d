//! Log templates.

use bayesrca_core::templates::Miner;
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;

/// Find the templates of log lines, in their order: lines that one statement of a program could have printed.
///
/// Args:
///     lines: the lines; of each the first 512 bytes and 48 words are read.
///
/// Returns:
///     The number of each line's template, int64 [n], and how each template reads.
#[pyfunction]
#[pyo3(signature = (lines: "list[str]") -> "tuple[numpy.typing.NDArray[numpy.int64], list[str]]")]
pub(crate) fn mine_templates(
    py: Python<'_>,
    lines: Vec<String>,
) -> (Bound<'_, PyArray1<i64>>, Vec<String>) {
    let (numbers, texts) = py.detach(|| {
        let mut miner = Miner::default();
        let number = |line: &String| i64::try_from(miner.add(line)).unwrap_or(i64::MAX);
        let numbers: Vec<i64> = lines.iter().map(number).collect();
        (numbers, miner.texts())
    });
    (numbers.into_pyarray(py), texts)
}
