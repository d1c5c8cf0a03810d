//! Long work that Python may watch, stop and be asked by.

use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// How often Python is asked about cancellation and interrupts.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// What the working thread tells the calling one.
pub(crate) enum Message<Q> {
    /// A question only Python can answer.
    Ask(Q),
    /// The work has ended.
    Done,
}

/// The caller's wish to stop. Python is asked on the calling thread, where alone it sees interrupts, while the work
/// runs on another; an exception stops the work and is raised again.
pub(crate) struct Poll {
    cancelled: Option<Py<PyAny>>,
    stopped: AtomicBool,
    raised: Mutex<Option<PyErr>>,
}

impl Poll {
    pub(crate) fn new(cancelled: Option<Py<PyAny>>) -> Self {
        Self {
            cancelled,
            stopped: AtomicBool::new(false),
            raised: Mutex::new(None),
        }
    }

    /// Whether the work is to stop.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    /// Run `work` on a thread of its own, asking Python every so often whether to stop.
    pub(crate) fn while_running<R: Send>(
        &self,
        work: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> R + Send,
    ) -> R {
        self.while_serving(
            channel::<Message<()>>(),
            |()| {},
            || (),
            || work(&|| self.stopped()),
        )
    }

    /// The same for work that asks questions through the channel's sender; `answer` and `tell` run on the calling
    /// thread, `tell` whenever it wakes.
    pub(crate) fn while_serving<Q: Send, R: Send>(
        &self,
        (sender, questions): (Sender<Message<Q>>, Receiver<Message<Q>>),
        mut answer: impl FnMut(Q),
        mut tell: impl FnMut(),
        work: impl FnOnce() -> R + Send,
    ) -> R {
        self.ask();
        std::thread::scope(|scope| {
            let worker = scope.spawn(move || {
                let _done = Farewell(sender);
                work()
            });
            let mut asked = Instant::now();
            loop {
                match questions.recv_timeout(POLL_EVERY) {
                    Ok(Message::Ask(question)) => answer(question),
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(Message::Done) | Err(RecvTimeoutError::Disconnected) => break,
                }
                if asked.elapsed() >= POLL_EVERY && !self.stopped() {
                    self.ask();
                    tell();
                    asked = Instant::now();
                }
            }
            tell();
            worker.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Stop the work and keep the first exception.
    pub(crate) fn fail(&self, error: PyErr) {
        self.stopped.store(true, Relaxed);
        if let Ok(mut raised) = self.raised.lock() {
            raised.get_or_insert(error);
        }
    }

    /// The outcome of the work, unless Python raised something.
    pub(crate) fn into_result<R>(self, outcome: PyResult<R>) -> PyResult<R> {
        match self.raised.into_inner().unwrap_or(None) {
            Some(raised) => Err(raised),
            None => outcome,
        }
    }

    fn ask(&self) {
        let answer = Python::attach(|py| {
            py.check_signals()?;
            match &self.cancelled {
                Some(f) => f.bind(py).call0()?.is_truthy(),
                None => Ok(false),
            }
        });
        match answer {
            Ok(false) => {}
            Ok(true) => self.stopped.store(true, Relaxed),
            Err(error) => self.fail(error),
        }
    }
}

/// Says goodbye when dropped, also when the work panics.
struct Farewell<Q>(Sender<Message<Q>>);

impl<Q> Drop for Farewell<Q> {
    fn drop(&mut self) {
        // The receiver lives until this thread is joined.
        let _ = self.0.send(Message::Done);
    }
}
