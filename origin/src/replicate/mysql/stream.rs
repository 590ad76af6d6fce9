//! Follows the binlog: events in order, rows to the applier, positions after them.

use super::checksum::is_intact;
use super::client::{Client, Target};
use super::dump::{self, DumpError, Request};
use super::error::MysqlError;
use super::event::{self, Query, QueryForm, kind};
use super::gtid::GtidSet;
use super::lag;
use super::position::{BinlogPosition, File, Identity};
use super::prepared::{Collected, Kept};
use super::rows::{self, Skip};
use super::snapshot::AbortOnDrop;
use super::tables::{Known, Layout, Tables};
use super::wire::Malformed;
use super::xa::{Group, Undecided};
use crate::replicate::apply::Applier;
use crate::replicate::supervise::{SourceContext, SourceError};
use futures_util::FutureExt;
use mysql_async::BinlogStream;
use mysql_async::binlog::events::Event;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Heartbeats that may be missing before the connection is given up.
const MISSED_HEARTBEATS: u32 = 3;

/// How often measures of the tables are published.
const PUBLISH_EVERY: Duration = Duration::from_secs(5);

/// How long closing a connection may take.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A transaction that is being read.
#[derive(Default)]
pub(super) struct Transaction {
    /// Where it begins.
    pub(super) start: u64,
    /// Row events of it that were read.
    pub(super) events: u64,
    /// Its number, where MySQL numbers them.
    pub(super) gtid: Option<([u8; 16], u64)>,
    /// Tables with rows in it.
    pub(super) touched: Vec<usize>,
    /// Its rows, where it is an XA transaction that is not committed with them.
    pub(super) xa: Option<Collected>,
    /// Its `ALTER` is not done here (`binlog_alter_two_phase`).
    pub(super) is_no_alter: bool,
}

/// One life of the stream.
pub(super) struct Stream<'c> {
    pub(super) context: &'c SourceContext,
    pub(super) target: &'c Target,
    pub(super) catalog: Client,
    pub(super) applier: Applier<BinlogPosition>,
    pub(super) tables: Tables,
    pub(super) file: Arc<File>,
    /// Up to here every transaction is read.
    pub(super) offset: u64,
    pub(super) gtids: Option<Arc<GtidSet>>,
    pub(super) transaction: Option<Transaction>,
    pub(super) skip: Option<Skip>,
    /// XA transactions that are prepared before `offset`.
    pub(super) undecided: Arc<Undecided>,
    /// Rows of them.
    pub(super) kept: Kept,
    /// End of the packed transaction that is being read.
    pub(super) payload_end: Option<u64>,
    pub(super) server_id: u32,
    /// Whether the server ends its events with a checksum.
    pub(super) has_checksums: bool,
    /// Whether this connection has had the head of a file, which tells the client so.
    pub(super) has_head: bool,
}

/// What one event asks for.
pub(super) enum Step {
    /// Nothing more.
    Done,
    /// A transaction ends here; its commit time, Unix seconds.
    Commit { end: u64, at: u32 },
}

impl<'c> Stream<'c> {
    /// Starts from a stored position.
    pub(super) fn new(
        context: &'c SourceContext,
        target: &'c Target,
        catalog: Client,
        applier: Applier<BinlogPosition>,
        tables: Tables,
        position: BinlogPosition,
    ) -> Self {
        let inside = position.events > 0 || position.rows > 0;
        let BinlogPosition {
            file,
            offset,
            events,
            rows,
            gtids,
            undecided,
        } = position;
        let skip = inside.then(|| Skip {
            file: Arc::clone(&file),
            offset,
            events,
            rows,
        });
        let server_id = context
            .config
            .server_id
            .unwrap_or_else(dump::random_server_id);
        Self {
            context,
            target,
            catalog,
            applier,
            tables,
            file,
            offset,
            gtids,
            transaction: None,
            skip,
            undecided,
            kept: Kept::default(),
            payload_end: None,
            server_id,
            has_checksums: false,
            has_head: false,
        }
    }

    /// Follows until it is told to stop or something fails.
    pub(super) async fn run(mut self) -> Result<(), SourceError> {
        let checksum = self.catalog.variable("binlog_checksum").await?;
        self.has_checksums = checksum.is_some_and(|kind| !kind.eq_ignore_ascii_case("none"));
        let mut stream = self.open().await?;
        let (context, target) = (self.context.clone(), self.target.clone());
        let durable = self.applier.durable();
        let lag = tokio::spawn(lag::watch(context, target, self.position(), durable));
        let _lag = AbortOnDrop(lag.abort_handle());
        let done = self.follow(&mut stream).await;
        // A connection that does not close in time is dropped with the rest.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, stream.close()).await;
        done
    }

