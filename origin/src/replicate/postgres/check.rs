//! Whether a source can be followed, and the SQL that makes it so. Nothing is changed here.

use std::collections::BTreeMap;

use super::catalog::{self, Facts, Publication, Slot, Table, VERSION_MIN};
use super::client::Server;
use super::error::PgError;
use super::ident::ident;
use super::publication;
use crate::replicate::check::Report;
use crate::replicate::config::SourceConfig;
use crate::replicate::mapping::{MappingError, TablePlan};

/// What is judged.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// Settings and rights.
    pub facts: Facts,
    /// The mapped tables that exist, by name.
    pub tables: BTreeMap<String, Table>,
    /// The publication, where it exists.
    pub publication: Option<Publication>,
    /// The slot, where it exists.
    pub slot: Option<Slot>,
}

impl Catalogue {
    /// Reads what there is to judge.
    ///
    /// # Errors
    ///
    /// The session failed.
    pub async fn read(
        server: &Server,
        client: &tokio_postgres::Client,
        plans: &[&TablePlan],
    ) -> Result<Self, PgError> {
        let names: Vec<&str> = plans.iter().map(|plan| plan.table()).collect();
        Ok(Self {
            facts: catalog::facts(server, client).await?,
            tables: catalog::tables(server, client, Some(&names)).await?,
            publication: catalog::publication(server, client).await?,
            slot: catalog::slot(server, client).await?,
        })
    }
}

/// Connects, reads the catalogue and reports what does not fit; changes nothing.
pub async fn check(config: &SourceConfig, plans: &[TablePlan]) -> Report {
    let mut report = Report::default();
    let server = match Server::new(config) {
        Ok(server) => server,
        Err(error) => {
            report.error("source", super::error::chain(&error), error.remedy());
            return report;
        }
    };
    let plans: Vec<&TablePlan> = plans.iter().collect();
    if let Err(error) = look(&server, &plans, &mut report).await {
        let object = format!("server {}", server.host());
        report.error(object, super::error::chain(&error), error.remedy());
    }
    report
}

async fn look(server: &Server, plans: &[&TablePlan], report: &mut Report) -> Result<(), PgError> {
    let client = server.connect().await?;
    let catalogue = Catalogue::read(server, &client, plans).await?;
    settings(&catalogue.facts, server, report);
    for plan in plans {
        table(&catalogue, plan, report);
    }
    publication::check(&catalogue, server, plans, report);
    slot(&catalogue, server, report);
    if catalogue.facts.wal_level == "logical" && catalogue.facts.may_replicate {
        // Whether pg_hba.conf lets a replication session in is only seen by opening one.
        server.connect_replication(super::position::Lsn(0)).await?;
    }
    Ok(())
}

/// Settings and rights.
pub fn settings(facts: &Facts, server: &Server, report: &mut Report) {
    report.info(
        "server",
        format!("PostgreSQL {}, encoding {}", facts.version, facts.encoding),
    );
    if facts.version_num < VERSION_MIN {
        let error = PgError::Version {
            version: facts.version.clone(),
        };
        report.error("server", error.to_string(), error.remedy());
    }
    if facts.wal_level != "logical" {
        let error = PgError::WalLevel {
            level: facts.wal_level.clone(),
        };
        let fix = "ALTER SYSTEM SET wal_level = 'logical';\n-- then restart the server";
        report.error("server", error.to_string(), fix);
    }
    if !facts.may_replicate {
        let user = &server.user;
        let fix = format!(
            "ALTER ROLE {user} REPLICATION;\n-- Amazon RDS: GRANT rds_replication TO {user};",
            user = ident(user)
        );
        report.error(format!("role {user}"), "it has no right to replicate", fix);
    }
    if facts.senders >= facts.senders_max {
        let problem = format!(
            "all {} WAL senders (max_wal_senders) are in use",
            facts.senders_max
        );
        let fix = format!(
            "ALTER SYSTEM SET max_wal_senders = {};\n-- then restart the server",
            facts.senders_max + 10
        );
        report.warning("server", problem, fix);
    }
    if facts.slot_keep_mb == 0 {
        let fix = "ALTER SYSTEM SET max_slot_wal_keep_size = '10GB';\nSELECT pg_reload_conf();";
        report.warning(
            "server",
            "max_slot_wal_keep_size is 0: any pause loses the slot",
            fix,
        );
    } else if facts.slot_keep_mb < 0 {
        report.info(
            "server",
            "max_slot_wal_keep_size has no limit: while nobody follows, the slot keeps WAL until \
             the disk is full",
        );
    }
    if facts.encoding == "SQL_ASCII" {
        report.info(
            "database",
            "SQL_ASCII: text that is not UTF-8 is refused row by row",
        );
    }
}

