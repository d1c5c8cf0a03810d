//! Games whose values Python computes, many coalitions at a time.

use std::sync::mpsc::{Sender, channel};

use bayesrca_core::Result;
use bayesrca_core::shapley::games::BatchGame;
use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::games::{Kind, NativeGame};
use crate::poll::{Message, Poll};

/// Python's part of a game.
pub(crate) struct PythonGame {
    n_players: usize,
    values: Py<PyAny>,
    /// Number of samples and what values them one by one.
    samples: Option<(usize, Py<PyAny>)>,
}

/// Coalitions to be valued, as bytes 0 or 1 by rows.
pub(crate) struct Question {
    coalitions: Vec<u8>,
    rows: usize,
    /// Whether each sample's own value is wanted.
    by_sample: bool,
    reply: Sender<Option<Vec<f64>>>,
}

impl PythonGame {
    pub(crate) fn n_players(&self) -> usize {
        self.n_players
    }

    /// Show the garbage collector what Python objects the game holds.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(&self.values)?;
        self.samples
            .as_ref()
            .map_or(Ok(()), |(_, samples)| visit.call(samples))
    }

    /// The game as the core plays it: every batch is a question to the calling thread.
    pub(crate) fn game(&self, asking: Sender<Message<Question>>) -> Result<BatchGame> {
        let ask = move |by_sample: bool, coalitions: &[u8], rows: usize| {
            let (reply, answer) = channel();
            let question = Question {
                coalitions: coalitions.to_vec(),
                rows,
                by_sample,
                reply,
            };
            asking.send(Message::Ask(question)).ok()?;
            answer.recv().ok().flatten()
        };
        let again = ask.clone();
        let game = BatchGame::new(
            self.n_players,
            Box::new(move |coalitions, rows| ask(false, coalitions, rows)),
        )?;
        match &self.samples {
            Some((n_samples, _)) => game.with_samples(
                *n_samples,
                Box::new(move |coalitions, rows| again(true, coalitions, rows)),
            ),
            None => Ok(game),
        }
    }
}

/// Answer a question on the calling thread; an exception stops the work.
pub(crate) fn answer(kind: &Kind, question: Question, poll: &Poll) {
    let Kind::Python(game) = kind else { return };
    let values = if poll.stopped() {
        None
    } else {
        Python::attach(|py| game.call(py, &question))
            .map_err(|error| poll.fail(error))
            .ok()
    };
    // The asking thread waits for the reply.
    let _ = question.reply.send(values);
}

impl PythonGame {
    fn call(&self, py: Python<'_>, question: &Question) -> PyResult<Vec<f64>> {
        let members = question.coalitions.iter().map(|&byte| byte == 1).collect();
        let matrix = Array2::from_shape_vec((question.rows, self.n_players), members)
            .expect("rows x n members")
            .into_pyarray(py);
        if question.by_sample {
            let (_, samples) = self
                .samples
                .as_ref()
                .expect("asked for only where there are some");
            let values: PyReadonlyArray2<'_, f64> = samples.call1(py, (matrix,))?.extract(py)?;
            Ok(values.as_array().iter().copied().collect())
        } else {
            let values: PyReadonlyArray1<'_, f64> =
                self.values.call1(py, (matrix,))?.extract(py)?;
            Ok(values.as_array().to_vec())
        }
    }
}

/// A game whose coalitions Python values in batches.
///
/// Args:
///     n_players: number of players (>= 1).
///     values: callable from bool [b, n] to float64 [b]; called on the thread that asks for the estimate.
///     samples: callable from bool [b, n] to float64 [b, m], values of the m samples whose mean `values` is; None when
///         the game is no such mean.
///     n_samples: m (>= 2 where there are samples).
#[pyfunction]
#[pyo3(signature = (n_players, values, *, samples=None, n_samples=0))]
pub(crate) fn python_game(
    n_players: usize,
    values: Py<PyAny>,
    samples: Option<Py<PyAny>>,
    n_samples: usize,
) -> NativeGame {
    NativeGame {
        inner: Kind::Python(PythonGame {
            n_players,
            values,
            samples: samples.map(|s| (n_samples, s)),
        }),
    }
}
