//! Before first copies: XA transactions that were prepared before the binlog is followed.
//!
//! A copy does not see their rows, and the stream begins behind them. So the copies wait until
//! each of them is committed (then the copies see it) or rolled back.

use super::client::{Client, Target};
use super::error::MysqlError;
use super::start::{SETTLE, master_status};
use super::xa::{Place, Undecided, Xid};
use crate::replicate::supervise::{SourceContext, SourceError};
use mysql_async::Value;
use std::time::Duration;

/// How often the server is asked.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// How many questions there are between two words in the log: 10 s.
const SAY_EVERY: u32 = 20;

/// Names that a message lists at most.
const NAMES_MAX: usize = 5;

/// MySQL: what asking needs.
pub(super) const RIGHT: &str = "XA_RECOVER_ADMIN";

/// Waits until no XA transaction is undecided that was prepared before the position which was
/// taken before this is called; what the stream has to know of them. `None` where it is told to
/// stop.
pub(super) async fn settle(
    context: &SourceContext,
    target: &Target,
    client: &mut Client,
) -> Result<Option<Undecided>, SourceError> {
    let is_used = is_used(client).await?;
    if is_used {
        // One that is in the binlog may not be listed for a moment.
        tokio::time::sleep(SETTLE).await;
    }
    let mut left = match recover(client).await {
        Ok(left) => left,
        Err(error) if is_refused(&error) => {
            tracing::warn!(
                source = context.config.name,
                "the user may not see prepared XA transactions ({RIGHT} is missing): where one is \
                 decided that was prepared before now, every table stops"
            );
            return Ok(Some(Undecided::default()));
        }
        Err(error) => return Err(error.into()),
    };
    if left.is_empty() && !is_used {
        return Ok(Some(Undecided::default()));
    }
    let mut asked = 0_u32;
    while !left.is_empty() {
        if asked.is_multiple_of(SAY_EVERY) {
            say(context, &left);
        }
        asked += 1;
        let mut stop = context.stop.clone();
        let stopped = stop.wait_for(|stop| *stop);
        if tokio::time::timeout(ASK_EVERY, stopped).await.is_ok() {
            return Ok(None);
        }
        let now = recover(client).await?;
        // Others were prepared behind the position: the stream will meet them.
        left.retain(|xid| now.contains(xid));
    }
    let (file, offset) = master_status(target, client).await?;
    Ok(Some(Undecided::copied_after(Place { file, offset })))
}

fn say(context: &SourceContext, left: &[Xid]) {
    let (problem, remedy) = words(left);
    let source = &context.config.name;
    tracing::warn!(source, remedy, "the first copy waits: {problem}");
    context.status.failed(&problem, &remedy, true);
}

/// What is undecided, and what to do about it.
pub(super) fn words(left: &[Xid]) -> (String, String) {
    let names: Vec<String> = left.iter().take(NAMES_MAX).map(Xid::to_string).collect();
    let more = match left.len().saturating_sub(NAMES_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let first = names.first().cloned().unwrap_or_default();
    (
        format!(
            "XA transactions are prepared and neither committed nor rolled back: {}{more}",
            names.join("; ")
        ),
        format!(
            "nothing, if their owners are about to decide them; of those that nobody owns any \
             more each with `XA COMMIT {first};` or `XA ROLLBACK {first};`"
        ),
    )
}

/// The transactions that are prepared at the server.
pub(super) async fn recover(client: &mut Client) -> Result<Vec<Xid>, MysqlError> {
    let rows = client.rows("XA RECOVER", Vec::new()).await?;
    let xids = rows.iter().filter_map(|row| {
        let length = |index| usize::try_from(row.number(index)?).ok();
        let Some(Value::Bytes(data)) = row.values().get(3) else {
            return None;
        };
        Xid::of_recover(row.number(0)?, length(1)?, length(2)?, data)
    });
    Ok(xids.collect())
}

/// Whether the server has prepared any since it was started.
async fn is_used(client: &mut Client) -> Result<bool, MysqlError> {
    let sql = "SHOW GLOBAL STATUS LIKE 'Com_xa_prepare'";
    let count = client.row(sql).await?.and_then(|row| row.number(1));
    Ok(count.is_some_and(|count| count > 0))
}

/// Whether asking needs a right that the user does not have (MySQL; XAER_RMERR).
pub(super) fn is_refused(error: &MysqlError) -> bool {
    matches!(
        error,
        MysqlError::Privilege(_) | MysqlError::Server { code: 1401, .. }
    )
}