/// A mapped table.
pub fn table(catalogue: &Catalogue, plan: &TablePlan, report: &mut Report) {
    let name = catalog::full_name(plan.table());
    let object = format!("table {name}");
    let Some(table) = catalogue.tables.get(&name) else {
        report.error(
            object,
            "it does not exist",
            "correct `table` in the mapping (schema.name)",
        );
        return;
    };
    let sql = sql_name(&name);
    if !matches!(table.kind.as_str(), "r" | "p") {
        let problem = "it is no table: only tables are in the log";
        report.error(object, problem, "map the tables behind it");
        return;
    }
    if catalog::is_of_system(&name) {
        let problem = "it is a table of the system: no publication takes it";
        report.error(object, problem, "map a table of yours, or drop the entry");
        return;
    }
    if let Some(problem) = catalog::inherited(table) {
        let fix = format!(
            "map each of these by itself instead of {name}; rows of {name} itself count once they \
             are in one of them, or once {name} is partitioned (PARTITION BY)"
        );
        report.error(&object, problem, fix);
    }
    if table.persistence != "p" {
        let fix = format!("ALTER TABLE {sql} SET LOGGED;");
        report.error(
            &object,
            "it is unlogged or temporary: its changes are not in the log",
            fix,
        );
    }
    if !table.is_readable {
        let (schema, _) = catalog::split(&name);
        let fix = format!(
            "GRANT USAGE ON SCHEMA {0} TO {user};\nGRANT SELECT ON {sql} TO {user};",
            ident(schema),
            user = ident(&catalogue.facts.user)
        );
        report.error(&object, "the user may not read it", fix);
    }
    if table.hides_rows {
        let fix = format!(
            "ALTER ROLE {} BYPASSRLS; -- or, if that is its owner: ALTER TABLE {sql} NO FORCE ROW LEVEL SECURITY;",
            ident(&catalogue.facts.user)
        );
        report.error(
            &object,
            "row-level security hides rows from the user: the first copy would lack them, the \
             stream has all",
            fix,
        );
    }
    if table.is_partition {
        let fix = "map its parent, and drop the entry of the partition";
        report.warning(
            &object,
            "it is a partition: under publish_via_partition_root its rows come as the parent's",
            fix,
        );
    }
    if table.kind == "p" {
        report.info(
            &object,
            "it is partitioned: what happens to a partition by itself does not show in the stream; \
             one that is detached, dropped or truncated stops the table, and after one with rows is \
             attached run `edgewise reconcile`",
        );
    }
    key(table, plan, &object, report);
    columns(table, plan, &object, report);
}

/// What the mapping reads of it.
fn columns(table: &Table, plan: &TablePlan, object: &str, report: &mut Report) {
    let columns = table.mapping_columns();
    if let Err(errors) = plan.bind(&columns) {
        let is_generated = |name: &str| {
            let mut columns = table.columns.iter();
            columns.any(|column| column.is_generated && column.name == name)
        };
        // Of a generated column there is more to say, below.
        let is_told = |error: &MappingError| matches!(error, MappingError::NoColumn { column, .. } if is_generated(column));
        for error in errors.into_iter().filter(|error| !is_told(error)) {
            report.error(
                object,
                error.to_string(),
                "correct the mapping, or the table",
            );
        }
    }
    for column in table.columns.iter().filter(|column| column.is_generated) {
        if plan.columns().contains(&column.name) {
            let problem = format!(
                "column {} is generated: it is not in the stream",
                column.name
            );
            report.error(
                object,
                problem,
                "map an expression over the columns that it is computed from, or fill a plain \
                 column by a trigger",
            );
        }
    }
}

