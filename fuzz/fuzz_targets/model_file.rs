#![no_main]
//! Model files, with limits on what reading one may take.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Most bytes held for each byte of input, all readers one after the other.
const BYTES_A_BYTE: usize = 8;
/// Most bytes held beside that: sets of categories, of which a few bytes name a large one.
const BYTES_BESIDE: usize = 4 << 20;
/// Longest for inputs of libFuzzer's size, instrumentation and sanitizer included.
const TIME_MAX: Duration = Duration::from_secs(2);

/// The system's allocator, counting.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is left to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(
            HELD.fetch_add(layout.size(), Relaxed) + layout.size(),
            Relaxed,
        );
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (before, started) = (HELD.load(Relaxed), Instant::now());
    MOST.store(before, Relaxed);
    edgewise_wire::fuzz::model_file(data);
    let held = MOST.load(Relaxed) - before;
    assert!(
        held <= BYTES_A_BYTE * data.len() + BYTES_BESIDE,
        "{held} bytes held"
    );
    assert!(started.elapsed() <= TIME_MAX, "{:?}", started.elapsed());
});
