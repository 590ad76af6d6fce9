//! Limits on what reading an input may take.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

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

/// Runs `work` on an input of `len` bytes: at most `a_byte` bytes held for each of them and
/// `beside` more, and at most [`TIME_MAX`].
pub fn run(len: usize, a_byte: usize, beside: usize, work: impl FnOnce()) {
    let (before, started) = (HELD.load(Relaxed), Instant::now());
    MOST.store(before, Relaxed);
    work();
    let held = MOST.load(Relaxed) - before;
    assert!(held <= a_byte * len + beside, "{held} bytes held");
    assert!(started.elapsed() <= TIME_MAX, "{:?}", started.elapsed());
}