    async fn follow(&mut self, stream: &mut BinlogStream) -> Result<(), SourceError> {
        let heartbeat = Duration::from_millis(self.context.config.heartbeat_ms.max(1));
        let silence = heartbeat * MISSED_HEARTBEATS + Duration::from_secs(1);
        let mut stop = self.context.stop.clone();
        let mut publish = tokio::time::interval(PUBLISH_EVERY);
        let mut deadline = Box::pin(tokio::time::sleep(silence));
        loop {
            // Without a timer while events are there: they come by the hundred thousand.
            if let Some(event) = dump::next(stream).now_or_never() {
                self.event(event).await?;
                continue;
            }
            deadline
                .as_mut()
                .reset(tokio::time::Instant::now() + silence);
            loop {
                tokio::select! {
                    event = dump::next(stream) => {
                        self.event(event).await?;
                        break;
                    }
                    done = self.applier.idle() => done?,
                    _ = publish.tick() => self.publish(),
                    () = deadline.as_mut() => return Err(self.silent(silence).into()),
                    () = told(&mut stop) => {
                        self.applier.flush().await?;
                        return Ok(());
                    }
                }
            }
        }
    }

    pub(super) fn silent(&self, silence: Duration) -> MysqlError {
        MysqlError::Silent {
            host: self.target.host.clone(),
            seconds: silence.as_secs(),
        }
    }

    fn publish(&mut self) {
        let now_ms = self.context.clock.wall_ms();
        for table in &mut self.tables.followed {
            for entry in &mut table.entries {
                if let Some(quality) = &mut entry.quality {
                    quality.publish(now_ms);
                }
            }
        }
        self.context.status.position(&self.position().to_string());
    }

    /// Where the stream stands between transactions.
    pub(super) fn position(&self) -> BinlogPosition {
        let undecided = Arc::clone(&self.undecided);
        BinlogPosition {
            undecided,
            ..BinlogPosition::committed(Arc::clone(&self.file), self.offset, self.gtids.clone())
        }
    }

    async fn open(&self) -> Result<BinlogStream, MysqlError> {
        let request = Request {
            position: &self.position(),
            server_id: self.server_id,
            to_the_end: false,
        };
        dump::open(self.context, self.target, request).await
    }

    fn dump_error(&self, error: mysql_async::Error) -> MysqlError {
        dump::refused(self.target, self.server_id, &self.position(), error)
    }

    async fn event(&mut self, event: Result<Option<Event>, DumpError>) -> Result<(), SourceError> {
        let event = match event {
            Ok(Some(event)) => event,
            Ok(None) => return Err(self.corrupt("the server ended the stream").into()),
            Err(DumpError::Client(error)) => return Err(self.dump_error(error).into()),
            Err(DumpError::Panic) => {
                return Err(self.corrupt("the event could not be parsed").into());
            }
        };
        match self.step(&event).await? {
            Step::Done => Ok(()),
            Step::Commit { end, at } => self.commit(end, at).await,
        }
    }

    async fn step(&mut self, event: &Event) -> Result<Step, SourceError> {
        // Events inside of a compressed transaction have none of their own.
        if self.payload_end.is_none() && !is_intact(event) {
            return Err(self.corrupt("the event's checksum does not fit").into());
        }
        let header = event.header();
        let (event_type, body) = (header.event_type_raw(), event.data());
        let end = self.extend(header.log_pos());
        let commit = Step::Commit {
            end,
            at: header.timestamp(),
        };
        if let Some(format) = event::rows_format(event_type) {
            self.rows(format, body).await?;
            return Ok(Step::Done);
        }
        match event_type {
            kind::TABLE_MAP => self.table_map(body).await?,
            kind::XID => return Ok(commit),
            kind::GTID | kind::ANONYMOUS_GTID | kind::MARIADB_GTID => {
                self.begin(event_type, body)?
            }
            kind::QUERY | kind::QUERY_COMPRESSED => {
                let form = match event_type {
                    kind::QUERY => QueryForm::Plain,
                    _ => QueryForm::Compressed,
                };
                let query = Query::parse(body, form).map_err(|error| self.malformed(error))?;
                return self.query(&query, commit).await;
            }
            kind::XA_PREPARE => {
                self.prepared(body).await?;
                return Ok(commit);
            }
            kind::ROTATE => self.rotate(body)?,
            kind::FORMAT_DESCRIPTION => self.file_begins(header.timestamp()).await?,
            kind::TRANSACTION_PAYLOAD => self.payload_end = Some(end),
            kind::EXECUTE_LOAD_QUERY => {
                let query = Query::parse(body, QueryForm::Load);
                let query = query.map_err(|error| self.malformed(error))?;
                self.statement_rows(&query, &query.words()).await;
            }
            kind::PARTIAL_UPDATE_ROWS | kind::GTID_TAGGED => {
                return Err(self.unsupported(event_type));
            }
            kind::INCIDENT => {
                let reason = "the server says that it lost events here".to_owned();
                return Err(MysqlError::Lost {
                    position: self.position().to_string(),
                    reason,
                }
                .into());
            }
            // Heartbeats, ends of files, annotations, checksums, …
            _ => {}
        }
        Ok(Step::Done)
    }

