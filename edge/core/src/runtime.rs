//! What `edge.wasm` takes from nobody else: the allocator and the panic handler.
//!
//! `std` would bring both, and with its panic handler every panic message, the code that
//! formats it and the source location of every check. A module without imports has nobody
//! to tell them to: a panic is a trap there either way, and the host starts a new instance.

use core::panic::PanicInfo;

use dlmalloc::GlobalDlmalloc;

/// The allocator that `std` has on this target.
#[global_allocator]
static ALLOCATOR: GlobalDlmalloc = GlobalDlmalloc;

/// Traps. The message is not looked at, so the linker drops what would have made it.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
