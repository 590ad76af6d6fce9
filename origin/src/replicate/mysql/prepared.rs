//! Rows of prepared XA transactions: held where they stand, applied where `XA COMMIT` stands.
//!
//! A position knows every transaction that is prepared and undecided, with where it begins in
//! the binlog. Its rows are kept in memory up to a bound; what is over it, or was kept before a
//! restart, is read from the binlog once more when the decision comes.

use super::checksum::is_intact;
use super::ddl::{self, Statement};
use super::dump::{self, DumpError, Request};
use super::error::MysqlError;
use super::event::{self, Query, QueryForm, RowsFormat, kind};
use super::position::{BinlogPosition, File};
use super::stream::Stream;
use super::xa::{Group, PREPARED_MAX, Place, Prepare, Xid};
use crate::replicate::supervise::SourceError;
use mysql_async::BinlogStream;
use mysql_async::binlog::events::Event;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of row events that are kept of all prepared transactions of a source.
const HELD_BYTES_MAX: usize = 16 << 20;

/// How long the next event of a transaction that is read once more may take.
const REREAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A row event with the table map that tells how it is read.
struct Held {
    /// Its place among the transaction's row events, those of other tables too: as the events are
    /// numbered where they are read again.
    number: u64,
    map: Arc<[u8]>,
    format: RowsFormat,
    rows: Box<[u8]>,
}

/// The row events of one transaction.
pub(super) struct Collected {
    /// Its row events; `None` where they are too large to be kept.
    held: Option<Vec<Held>>,
    bytes: usize,
    /// Row events so far, whatever table they are of.
    events: u64,
}

impl Default for Collected {
    fn default() -> Self {
        Self {
            held: Some(Vec::new()),
            bytes: 0,
            events: 0,
        }
    }
}

/// Row events that are kept in memory, by their transactions.
#[derive(Default)]
pub(super) struct Kept {
    of: BTreeMap<Xid, Collected>,
    bytes: usize,
}

impl Kept {
    fn add(&mut self, xid: Xid, collected: Collected) {
        self.remove(&xid);
        self.bytes += collected.bytes;
        self.of.insert(xid, collected);
    }

    fn remove(&mut self, xid: &Xid) -> Option<Vec<Held>> {
        let collected = self.of.remove(xid)?;
        self.bytes -= collected.bytes;
        collected.held
    }
}

