//! Looks a server over before it is followed: every finding with the SQL that puts it right.
//! Nothing is changed.

use super::catalog::{self, ColumnInfo, Table, TableName};
use super::client::{Client, Target};
use super::error::MysqlError;
use super::layout;
use super::privileges;
use crate::replicate::check::Report;
use crate::replicate::config::{SourceConfig, Target as Means};
use crate::replicate::mapping::{Column, TablePlan};

/// Tables that a description lists at most.
const TABLES_MAX: usize = 2_000;

/// What turns the binlog on.
pub(super) const LOG_BIN_FIX: &str = "set log_bin = binlog, server_id = 1 and binlog_format = ROW \
     under [mysqld] in the server's configuration and restart it";

/// The oldest servers whose binlog is read as it is tested.
const OLDEST_MYSQL: (u32, u32) = (5, 7);
const OLDEST_MARIADB: (u32, u32) = (10, 3);

/// How long a server should keep its binlog, so that a stop over a weekend loses nothing.
const RETENTION_SECONDS: u64 = 3 * 86_400;

/// Connects, reads the catalogue, and reports what keeps the source from being followed.
pub async fn check(config: &SourceConfig, plans: &[TablePlan]) -> Report {
    let mut report = Report::default();
    if let Err(error) = examine(config, plans, &mut report).await {
        let object = match &error {
            MysqlError::Table { table, .. } => format!("table {table}"),
            _ => "server".to_owned(),
        };
        let remedy = match &error {
            // Its message has it already.
            MysqlError::Table { .. } => String::new(),
            error => error.remedy(),
        };
        report.error(object, error.to_string(), remedy);
    }
    report
}

async fn examine(
    config: &SourceConfig,
    plans: &[TablePlan],
    report: &mut Report,
) -> Result<(), MysqlError> {
    let target = Target::new(config)?;
    let mut client = target.connect().await?;
    let server = Server::read(&mut client).await?;
    server.report(report);
    let items_only = plans.iter().all(|plan| plan.target() == Means::Items);
    images(&mut client, items_only, report).await?;
    retention(&mut client, &server, report).await?;
    privileges::report(&mut client, server.is_mariadb, report).await?;
    if let Some(id) = config.server_id {
        server_id(&mut client, id, report).await?;
    }
    for plan in plans {
        let name = TableName::parse(plan.table(), target.database.as_deref())?;
        match catalog::read(&mut client, &name).await? {
            Some(read) => table(&read, plan, report),
            None => {
                let error = super::start::missing(&name);
                report.error(format!("table {name}"), error.to_string(), "");
            }
        }
    }
    Ok(())
}

/// What a server says about itself.
struct Server {
    version: String,
    is_mariadb: bool,
    number: (u32, u32),
    log_bin: bool,
    format: String,
}

impl Server {
    async fn read(client: &mut Client) -> Result<Self, MysqlError> {
        let row = client.row("SELECT VERSION()").await?;
        let version = row.map(|row| row.text(0)).unwrap_or_default();
        let is_on = |value: Option<String>| value.is_some_and(|v| matches!(v.as_str(), "ON" | "1"));
        Ok(Self {
            is_mariadb: version.to_lowercase().contains("mariadb"),
            number: version_number(&version),
            log_bin: is_on(client.variable("log_bin").await?),
            format: client.variable("binlog_format").await?.unwrap_or_default(),
            version,
        })
    }

    /// What must be so before anything else can be.
    fn fault(&self) -> Option<(String, String)> {
        let oldest = if self.is_mariadb {
            OLDEST_MARIADB
        } else {
            OLDEST_MYSQL
        };
        if self.number < oldest {
            let problem = format!("version {} is too old", self.version);
            let fix = format!("use {}.{} or newer", oldest.0, oldest.1);
            return Some((problem, fix));
        }
        if !self.log_bin {
            return Some(("log_bin is off".to_owned(), LOG_BIN_FIX.to_owned()));
        }
        // MySQL 8.4 and later may have no other.
        if !self.format.is_empty() && !self.format.eq_ignore_ascii_case("row") {
            return Some((
                format!("binlog_format is {}, but must be ROW", self.format),
                "SET GLOBAL binlog_format = 'ROW'; -- and binlog_format = ROW under [mysqld]; \
                 sessions that are open keep theirs"
                    .to_owned(),
            ));
        }
        None
    }

    fn report(&self, report: &mut Report) {
        report.info("server", self.version.clone());
        if let Some((problem, fix)) = self.fault() {
            report.error("server", problem, fix);
        }
    }
}