    fn unsupported(&self, event_type: u8) -> SourceError {
        let (problem, remedy) = if event_type == kind::GTID_TAGGED {
            (
                "a transaction has a tagged GTID",
                "commit without a tag (SET GTID_NEXT = AUTOMATIC)",
            )
        } else {
            (
                "JSON updates are logged in part",
                "SET GLOBAL binlog_row_value_options = '', then resync",
            )
        };
        MysqlError::Setting {
            host: self.target.host.clone(),
            problem: problem.to_owned(),
            remedy: remedy.to_owned(),
        }
        .into()
    }

    /// A transaction begins.
    fn begin(&mut self, event_type: u8, body: &[u8]) -> Result<(), MysqlError> {
        let gtid = match (event_type, &self.gtids) {
            (kind::GTID, Some(_)) => Some(event::gtid(body).map_err(|e| self.malformed(e))?),
            _ => None,
        };
        let group = match event_type {
            kind::MARIADB_GTID => Group::parse(body).map_err(|e| self.malformed(e))?,
            _ => Group::default(),
        };
        self.transaction = Some(Transaction {
            start: self.offset,
            gtid,
            xa: group.prepares.map(|_| Collected::default()),
            is_no_alter: group.is_no_alter,
            ..Transaction::default()
        });
        Ok(())
    }

    async fn commit(&mut self, end: u64, at: u32) -> Result<(), SourceError> {
        if let Some(transaction) = self.transaction.take() {
            self.skip = None;
            if let (Some((uuid, number)), Some(set)) = (transaction.gtid, &mut self.gtids) {
                Arc::make_mut(set).add(uuid, number);
            }
        }
        self.payload_end = None;
        self.offset = end;
        self.pass_copies();
        let at_ms = (at > 0).then(|| i64::from(at) * 1_000);
        self.applier.advance(self.position(), at_ms).await?;
        Ok(())
    }

    /// The followed table that a number stands for, with its layout; `None` where it is none.
    pub(super) fn announced(
        &self,
        table_id: u64,
    ) -> Result<Option<(usize, &Arc<Layout>)>, MysqlError> {
        match self.tables.rows_of(table_id) {
            Some(Known::Read(table, layout)) => Ok(Some((*table, layout))),
            Some(Known::Ignored) => Ok(None),
            None if table_id == DUMMY_TABLE => Ok(None),
            None => Err(self.corrupt("rows of a table that was not announced")),
        }
    }

    pub(super) async fn rows(
        &mut self,
        format: event::RowsFormat,
        body: &[u8],
    ) -> Result<(), SourceError> {
        let transaction = self.begun();
        if transaction.xa.is_some() {
            return self.hold(format, body);
        }
        let index = transaction.events;
        transaction.events += 1;
        let start = transaction.start;
        let done = match &self.skip {
            Some(skip) => skip.rows_done(&self.file, start, index),
            None => Some(0),
        };
        let Some(done) = done else { return Ok(()) };
        let table_id = event::table_id(body).map_err(|error| self.malformed(error))?;
        let Some((table, layout)) = self.announced(table_id)? else {
            return Ok(());
        };
        let layout = Arc::clone(layout);
        if let Some(transaction) = &mut self.transaction
            && !transaction.touched.contains(&table)
        {
            transaction.touched.push(table);
        }
        let file = Arc::clone(&self.file);
        let position = BinlogPosition {
            file,
            offset: start,
            events: index,
            rows: 0,
            gtids: self.gtids.clone(),
            undecided: Arc::clone(&self.undecided),
        };
        let Some(followed) = self.tables.followed.get_mut(table) else {
            return Ok(());
        };
        let at_ms = self.context.clock.wall_ms();
        let place = rows::Place {
            position,
            done,
            at_ms,
        };
        rows::apply(&mut self.applier, followed, &layout, format, body, place).await
    }

    pub(super) fn malformed(&self, error: Malformed) -> MysqlError {
        MysqlError::malformed(self.position().to_string(), error)
    }

    pub(super) fn corrupt(&self, reason: &str) -> MysqlError {
        MysqlError::Corrupt {
            position: self.position().to_string(),
            reason: reason.to_owned(),
        }
    }
}

/// The number of rows events that only end a statement.
const DUMMY_TABLE: u64 = 0x00ff_ffff;

/// Ends when the source is told to stop, or nobody is left who could tell it.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Which server this is.
pub(super) async fn identity(client: &mut Client) -> Result<Identity, MysqlError> {
    let uuid = client.variable("server_uuid").await?.unwrap_or_default();
    let server_id = client.variable("server_id").await?;
    let server_id = server_id.and_then(|id| id.parse().ok()).unwrap_or_default();
    Ok(Identity { uuid, server_id })
}
