//! The exports.
//!
//! The only unsafe code of the edge: a module without imports has one static to keep its
//! state in, and exports need `no_mangle`. A wasm32 module without the threads feature has
//! one thread, and no export calls another, so the exclusive reference is never aliased.
//! All work is done by the safe [`Isolate`], which the tests drive.
//!
//! The module also brings what `std` would: its allocator, and what a panic does. A host sees a
//! trap and no message either way; without a reader the messages are dropped when linking.
//!
//! A crate of its own, because all crates are optimised as one for the module, at the level of the
//! last: this one is compiled for speed, or the loops of ranking would not be vectorised.
#![allow(
    unsafe_code,
    reason = "exports need `no_mangle`, and their state a static"
)]

use core::cell::UnsafeCell;
use core::panic::PanicInfo;

use dlmalloc::GlobalDlmalloc;

use edgewise_edge_core::abi::{ABI_VERSION, Isolate};

#[global_allocator]
static ALLOCATOR: GlobalDlmalloc = GlobalDlmalloc;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

struct Global(UnsafeCell<Isolate>);

// SAFETY: one thread (see the module's documentation).
unsafe impl Sync for Global {}

static ISOLATE: Global = Global(UnsafeCell::new(Isolate::new()));

fn isolate<T>(work: impl FnOnce(&mut Isolate) -> T) -> T {
    // SAFETY: one thread, and `work` never calls an export.
    work(unsafe { &mut *ISOLATE.0.get() })
}

fn output_len() -> u32 {
    isolate(|isolate| u32::try_from(isolate.output().len()).unwrap_or(0))
}

/// Version of this interface.
#[unsafe(no_mangle)]
pub extern "C" fn edge_abi() -> u32 {
    ABI_VERSION
}

/// Pointer to an input buffer of at least `len` bytes, valid until the next call; null where
/// `len` is over the limit (64 MiB).
#[unsafe(no_mangle)]
pub extern "C" fn edge_input(len: u32) -> *mut u8 {
    isolate(|isolate| match isolate.input(len as usize) {
        Some(buffer) => buffer.as_mut_ptr(),
        None => core::ptr::null_mut(),
    })
}

/// Takes the configuration; returns the length of the error sentence, 0 where there is none.
#[unsafe(no_mangle)]
pub extern "C" fn edge_init(len: u32) -> u32 {
    isolate(|isolate| isolate.init(len as usize));
    output_len()
}

/// Starts a request; returns the output's length.
#[unsafe(no_mangle)]
pub extern "C" fn edge_start(len: u32) -> u32 {
    isolate(|isolate| isolate.start(len as usize));
    output_len()
}

/// Id of the last start's output, 0 where it has none: outputs of one id are the same bytes.
#[unsafe(no_mangle)]
pub extern "C" fn edge_repeated() -> u32 {
    isolate(|isolate| isolate.repeated())
}

/// Resumes a request; returns the output's length.
#[unsafe(no_mangle)]
pub extern "C" fn edge_resume(len: u32) -> u32 {
    isolate(|isolate| isolate.resume(len as usize));
    output_len()
}

/// Ranks JSON to JSON lines; returns the output's length.
#[unsafe(no_mangle)]
pub extern "C" fn edge_rank(len: u32) -> u32 {
    isolate(|isolate| isolate.rank(len as usize));
    output_len()
}

/// Ranks a page of a pack; returns the output's length.
#[unsafe(no_mangle)]
pub extern "C" fn edge_feed(len: u32) -> u32 {
    isolate(|isolate| isolate.feed(len as usize));
    output_len()
}

/// Pointer to the last call's output.
#[unsafe(no_mangle)]
pub extern "C" fn edge_output() -> *const u8 {
    isolate(|isolate| isolate.output().as_ptr())
}
