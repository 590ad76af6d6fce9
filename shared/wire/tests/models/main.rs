//! Model files of LightGBM and XGBoost: what they predict and what reading them costs.

mod memory;
mod predictions;
mod recorded;