impl Stream<'_> {
    /// Keeps a row event of a transaction that may never be committed.
    pub(super) fn hold(&mut self, format: RowsFormat, body: &[u8]) -> Result<(), SourceError> {
        let collected = self.transaction.as_mut().and_then(|t| t.xa.as_mut());
        let number = collected.map_or(0, |collected| {
            collected.events += 1;
            collected.events - 1
        });
        let table_id = event::table_id(body).map_err(|error| self.malformed(error))?;
        let Some((table, _)) = self.announced(table_id)? else {
            return Ok(());
        };
        let map = self.tables.map_of(table_id).unwrap_or_default();
        let Some(transaction) = &mut self.transaction else {
            return Ok(());
        };
        if !transaction.touched.contains(&table) {
            transaction.touched.push(table);
        }
        let Some(collected) = &mut transaction.xa else {
            return Ok(());
        };
        let Some(held) = &mut collected.held else {
            return Ok(());
        };
        // Events of a statement that follow each other share the map.
        let map = match held.last() {
            Some(last) if *last.map == *map => Arc::clone(&last.map),
            _ => {
                collected.bytes += map.len();
                Arc::from(map)
            }
        };
        collected.bytes += body.len() + size_of::<Held>();
        held.push(Held {
            number,
            map,
            format,
            rows: body.into(),
        });
        if self.kept.bytes + collected.bytes > HELD_BYTES_MAX {
            collected.held = None;
            collected.bytes = 0;
        }
        Ok(())
    }

    /// The rows of an XA transaction end: it is prepared, or committed at once.
    pub(super) async fn prepared(&mut self, body: &[u8]) -> Result<(), SourceError> {
        let Prepare { is_commit, xid } =
            Prepare::parse(body).map_err(|error| self.malformed(error))?;
        let start = self.transaction.as_ref().map_or(self.offset, |t| t.start);
        let place = Place {
            file: self.file.name.clone(),
            offset: start,
        };
        let collected = self.transaction.as_mut().and_then(|t| t.xa.take());
        let collected = collected.unwrap_or_default();
        if is_commit {
            return match collected.held {
                Some(held) => self.apply_held(held).await,
                None => self.reread(&xid, &place).await,
            };
        }
        if self.undecided.len() >= PREPARED_MAX {
            let reason = format!(
                "more than {PREPARED_MAX} XA transactions are prepared and undecided (`XA \
                 RECOVER` at the server lists them; commit them or roll them back)"
            );
            self.stop_all(&reason).await;
            return Ok(());
        }
        Arc::make_mut(&mut self.undecided).add(xid.clone(), place);
        self.kept.add(xid, collected);
        Ok(())
    }

    /// A prepared transaction is committed: now its rows count.
    pub(super) async fn decided(
        &mut self,
        xid: Option<Xid>,
        query: &Query,
        is_commit: bool,
    ) -> Result<(), SourceError> {
        let here = self.place();
        let known = xid.and_then(|xid| {
            let place = self.undecided.place(&xid)?.clone();
            Some((xid, place))
        });
        let Some((xid, place)) = known else {
            if !self.undecided.is_copied(&here) {
                let reason = format!(
                    "`{}` decides rows that were prepared before the binlog was followed: which \
                     ones is not known",
                    query.text
                );
                self.stop_all(&reason).await;
            }
            return Ok(());
        };
        let held = self.kept.remove(&xid);
        if is_commit {
            match held {
                Some(held) => self.apply_held(held).await?,
                None => self.reread(&xid, &place).await?,
            }
        }
        Arc::make_mut(&mut self.undecided).remove(&xid);
        Ok(())
    }

    /// Where the group that is being read begins.
    fn place(&self) -> Place {
        Place {
            file: self.file.name.clone(),
            offset: self.transaction.as_ref().map_or(self.offset, |t| t.start),
        }
    }

    async fn apply_held(&mut self, held: Vec<Held>) -> Result<(), SourceError> {
        for event in held {
            self.begun().events = event.number;
            self.table_map(&event.map).await?;
            self.rows(event.format, &event.rows).await?;
        }
        Ok(())
    }

    /// Applies the rows of a prepared transaction from where they stand in the binlog.
    async fn reread(&mut self, xid: &Xid, place: &Place) -> Result<(), SourceError> {
        match self.reread_from(xid, place).await {
            Err(Reread::Gone(why)) => {
                let Place { file, offset } = place;
                let reason = format!(
                    "XA transaction {xid} was committed, but its rows at {file}:{offset} cannot be \
                     read any more: {why}"
                );
                self.stop_all(&reason).await;
                Ok(())
            }
            Err(Reread::Failed(error)) => Err(error),
            Ok(()) => Ok(()),
        }
    }

    async fn reread_from(&mut self, xid: &Xid, place: &Place) -> Result<(), Reread> {
        let file = Arc::new(File {
            identity: self.file.identity.clone(),
            name: place.file.clone(),
            created: 0,
        });
        let position = BinlogPosition::committed(file, place.offset, None);
        // The number of the stream itself would end its connection.
        let server_id = dump::random_server_id();
        let request = Request {
            position: &position,
            server_id,
            to_the_end: true,
        };
        tracing::debug!(source = self.context.config.name, %position, "reading prepared rows again");
        let mut stream = dump::open(self.context, self.target, request).await?;
        let mut reading = Reading::default();
        loop {
            let next = tokio::time::timeout(REREAD_TIMEOUT, dump::next(&mut stream)).await;
            let event = match next {
                Ok(Ok(Some(event))) => event,
                Ok(Ok(None)) => return Err(Reread::Gone("the binlog ends before".to_owned())),
                Ok(Err(DumpError::Client(error))) => {
                    let error = dump::refused(self.target, server_id, &position, error);
                    return Err(error.into());
                }
                Ok(Err(DumpError::Panic)) => {
                    return Err(self.corrupt("the event could not be parsed").into());
                }
                Err(_) => return Err(self.silent(REREAD_TIMEOUT).into()),
            };
            if self.reread_event(&event, xid, &mut reading).await? {
                close(stream).await;
                return Ok(());
            }
        }
    }

    /// Whether this event was the transaction's last.
    async fn reread_event(
        &mut self,
        event: &Event,
        xid: &Xid,
        reading: &mut Reading,
    ) -> Result<bool, Reread> {
        if !reading.is_packed && !is_intact(event) {
            return Err(self.corrupt("the event's checksum does not fit").into());
        }
        let (event_type, body) = (event.header().event_type_raw(), event.data());
        let malformed = |error| MysqlError::malformed(format!("XA transaction {xid}"), error);
        if let Some(format) = event::rows_format(event_type) {
            if !reading.is_begun {
                return Err(Reread::Gone("other rows are there".to_owned()));
            }
            self.rows(format, body).await?;
            return Ok(false);
        }
        match event_type {
            kind::TABLE_MAP => self.table_map(body).await?,
            kind::MARIADB_GTID => {
                let group = Group::parse(body).map_err(malformed)?;
                reading.is_begun = group.prepares.as_ref() == Some(xid);
            }
            kind::QUERY => {
                let query = Query::parse(body, QueryForm::Plain).map_err(malformed)?;
                if let Statement::XaStart(started) = ddl::classify(&query.words()) {
                    reading.is_begun = started.as_ref() == Some(xid);
                }
            }
            kind::TRANSACTION_PAYLOAD => reading.is_packed = true,
            kind::XA_PREPARE if reading.is_begun => return Ok(true),
            _ => {}
        }
        Ok(false)
    }

    /// Stops every table: rows are missing, and nobody knows of which.
    async fn stop_all(&mut self, reason: &str) {
        for table in 0..self.tables.followed.len() {
            self.stop_table(table, reason).await;
        }
    }
}

/// What is known of a transaction that is read once more.
#[derive(Default)]
struct Reading {
    /// Its rows follow.
    is_begun: bool,
    /// Its events are in a compressed one, and have no checksums.
    is_packed: bool,
}

/// Why a transaction was not read once more.
enum Reread {
    /// It is not there, and will not be.
    Gone(String),
    /// Another try may go better.
    Failed(SourceError),
}

impl From<SourceError> for Reread {
    fn from(error: SourceError) -> Self {
        Self::Failed(error)
    }
}

impl From<MysqlError> for Reread {
    fn from(error: MysqlError) -> Self {
        match error {
            MysqlError::Lost { reason, .. } => Self::Gone(reason),
            error => Self::Failed(error.into()),
        }
    }
}

async fn close(stream: BinlogStream) {
    let _ = tokio::time::timeout(super::stream::CLOSE_TIMEOUT, stream.close()).await;
}
