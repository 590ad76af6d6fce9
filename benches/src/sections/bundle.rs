//! Encoding and decoding of candidate bundles.

use anyhow::Result;
use edgewise_workloads::{Bundles, Work};

use super::ranking::compare;
use crate::table::Table;

pub(crate) fn run(table: &mut Table) -> Result<()> {
    for rows in [200, 900] {
        let kib = Bundles::new(Work::Encode, rows).encoded_bytes() as f64 / 1024.0;
        compare(
            table,
            &format!("bundle of {rows} ({kib:.1} KiB), encode"),
            Work::Encode,
            rows,
        )?;
        compare(
            table,
            &format!("bundle of {rows} ({kib:.1} KiB), decode"),
            Work::Decode,
            rows,
        )?;
    }
    Ok(())
}