fn version_number(version: &str) -> (u32, u32) {
    let mut numbers = version.split(|char: char| !char.is_ascii_digit());
    let mut next = || {
        numbers
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or(0)
    };
    (next(), next())
}

/// Refuses a server that cannot be followed at all.
pub(super) async fn settings(client: &mut Client) -> Result<(), MysqlError> {
    match Server::read(client).await?.fault() {
        Some((problem, remedy)) => Err(MysqlError::Setting {
            host: client.target.host.clone(),
            problem,
            remedy,
        }),
        None => Ok(()),
    }
}

async fn images(
    client: &mut Client,
    items_only: bool,
    report: &mut Report,
) -> Result<(), MysqlError> {
    let image = client
        .variable("binlog_row_image")
        .await?
        .unwrap_or_default();
    if image.eq_ignore_ascii_case("minimal") || image.eq_ignore_ascii_case("full_nodup") {
        let fix = "SET GLOBAL binlog_row_image = 'FULL'; -- and under [mysqld]";
        let problem = format!("binlog_row_image is {image}: updates carry only what changed");
        if items_only {
            report.warning("server", problem, fix);
        } else {
            report.error(
                "server",
                format!("{problem}, but events need whole rows"),
                fix,
            );
        }
    }
    if let Some(metadata) = client.variable("binlog_row_metadata").await?
        && !metadata.eq_ignore_ascii_case("full")
    {
        report.warning(
            "server",
            "binlog_row_metadata is not FULL: a table whose columns change while the source is \
             behind stops",
            "SET GLOBAL binlog_row_metadata = 'FULL'; -- and under [mysqld]",
        );
    }
    if let Some(options) = client.variable("binlog_row_value_options").await?
        && !options.is_empty()
    {
        report.error(
            "server",
            format!("binlog_row_value_options is {options}: JSON columns are logged in part"),
            "SET GLOBAL binlog_row_value_options = '';",
        );
    }
    Ok(())
}

async fn retention(
    client: &mut Client,
    server: &Server,
    report: &mut Report,
) -> Result<(), MysqlError> {
    let seconds = client.variable("binlog_expire_logs_seconds").await?;
    let mut seconds = seconds
        .and_then(|seconds| seconds.parse::<u64>().ok())
        .unwrap_or(0);
    if seconds == 0 {
        let days = client.variable("expire_logs_days").await?;
        let days = days
            .and_then(|days| days.parse::<f64>().ok())
            .unwrap_or(0.0);
        seconds = (days * 86_400.0) as u64;
    }
    // 0 = never.
    if seconds > 0 && seconds < RETENTION_SECONDS {
        let fix = if server.is_mariadb && server.number < (10, 6) {
            "SET GLOBAL expire_logs_days = 7;".to_owned()
        } else {
            "SET GLOBAL binlog_expire_logs_seconds = 604800;".to_owned()
        };
        report.warning(
            "server",
            format!(
                "the binlog is kept for {seconds} s only: a source that is stopped for longer must \
                 be copied anew"
            ),
            fix,
        );
    }
    if server.is_mariadb {
        return Ok(());
    }
    let mode = client.variable("gtid_mode").await?.unwrap_or_default();
    if mode.eq_ignore_ascii_case("on") {
        report.info(
            "server",
            "gtid_mode is ON: another server of the topology can be followed",
        );
    } else {
        report.warning(
            "server",
            "gtid_mode is off: after a failover to another server the tables must be copied anew",
            "SET GLOBAL enforce_gtid_consistency = ON; SET GLOBAL gtid_mode = OFF_PERMISSIVE; \
             SET GLOBAL gtid_mode = ON_PERMISSIVE; SET GLOBAL gtid_mode = ON;",
        );
    }
    Ok(())
}

async fn server_id(client: &mut Client, id: u32, report: &mut Report) -> Result<(), MysqlError> {
    let own = client.variable("server_id").await?;
    let mut taken = own.as_deref() == Some(id.to_string().as_str());
    // Not everybody may see the others.
    if let Ok(hosts) = client.rows("SHOW SLAVE HOSTS", Vec::new()).await {
        taken |= hosts.iter().any(|row| row.number(0) == Some(u64::from(id)));
    }
    if taken {
        report.error(
            "server",
            format!("server_id {id} is in use by this server or one of its replicas"),
            "give the source another server_id in the mapping, or none: then it takes a free one",
        );
    }
    Ok(())
}

