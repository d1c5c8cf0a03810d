//! The vector instructions of the machine at hand, for `fearless_simd::dispatch!`.
//!
//! A kernel is an `#[inline(always)]` function, with everything it calls, inside a `dispatch!`, which compiles it once
//! per instruction set (wheels assume no more than SSE2 on x86-64). Its result is the same bits everywhere: the compiler
//! widens loops but neither reorders sums of floats nor contracts `a * b + c`, and kernels use no fused multiply-add.

use fearless_simd::Level;

/// The best instruction set this machine has.
#[inline]
pub(crate) fn level() -> Level {
    #[cfg(test)]
    if tests::ON_BASELINE.get() {
        return Level::baseline();
    }
    Level::new()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        pub static ON_BASELINE: Cell<bool> = const { Cell::new(false) };
    }

    /// Run `body` on this thread with the baseline instructions.
    pub fn on_baseline<R>(body: impl FnOnce() -> R) -> R {
        ON_BASELINE.set(true);
        let result = body();
        ON_BASELINE.set(false);
        result
    }
}
