//! Runs a kernel with the widest vectors the machine is known to have.
//!
//! WASM has its 128 bits at compile time. x86-64 is built for its oldest machines, so a
//! kernel is compiled once more with AVX2 and chosen at run time. Both compute the same
//! bits: only the width of registers differs, never the order of operations (no FMA).

#[cfg(target_arch = "x86_64")]
cpufeatures::new!(avx2, "avx2");

/// Work on lanes that the compiler vectorises. `run` must be `#[inline(always)]`, and what
/// it calls too, or it is compiled without the wider vectors.
pub(crate) trait Kernel {
    /// Does the work.
    fn run(self);
}

/// Runs `kernel`.
pub(crate) fn dispatch<K: Kernel>(kernel: K) {
    #[cfg(target_arch = "x86_64")]
    if avx2::get() {
        return with_avx2(kernel);
    }
    kernel.run();
}

#[cfg(target_arch = "x86_64")]
#[allow(
    unsafe_code,
    reason = "run-time dispatch: trees and dot products are twice as fast with AVX2"
)]
fn with_avx2<K: Kernel>(kernel: K) {
    #[target_feature(enable = "avx2")]
    fn compiled<K: Kernel>(kernel: K) {
        kernel.run();
    }
    // SAFETY: the only caller has found AVX2 on this machine.
    unsafe { compiled(kernel) }
}
