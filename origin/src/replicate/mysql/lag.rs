//! How far the server's binlog is ahead of what is durable here, in bytes.

use super::client::{Client, Target};
use super::error::MysqlError;
use super::position::BinlogPosition;
use crate::replicate::supervise::SourceContext;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// How often the server is asked: it looks at every file of its binlog for an answer.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// Less is what stands at the head of a file, where no transaction is.
const LAG_BYTES_NOTED: u64 = 4_096;

/// Says how far behind the stream is, until it is dropped. `start` is where it stands before
/// anything of this life is durable.
pub(super) async fn watch(
    context: SourceContext,
    target: Target,
    start: BinlogPosition,
    durable: watch::Receiver<Option<BinlogPosition>>,
) {
    let mut asks = tokio::time::interval(ASK_EVERY);
    asks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut client = None;
    loop {
        asks.tick().await;
        match ask(&target, &mut client).await {
            Ok(files) => {
                // After the answer: what is applied by then is not behind.
                let position = durable.borrow().clone().unwrap_or_else(|| start.clone());
                if let Some(bytes) = behind(&files, &position.file.name, position.offset) {
                    context.metrics.lag_bytes(bytes);
                    context.status.lag(Some(bytes), None);
                }
            }
            Err(error) => {
                client = None;
                let source = &context.config.name;
                tracing::debug!(source, %error, "the size of the binlog is not known");
            }
        }
    }
}

/// The files of the binlog with their sizes in bytes, oldest first.
async fn ask(
    target: &Target,
    client: &mut Option<Client>,
) -> Result<Vec<(String, u64)>, MysqlError> {
    let client = match client {
        Some(client) => client,
        None => client.insert(target.connect().await?),
    };
    let rows = client.rows("SHOW BINARY LOGS", Vec::new()).await?;
    let files = rows.iter();
    Ok(files
        .map(|row| (row.text(0), row.number(1).unwrap_or(0)))
        .collect())
}

/// Bytes after a place; `None` where its file is not among them.
fn behind(files: &[(String, u64)], name: &str, offset: u64) -> Option<u64> {
    let at = files.iter().position(|(file, _)| file == name)?;
    let sizes = files.iter().skip(at).map(|(_, bytes)| bytes);
    let bytes = sizes.sum::<u64>().saturating_sub(offset);
    Some(if bytes < LAG_BYTES_NOTED { 0 } else { bytes })
}

#[cfg(test)]
mod tests {
    use super::behind;

    #[test]
    fn the_rest_of_a_file_and_all_later_ones_are_behind() {
        let files = [("b.1", 90_000), ("b.2", 50_000), ("b.3", 7_000)];
        let files = files.map(|(name, bytes)| (name.to_owned(), bytes));
        assert_eq!(behind(&files, "b.1", 80_000), Some(67_000));
        assert_eq!(behind(&files, "b.2", 50_000), Some(7_000));
        assert_eq!(behind(&files, "b.3", 7_000), Some(0));
        assert_eq!(behind(&files, "b.3", 6_700), Some(0), "the head of a file");
        assert_eq!(behind(&files, "b.3", 9_000), Some(0), "asked a moment ago");
        assert_eq!(behind(&files, "b.0", 4), None);
    }
}
