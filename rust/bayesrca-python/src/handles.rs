//! Prepared likelihoods behind small integers.
//!
//! The sampler's threads call the likelihood by number, without the GIL and without a lock. A handle is
//! `slot + CAPACITY * generation`; a released or invented one is refused, never followed.
#![allow(
    unsafe_code,
    reason = "slots own their likelihood through a raw pointer; see the SAFETY comments"
)]

use std::ptr::null_mut;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicUsize, Ordering::SeqCst};

use bayesrca_core::Likelihood;

/// Incidents that may be prepared at once in one process.
const CAPACITY: usize = 1024;

struct Slot {
    /// The live handle, 0 when free.
    handle: AtomicI64,
    pointer: AtomicPtr<Likelihood>,
    /// Calls in progress.
    readers: AtomicUsize,
}

static SLOTS: [Slot; CAPACITY] = [const {
    Slot {
        handle: AtomicI64::new(0),
        pointer: AtomicPtr::new(null_mut()),
        readers: AtomicUsize::new(0),
    }
}; CAPACITY];

/// Serialises `insert` and `release` (never the hot path); counts handles given out.
static WRITER: Mutex<i64> = Mutex::new(0);

/// Largest handle: fits the int32 to which PyMC narrows data.
const MAX_HANDLE: i64 = i32::MAX as i64;

/// Store a likelihood. None when all slots are taken.
pub(crate) fn insert(likelihood: Likelihood) -> Option<i64> {
    let mut generation = WRITER
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let slot = SLOTS.iter().position(|s| s.handle.load(SeqCst) == 0)?;
    let capacity = CAPACITY.cast_signed() as i64;
    *generation = if (*generation + 2) * capacity > MAX_HANDLE {
        1
    } else {
        *generation + 1
    };
    let handle = slot.cast_signed() as i64 + capacity * *generation;
    SLOTS[slot]
        .pointer
        .store(Box::into_raw(Box::new(likelihood)), SeqCst);
    SLOTS[slot].handle.store(handle, SeqCst);
    Some(handle)
}

/// Free a likelihood once no call uses it. False when the handle is unknown.
pub(crate) fn release(handle: i64) -> bool {
    let _writer = WRITER
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let Some(slot) = slot_of(handle) else {
        return false;
    };
    if slot
        .handle
        .compare_exchange(handle, 0, SeqCst, SeqCst)
        .is_err()
    {
        return false;
    }
    let pointer = slot.pointer.swap(null_mut(), SeqCst);
    // A reader that saw the handle before it was cleared has raised `readers` before that.
    while slot.readers.load(SeqCst) > 0 {
        std::thread::yield_now();
    }
    // SAFETY: `pointer` came from Box::into_raw in `insert` and was taken out of the slot exactly once.
    drop(unsafe { Box::from_raw(pointer) });
    true
}

/// Call `f` with the likelihood. None when the handle is unknown or released.
pub(crate) fn with<R>(handle: i64, f: impl FnOnce(&Likelihood) -> R) -> Option<R> {
    struct Guard<'a>(&'a Slot);
    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            self.0.readers.fetch_sub(1, SeqCst);
        }
    }
    let slot = slot_of(handle)?;
    slot.readers.fetch_add(1, SeqCst);
    let _guard = Guard(slot);
    if slot.handle.load(SeqCst) != handle {
        return None;
    }
    let pointer = slot.pointer.load(SeqCst);
    // SAFETY: the handle was live after `readers` was raised, so `release` waits for this call before freeing.
    unsafe { pointer.as_ref() }.map(f)
}

fn slot_of(handle: i64) -> Option<&'static Slot> {
    if handle <= 0 {
        return None;
    }
    SLOTS.get(usize::try_from(handle).ok()? % CAPACITY)
}
