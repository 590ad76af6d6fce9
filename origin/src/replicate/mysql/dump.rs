//! The server's binlog as events: asked for, and read without trusting their lengths.

use super::client::Target;
use super::error::MysqlError;
use super::position::BinlogPosition;
use crate::replicate::supervise::SourceContext;
use futures_util::{FutureExt, StreamExt};
use mysql_async::binlog::events::Event;
use mysql_async::{BinlogStream, BinlogStreamRequest, GnoInterval, Sid};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// How long the first event of a probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// What is asked for.
pub(super) struct Request<'p> {
    /// From where.
    pub(super) position: &'p BinlogPosition,
    /// As which replica.
    pub(super) server_id: u32,
    /// Up to what there is now, instead of for ever.
    pub(super) to_the_end: bool,
}

/// Asks the server for its binlog.
pub(super) async fn open(
    context: &SourceContext,
    target: &Target,
    request: Request<'_>,
) -> Result<BinlogStream, MysqlError> {
    let Request {
        position,
        server_id,
        to_the_end,
    } = request;
    let mut client = target.connect().await?;
    let nanos = u128::from(context.config.heartbeat_ms.max(1)) * 1_000_000;
    client
        .run(&format!("SET @master_heartbeat_period = {nanos}"))
        .await?;
    // MariaDB sends its own events (compressed rows) only to those who know them.
    client.run("SET @mariadb_slave_capability = 4").await?;
    let mut request = BinlogStreamRequest::new(server_id);
    match &position.gtids {
        Some(set) => {
            let sids = set.sources().map(|(uuid, ranges)| {
                let ranges = ranges
                    .iter()
                    .map(|(first, last)| GnoInterval::new(*first, last + 1));
                Sid::new(uuid).with_intervals(ranges.collect())
            });
            request = request.with_gtid().with_gtid_set(sids.collect::<Vec<_>>());
        }
        None => {
            let name = position.file.name.as_bytes();
            request = request.with_filename(name).with_pos(position.offset);
        }
    }
    if to_the_end {
        request = request.with_non_blocking();
    }
    let opened = client.conn.get_binlog_stream(request).await;
    opened.map_err(|error| refused(target, server_id, position, error))
}

/// Whether the server would send its binlog from a position.
pub(super) async fn probe(
    context: &SourceContext,
    target: &Target,
    position: &BinlogPosition,
) -> Result<(), MysqlError> {
    let server_id = context.config.server_id.unwrap_or_else(random_server_id);
    let request = Request {
        position,
        server_id,
        to_the_end: true,
    };
    let mut stream = open(context, target, request).await?;
    let first = tokio::time::timeout(PROBE_TIMEOUT, next(&mut stream)).await;
    let _ = tokio::time::timeout(PROBE_TIMEOUT, stream.close()).await;
    match first {
        Ok(Err(DumpError::Client(error))) => Err(refused(target, server_id, position, error)),
        _ => Ok(()),
    }
}

/// Puts an error of the dump into words.
pub(super) fn refused(
    target: &Target,
    server_id: u32,
    position: &BinlogPosition,
    error: mysql_async::Error,
) -> MysqlError {
    let Target { host, user, .. } = target;
    MysqlError::dump(host, user, server_id, &position.to_string(), error)
}

/// A replica number that is free with near certainty; a fixed one is `server_id` of the source.
pub(super) fn random_server_id() -> u32 {
    0x4000_0000 | (rand::random::<u32>() >> 2)
}

/// Why there is no next event.
pub(super) enum DumpError {
    /// The server or the connection said so.
    Client(mysql_async::Error),
    /// It could not be parsed.
    Panic,
}

/// The next event. The client's parser trusts lengths it is sent and panics on corrupt ones:
/// that is an error like any other here.
pub(super) async fn next(stream: &mut BinlogStream) -> Result<Option<Event>, DumpError> {
    match AssertUnwindSafe(stream.next()).catch_unwind().await {
        Ok(Some(Ok(event))) => Ok(Some(event)),
        Ok(Some(Err(error))) => Err(DumpError::Client(error)),
        Ok(None) => Ok(None),
        Err(_) => Err(DumpError::Panic),
    }
}
