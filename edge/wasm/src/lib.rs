//! `edge.wasm`: what an edge does (`edge/core`) as one module without imports. Empty elsewhere than
//! on wasm32.

#![no_std]

#[cfg(target_arch = "wasm32")]
mod exports;
