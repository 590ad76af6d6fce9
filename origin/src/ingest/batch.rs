//! A group of commands in one transaction.

use edgewise_ranking::config::HotConfig;

use super::{Changes, Command, Outcome, Written};
use crate::store::{StoreError, Transaction};

pub(super) struct Batch;

impl Batch {
    pub(super) fn run(
        _transaction: &mut dyn Transaction,
        _hot: &HotConfig,
        commands: &[(Command, Written)],
    ) -> Result<(Vec<Outcome>, Changes), StoreError> {
        Ok((
            commands.iter().map(|_| Outcome::default()).collect(),
            Changes::default(),
        ))
    }
}