/// Primary key and replica identity.
fn key(table: &Table, plan: &TablePlan, object: &str, report: &mut Report) {
    let sql = sql_name(&table.name);
    let mapped = plan.key_columns();
    let key = if mapped.is_empty() {
        table.key()
    } else {
        mapped
    };
    if key.is_empty() {
        let fix = format!(
            "ALTER TABLE {sql} ADD PRIMARY KEY (…);\n-- or name `key = [...]` in the mapping over a \
             unique index of NOT NULL columns and:\nALTER TABLE {sql} REPLICA IDENTITY USING INDEX …;"
        );
        report.error(
            object,
            "it has no primary key: its rows cannot be told apart",
            fix,
        );
        return;
    }
    if let Some(constraint) = &table.deferrable_key
        && key == table.primary_key.as_slice()
    {
        let columns: Vec<String> = key.iter().map(|column| ident(column)).collect();
        let fix = format!(
            "ALTER TABLE {sql} DROP CONSTRAINT {}, ADD PRIMARY KEY ({});",
            ident(constraint),
            columns.join(", ")
        );
        let problem = "its primary key is DEFERRABLE, so it is no replica identity: the server \
                       refuses updates and deletes of published tables, also the application's";
        report.error(object, problem, fix);
        return;
    }
    let identity = table.identity_columns();
    if identity.is_empty() {
        let problem = match table.identity.as_str() {
            "n" => {
                "its replica identity is NOTHING: the server refuses updates and deletes of published tables"
            }
            "i" => {
                "the index of its replica identity is gone: the server refuses updates and deletes"
            }
            _ => {
                "it has no primary key, so it has no replica identity: the server refuses updates and deletes"
            }
        };
        let fix = if table.primary_key.is_empty() {
            format!(
                "ALTER TABLE {sql} REPLICA IDENTITY USING INDEX …; -- a unique index of ({})",
                key.join(", ")
            )
        } else {
            format!("ALTER TABLE {sql} REPLICA IDENTITY DEFAULT;")
        };
        report.error(object, problem, fix);
    } else if let Some(missing) = key.iter().find(|column| !identity.contains(column)) {
        let problem = format!(
            "its replica identity ({}) does not contain the key's column {missing}: deletes could not be told apart",
            identity.join(", ")
        );
        let fix = if key == table.primary_key.as_slice() {
            format!("ALTER TABLE {sql} REPLICA IDENTITY DEFAULT;")
        } else {
            format!(
                "ALTER TABLE {sql} REPLICA IDENTITY FULL; -- or USING INDEX, of ({})",
                key.join(", ")
            )
        };
        report.error(object, problem, fix);
    }
    for name in key {
        let column = table.columns.iter().find(|column| &column.name == name);
        if column.is_some_and(|column| !column.not_null) {
            let fix = format!(
                "ALTER TABLE {sql} ALTER COLUMN {} SET NOT NULL;",
                ident(name)
            );
            report.warning(
                object,
                format!("the key's column {name} may be NULL: such rows are refused"),
                fix,
            );
        }
    }
}

/// The slot.
fn slot(catalogue: &Catalogue, server: &Server, report: &mut Report) {
    let object = format!("slot {}", server.slot);
    let facts = &catalogue.facts;
    let Some(slot) = &catalogue.slot else {
        if facts.slots >= facts.slots_max {
            let problem = format!(
                "all {} slots (max_replication_slots) are taken",
                facts.slots_max
            );
            let fix = format!(
                "ALTER SYSTEM SET max_replication_slots = {};\n-- then restart the server",
                facts.slots_max + 10
            );
            report.error(object, problem, fix);
        } else {
            report.info(object, "it does not exist; `edgewise replicate` creates it");
        }
        return;
    };
    if let Some(error) = unusable(slot, server) {
        report.error(&object, error.to_string(), error.remedy());
    } else if let Some(pid) = slot.active_pid {
        report.warning(
            object,
            format!("process {pid} of the server uses it"),
            "stop the other follower, unless it is this source's",
        );
    } else {
        report.info(object, format!("it exists, at {}", slot.confirmed));
    }
}

/// Why a slot can be followed by nobody.
#[must_use]
pub fn unusable(slot: &Slot, server: &Server) -> Option<PgError> {
    let foreign = |reason: String| PgError::SlotForeign {
        slot: server.slot.clone(),
        reason,
    };
    if slot.plugin != "pgoutput" {
        let plugin = if slot.plugin.is_empty() {
            "none"
        } else {
            &slot.plugin
        };
        return Some(foreign(format!(
            "its output plug-in is {plugin}, not pgoutput"
        )));
    }
    if slot.database != server.database {
        return Some(foreign(format!("it is of database {}", slot.database)));
    }
    slot.is_lost().then(|| PgError::SlotLost {
        slot: server.slot.clone(),
        reason: slot
            .invalidation
            .clone()
            .unwrap_or_else(|| slot.wal_status.clone()),
    })
}

