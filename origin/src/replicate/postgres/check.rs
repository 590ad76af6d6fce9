//! Whether a source can be followed, and the SQL that makes it so. Nothing is changed here.

use std::collections::BTreeMap;

use super::catalog::{self, Facts, Publication, Slot, Table, VERSION_MIN};
use super::client::Server;
use super::error::{PgError, ident};
use crate::replicate::check::Report;
use crate::replicate::config::SourceConfig;
use crate::replicate::mapping::TablePlan;

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
    publication(&catalogue, server, plans, report);
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
    let columns = table.mapping_columns();
    if let Err(errors) = plan.bind(&columns) {
        for error in errors {
            report.error(
                &object,
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
                &object,
                problem,
                "map an expression over the columns it is made of",
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

/// The publication.
pub fn publication(
    catalogue: &Catalogue,
    server: &Server,
    plans: &[&TablePlan],
    report: &mut Report,
) {
    let name = &server.publication;
    let object = format!("publication {name}");
    let Some(found) = &catalogue.publication else {
        missing_publication(catalogue, server, plans, report);
        return;
    };
    if !found.missing.is_empty() {
        let fix = format!(
            "ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate');",
            ident(name)
        );
        report.error(
            &object,
            format!("it does not publish {}", found.missing.join(", ")),
            fix,
        );
    }
    for plan in plans {
        let table_name = catalog::full_name(plan.table());
        let Some(table) = catalogue.tables.get(&table_name) else {
            continue;
        };
        let sql = sql_name(&table_name);
        if table.kind == "p" && !found.via_root {
            let fix = format!(
                "ALTER PUBLICATION {} SET (publish_via_partition_root = true);",
                ident(name)
            );
            report.error(
                &object,
                format!("rows of {table_name} come under its partitions' names"),
                fix,
            );
            continue;
        }
        let Some(published) = found.tables.get(&table_name) else {
            let problem = format!("it does not contain table {table_name}");
            let fix = format!("ALTER PUBLICATION {} ADD TABLE {sql};", ident(name));
            if found.is_own && table.is_own {
                report.info(&object, format!("{problem}; `edgewise replicate` adds it"));
            } else {
                report.error(&object, problem, fix);
            }
            continue;
        };
        if let Some(filter) = &published.filter {
            let problem = format!(
                "it publishes only rows of {table_name} where {filter}: the first copy has all, and \
                 changes of the others are lost"
            );
            let fix = publish_anew(name, &table_name);
            report.error(&object, problem, fix);
        }
        let hidden = |column: &&String| {
            let exists = table.columns.iter().any(|known| &known.name == *column);
            let is_published = published
                .columns
                .as_ref()
                .is_none_or(|list| list.contains(column));
            exists && !is_published
        };
        let hidden: Vec<&str> = plan
            .columns()
            .iter()
            .filter(hidden)
            .map(String::as_str)
            .collect();
        if !hidden.is_empty() {
            let problem = format!(
                "its column list of {table_name} leaves out mapped columns: {}",
                hidden.join(", ")
            );
            let fix = publish_anew(name, &table_name);
            report.error(&object, problem, fix);
        }
    }
}

/// Publishes a table with all its rows and columns. `SET TABLE` would name all others too.
fn publish_anew(publication: &str, table: &str) -> String {
    let (publication, sql) = (ident(publication), sql_name(table));
    format!(
        "ALTER PUBLICATION {publication} DROP TABLE {sql};\n\
         ALTER PUBLICATION {publication} ADD TABLE {sql};\n\
         -- if it was followed already: edgewise replicate resync --table {table} --yes"
    )
}

fn missing_publication(
    catalogue: &Catalogue,
    server: &Server,
    plans: &[&TablePlan],
    report: &mut Report,
) {
    let object = format!("publication {}", server.publication);
    let mut names: Vec<String> = plans
        .iter()
        .map(|plan| catalog::full_name(plan.table()))
        .collect();
    names.sort();
    names.dedup();
    let own = |name: &String| catalogue.tables.get(name).is_none_or(|table| table.is_own);
    if catalogue.facts.may_create && names.iter().all(own) {
        report.info(object, "it does not exist; `edgewise replicate` creates it");
    } else {
        report.error(
            object,
            "it does not exist, and the user may not create it (that needs CREATE on the database \
             and to own the tables)",
            create_publication(&server.publication, &names),
        );
    }
}

/// The statement that creates a publication.
#[must_use]
pub fn create_publication(name: &str, tables: &[String]) -> String {
    let tables: Vec<String> = tables.iter().map(|table| sql_name(table)).collect();
    format!(
        "CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true);",
        ident(name),
        tables.join(", ")
    )
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
        publication(&catalogue, &server, &[&plan], &mut report);
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
