//! Whether the publication has all that is followed, and the SQL that makes it so.

use super::catalog::{self, Facts};
use super::check::{Catalogue, sql_name};
use super::client::Server;
use super::ident::ident;
use crate::replicate::check::Report;
use crate::replicate::mapping::TablePlan;
use crate::terminal::shell_word;

/// Reports what it leaves out, or that it is missing.
pub fn check(catalogue: &Catalogue, server: &Server, plans: &[&TablePlan], report: &mut Report) {
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
                writable(&catalogue.facts, server, report);
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
    let table = shell_word(table);
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
        writable(&catalogue.facts, server, report);
    } else {
        report.error(
            object,
            "it does not exist, and the user may not create it (that needs CREATE on the database \
             and to own the tables)",
            create(&server.publication, &names),
        );
    }
}

/// Whether a publication can be created or changed.
fn writable(facts: &Facts, server: &Server, report: &mut Report) {
    if !facts.is_read_only {
        return;
    }
    let fix = format!(
        "ALTER ROLE {} IN DATABASE {} SET default_transaction_read_only = off;",
        ident(&facts.user),
        ident(&server.database)
    );
    let object = format!("role {}", facts.user);
    if !report
        .findings
        .iter()
        .any(|finding| finding.object == object)
    {
        let problem = "its transactions are read-only (default_transaction_read_only = on): it \
                       cannot write the publication";
        report.error(object, problem, fix);
    }
}

/// The statement that creates one.
#[must_use]
pub fn create(name: &str, tables: &[String]) -> String {
    let tables: Vec<String> = tables.iter().map(|table| sql_name(table)).collect();
    format!(
        "CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true);",
        ident(name),
        tables.join(", ")
    )
}
