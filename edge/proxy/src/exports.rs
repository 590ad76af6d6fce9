//! The exports of `proxy.wasm`.
//!
//! The only unsafe code of the proxy: a module without imports has one static to keep its state
//! in, and exports need `no_mangle`. A wasm32 module without the threads feature has one thread,
//! and no export calls another, so the exclusive reference is never aliased. All work is done by
//! the safe [`Isolate`], which the tests drive.
//!
//! The module also brings what `std` would: its allocator, and what a panic does.
#![allow(unsafe_code, reason = "see above")]

use core::cell::UnsafeCell;
use core::panic::PanicInfo;

use dlmalloc::GlobalDlmalloc;

use crate::Isolate;

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

/// Pointer to an input buffer of `len` bytes, valid until the next call; null where `len` is over
/// the limit (2 MiB).
#[unsafe(no_mangle)]
pub extern "C" fn proxy_input(len: u32) -> *mut u8 {
    isolate(|isolate| match isolate.input(len as usize) {
        Some(buffer) => buffer.as_mut_ptr(),
        None => core::ptr::null_mut(),
    })
}

/// Pointer to the last call's output.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_output() -> *const u8 {
    isolate(|isolate| isolate.output().as_ptr())
}

/// Takes the configuration; returns the length of the error sentence, 0 where there is none.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_init(len: u32) -> u32 {
    isolate(|isolate| isolate.init(len as usize));
    output_len()
}

/// A client's request; returns the output's length.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_request(len: u32) -> u32 {
    isolate(|isolate| isolate.request(len as usize));
    output_len()
}

/// What came of a request to the origin; returns the output's length.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_response(len: u32) -> u32 {
    isolate(|isolate| isolate.response(len as usize));
    output_len()
}

/// The origin is late at `now_ms`; returns the output's length.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_late(id: u32, now_ms: f64) -> u32 {
    isolate(|isolate| isolate.late(id, now_ms as i64));
    output_len()
}

/// A body to keep is whole, or will not be; returns the output's length.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_body(id: u32, whole: u32, bytes: u32) -> u32 {
    isolate(|isolate| isolate.body(id, (whole != 0).then_some(u64::from(bytes))));
    output_len()
}