fn table(table: &Table, plan: &TablePlan, report: &mut Report) {
    let object = format!("table {}", table.name);
    let quoted = table.name.quoted();
    if table.engine.is_empty() {
        report.error(
            &object,
            "it is a view, which has no binlog",
            "map the table that it reads",
        );
        return;
    }
    if !table.engine.eq_ignore_ascii_case("innodb") && !table.engine.eq_ignore_ascii_case("rocksdb")
    {
        report.warning(
            &object,
            format!(
                "its engine {} has no transactions: a rollback stops the table",
                table.engine
            ),
            format!("ALTER TABLE {quoted} ENGINE = InnoDB;"),
        );
    }
    keys(table, plan, &object, report);
    match plan.bind(&table.mapping_columns()) {
        Err(errors) => {
            for error in errors {
                report.error(&object, error.to_string(), "");
            }
        }
        Ok(bound) => {
            for column in bound.columns().iter().filter_map(|name| table.column(name)) {
                if let Some(problem) = layout::unreadable(column) {
                    report.error(
                        &object,
                        format!("column {} {problem}", column.name),
                        readable(&quoted, column),
                    );
                }
            }
        }
    }
    for cascade in &table.cascades {
        report.warning(
            &object,
            format!(
                "foreign key {} acts with {} when rows of {} change: the binlog does not say which \
                 rows of this table went",
                cascade.name, cascade.rule, cascade.parent
            ),
            "delete the rows of this table in the same transaction first, or run `edgewise \
             reconcile` regularly",
        );
    }
}

fn readable(quoted: &str, column: &ColumnInfo) -> String {
    if column.charset.is_some() {
        format!("ALTER TABLE {quoted} CONVERT TO CHARACTER SET utf8mb4;")
    } else {
        format!("map another column than {}", column.name)
    }
}

fn keys(table: &Table, plan: &TablePlan, object: &str, report: &mut Report) {
    let configured = plan.key_columns();
    if configured.is_empty() {
        if table.primary_key().is_empty() {
            report.error(
                object,
                "it has no primary key",
                format!("ALTER TABLE {} ADD PRIMARY KEY (…);", table.name.quoted()),
            );
        }
        return;
    }
    let same = |columns: &[String]| {
        columns.len() == configured.len()
            && columns
                .iter()
                .all(|c| configured.iter().any(|name| name.eq_ignore_ascii_case(c)))
    };
    if !table
        .indexes
        .iter()
        .any(|index| index.unique && same(&index.columns))
    {
        report.error(
            object,
            format!("its key ({}) has no unique index", configured.join(", ")),
            format!(
                "ALTER TABLE {} ADD UNIQUE INDEX ({});",
                table.name.quoted(),
                configured
                    .iter()
                    .map(|c| catalog::quote(c))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        );
    }
    for name in configured {
        if table.column(name).is_some_and(|column| column.nullable) {
            let column = table
                .column(name)
                .map(|c| c.column_type.clone())
                .unwrap_or_default();
            report.error(
                object,
                format!("column {name} of its key may be NULL"),
                format!(
                    "ALTER TABLE {} MODIFY {} {column} NOT NULL;",
                    table.name.quoted(),
                    catalog::quote(name)
                ),
            );
        }
    }
}

/// The tables of the source with their columns, for a first mapping.
///
/// # Errors
///
/// The server cannot be reached or its catalogue not be read.
pub async fn describe(config: &SourceConfig) -> Result<Vec<(String, Vec<Column>)>, MysqlError> {
    let target = Target::new(config)?;
    let mut client = target.connect().await?;
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
         WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN \
         ('mysql', 'sys', 'information_schema', 'performance_schema') \
         ORDER BY TABLE_SCHEMA, TABLE_NAME LIMIT {TABLES_MAX}"
    );
    let mut tables = Vec::new();
    for row in client.rows(&sql, Vec::new()).await? {
        let name = TableName {
            schema: row.text(0),
            table: row.text(1),
        };
        let other = |database: &String| *database != name.schema;
        if target.database.as_ref().is_some_and(other) {
            continue;
        }
        if let Some(table) = catalog::read(&mut client, &name).await? {
            tables.push((name.to_string(), table.mapping_columns()));
        }
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version_number("10.11.19-MariaDB-0+deb12u1-log"), (10, 11));
        assert_eq!(version_number("8.4.0"), (8, 4));
        assert_eq!(version_number("nonsense"), (0, 0));
    }
}
