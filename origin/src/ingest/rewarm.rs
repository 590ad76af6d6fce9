//! Another hot configuration or rule of outliers: the stored sums are made again from the log.

use edgewise_ranking::HotSum;
use edgewise_ranking::config::HotConfig;

use super::outlier::RULE;
use super::packed::Packed;
use crate::store::reaction::Reaction;
use crate::store::record::{ItemTotals, Record};
use crate::store::{Store, StoreError, Table, keys, read};
use crate::verify;

/// Makes all hot sums again where the store's were made with other parameters than `config`, or by another rule.
pub(super) fn rewarm(store: &dyn Store, config: &HotConfig) -> Result<(), StoreError> {
    let snapshot = store.read()?;
    let stored = read::get::<HotConfig>(&*snapshot, Table::Meta, keys::HOT_CONFIG)?;
    let Some(stored) = stored else { return Ok(()) };
    let rule = read::get::<u64>(&*snapshot, Table::Meta, keys::OUTLIER_RULE)?;
    if stored == *config && rule == Some(RULE) {
        return Ok(());
    }
    tracing::info!(
        "the hot configuration or the rule of outliers changed, hot sums are made again from the log"
    );
    let recount = verify::recount(&*snapshot, *config)?;
    store.write(&mut |tx| {
        for item in recount.counters.keys() {
            let key = keys::number(*item);
            let warmth = recount.warmth.get(item).cloned().unwrap_or_default();
            let mut totals =
                read::get::<ItemTotals>(&*tx, Table::Totals, &key)?.unwrap_or_default();
            totals.hot = config.half_life_minutes.map(|half_life| {
                warmth
                    .sum(half_life)
                    .map_or(HotSum::default(), |(sum, _)| sum)
            });
            totals.last_event_ms = warmth.last_event_ms;
            tx.put(Table::Totals, &key, &totals.encode())?;
        }
        let mut reactions = Packed::<8, Reaction>::new(Table::Reactions, 0);
        for (&(user, item), made) in &recount.reactions {
            *reactions.entry(&*tx, keys::number(user), item)? = made.record();
        }
        reactions.flush(tx)?;
        tx.put(Table::Meta, keys::OUTLIER_RULE, &RULE.encode())?;
        tx.put(Table::Meta, keys::HOT_CONFIG, &config.encode())
    })
}
