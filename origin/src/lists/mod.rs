//! Lists that are made in the background: hot lists, similar items, suggested users.

pub mod engagement;
pub mod hot;
pub mod similar;
pub mod suggested;