/// A table's name as SQL writes it.
#[must_use]
pub fn sql_name(name: &str) -> String {
    let (schema, relation) = catalog::split(name);
    format!("{}.{}", ident(schema), ident(relation))
}

#[cfg(test)]
mod tests {
    use super::super::catalog::{PublishedTable, TableColumn};
    use super::*;
    use crate::replicate::check::{Finding, Severity};

    fn key_table() -> Table {
        let id = TableColumn {
            name: "id".to_owned(),
            type_name: "int8".to_owned(),
            not_null: true,
            ..TableColumn::default()
        };
        Table {
            name: "public.posts".to_owned(),
            kind: "r".to_owned(),
            persistence: "p".to_owned(),
            identity: "d".to_owned(),
            is_readable: true,
            is_own: true,
            columns: vec![
                id,
                TableColumn {
                    name: "author".to_owned(),
                    type_name: "int8".to_owned(),
                    ..TableColumn::default()
                },
            ],
            primary_key: vec!["id".to_owned()],
            ..Table::default()
        }
    }

    /// The one error about the table or its publication, and its way out.
    #[track_caller]
    fn check(change: impl FnOnce(&mut Table, &mut PublishedTable), word: &str, way_out: &str) {
        let (mut found, mut published) = (key_table(), PublishedTable::default());
        change(&mut found, &mut published);
        let name = found.name.clone();
        let catalogue = Catalogue {
            facts: Facts {
                user: "app".to_owned(),
                ..Facts::default()
            },
            tables: BTreeMap::from([(name.clone(), found)]),
            publication: Some(Publication {
                tables: BTreeMap::from([(name, published)]),
                ..Publication::default()
            }),
            slot: None,
        };
        let config =
            "table = \"public.posts\"\nto = \"follows\"\nuser = \"id\"\nauthor = \"author\"";
        let plan = TablePlan::compile(&toml::from_str(config).unwrap()).unwrap();
        let source = "name = \"shop\"\nurl = \"postgres://app@db/shop\"";
        let server = Server::new(&toml::from_str(source).unwrap()).unwrap();
        let mut report = Report::default();
        table(&catalogue, &plan, &mut report);
        publication::check(&catalogue, &server, &[&plan], &mut report);
        let is_error = |finding: &&Finding| finding.severity == Severity::Error;
        let errors: Vec<_> = report.findings.iter().filter(is_error).collect();
        let [error] = errors.as_slice() else {
            assert!(word.is_empty() && errors.is_empty(), "{errors:?}");
            return;
        };
        assert!(
            !word.is_empty() && error.problem.contains(word),
            "{error:?}"
        );
        assert!(error.fix.as_deref().unwrap().contains(way_out), "{error:?}");
    }

    #[test]
    fn what_would_be_counted_wrong_is_an_error() {
        check(|_, _| {}, "", "");
        check(
            |table, _| table.hides_rows = true,
            "row-level security",
            "ALTER ROLE app BYPASSRLS;",
        );
        let generated = |table: &mut Table, _: &mut PublishedTable| {
            table.columns[1].is_generated = true;
        };
        check(generated, "column author is generated", "trigger");
        let inherited = |table: &mut Table, _: &mut PublishedTable| {
            table.children = vec!["public.old".to_owned()];
        };
        check(inherited, "(public.old)", "by itself");
        check(
            |table, _| table.deferrable_key = Some("posts_pkey".to_owned()),
            "DEFERRABLE",
            "ALTER TABLE public.posts DROP CONSTRAINT posts_pkey, ADD PRIMARY KEY (id);",
        );
    }

    #[test]
    fn a_filtered_table_is_published_anew_without_the_others() {
        let anew = "ALTER PUBLICATION edgewise_shop DROP TABLE public.posts;\n\
                    ALTER PUBLICATION edgewise_shop ADD TABLE public.posts;";
        let filter = |_: &mut Table, published: &mut PublishedTable| {
            published.filter = Some("(id > 5)".to_owned());
        };
        check(filter, "(id > 5)", anew);
        let list = |_: &mut Table, published: &mut PublishedTable| {
            published.columns = Some(vec!["id".to_owned()]);
        };
        check(list, "author", anew);
    }
}
