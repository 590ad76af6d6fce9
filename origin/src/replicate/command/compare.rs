//! `edgewise reconcile`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};

use super::super::following::Following;
use super::super::reconcile::{self, Difference, ReconcileCommand, Reconciled};
use super::{asked, mapping, mapping_path, overrides, runtime};
use crate::cli::replicate::ReconcileArgs;
use crate::commands::{Access, access, ask, open_existing, say, start_writer};
use crate::config::Config;
use crate::store::Store;
use crate::terminal::{line, shell_word};

pub(super) fn run(config: &Config, args: &ReconcileArgs) -> anyhow::Result<()> {
    // Refused here, where the operator looks, even if a server is to read it.
    mapping(config, &args.source)?;
    let export = args.export.as_deref().map(create).transpose()?;
    let path = std::path::absolute(mapping_path(config, &args.source))?;
    let command = ReconcileCommand {
        sources: asked(&path, &overrides(&args.source)),
        by: args.by,
        table: args.table.clone(),
        repair: args.repair.clone(),
        repair_all: args.repair_all,
    };
    let done = match access(config, open_existing)? {
        Access::Server(running) => {
            let body = serde_json::to_value(&command)?;
            let answer = ask(&running, "POST", "/admin/v1/reconcile", Some(&body))?;
            serde_json::from_value(answer).context("the server's answer is of another version")?
        }
        Access::Store(store) => {
            let store: Arc<dyn Store> = Arc::new(store);
            let writer = start_writer(config, Arc::clone(&store))?;
            let clock = config.domain_clock()?;
            let following = Arc::new(Following::new(store, writer.clone(), clock));
            let done = runtime()?.block_on(reconcile::run(&following, command));
            drop(following);
            writer.stop();
            done?
        }
    };
    if let (Some(mut file), Some(path)) = (export, &args.export) {
        file.write_all(exported(&done, path)?.as_bytes())?;
        file.sync_all()?;
    }
    say(&render(&done))?;
    let is_refused = |difference: &&Difference| refused(&done, &difference.table).is_some();
    let explained = done.differences.iter().filter(is_refused).count();
    let differing = done.differences.len() - explained;
    ensure!(
        differing == 0,
        "{differing} counts differ; repair rows with --repair KEY or --repair-all"
    );
    ensure!(
        explained == 0,
        "{explained} counts differ, by rows that were refused: reading them again does not help, \
         correcting them does"
    );
    Ok(())
}

/// How many dead letters a table has, where they can be all that it differs by: in no group
/// more rows count here, and no more are missing than were refused.
fn refused(done: &Reconciled, table: &str) -> Option<u64> {
    let letters = *done.dead_letters.get(table)?;
    let mut missing = 0_u64;
    for difference in done.differences.iter().filter(|d| d.table == table) {
        missing += difference.source_rows.checked_sub(difference.store_rows)?;
    }
    (missing <= letters).then_some(letters)
}

fn create(path: &Path) -> anyhow::Result<std::fs::File> {
    std::fs::File::create_new(path).with_context(|| {
        format!(
            "cannot write `{}`; name a new file with --export",
            path.display()
        )
    })
}

fn exported(done: &Reconciled, path: &Path) -> anyhow::Result<String> {
    if path
        .extension()
        .is_some_and(|extension| extension == "json")
    {
        return Ok(serde_json::to_string_pretty(done)?);
    }
    let mut out = csv::Writer::from_writer(Vec::new());
    for difference in &done.differences {
        out.serialize(difference)?;
    }
    Ok(String::from_utf8(out.into_inner()?)?)
}

/// A table of differences, aligned.
fn render(done: &Reconciled) -> String {
    let mut text = String::new();
    let rows: Vec<[String; 4]> = done
        .differences
        .iter()
        .map(|d| {
            let (source, store) = (d.source_rows.to_string(), d.store_rows.to_string());
            let [table, group] = [&d.table, &d.group].map(|text| line(text).into_owned());
            [table, group, source, store]
        })
        .collect();
    if !rows.is_empty() {
        let head = ["table", "group", "source", "store"].map(str::to_owned);
        let width = |column: usize| {
            let all = rows
                .iter()
                .chain([&head])
                .map(|row| row[column].chars().count());
            all.max().unwrap_or(0)
        };
        let widths = [0, 1, 2, 3].map(width);
        for [table, group, source, store] in [&head].into_iter().chain(&rows) {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{table:<0$}  {group:<1$}  {source:>2$}  {store:>3$}",
                widths[0], widths[1], widths[2], widths[3]
            );
        }
    }
    for (table, letters) in &done.dead_letters {
        let _ = writeln!(text, "{table}: {letters} rows wait as dead letters");
        if refused(done, table).is_some() {
            let name = shell_word(table.split("->").next().unwrap_or(table));
            let _ = writeln!(
                text,
                "  which is all that differs: `edgewise dead-letter list --table {name}` says why; \
                 correct the rows at the source, or the mapping and then \
                 `edgewise dead-letter replay --table {name}`"
            );
        }
    }
    for note in &done.notes {
        let _ = writeln!(text, "note: {}", line(note));
    }
    if done.repaired > 0 {
        let _ = writeln!(text, "{} rows were read again and applied", done.repaired);
    }
    if rows.is_empty() {
        for (table, rows) in &done.tables {
            let _ = writeln!(text, "{table}: {rows} rows, no difference");
        }
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn differences_are_a_table_and_a_file() {
        let difference = |group: &str, source_rows, store_rows| Difference {
            source: "main".to_owned(),
            table: "public.likes->events".to_owned(),
            group: group.to_owned(),
            source_rows,
            store_rows,
        };
        let done = Reconciled {
            differences: vec![
                difference("2026-11-20", 1200, 1199),
                difference("none", 0, 3),
            ],
            dead_letters: [("public.likes->events".to_owned(), 1)].into(),
            notes: vec!["source main is behind".to_owned()],
            ..Reconciled::default()
        };
        expect![[r"
            table                 group       source  store
            public.likes->events  2026-11-20    1200   1199
            public.likes->events  none             0      3
            public.likes->events: 1 rows wait as dead letters
            note: source main is behind"]]
        .assert_eq(&render(&done));
        expect![[r"
            source,table,group,source_rows,store_rows
            main,public.likes->events,2026-11-20,1200,1199
            main,public.likes->events,none,0,3
        "]]
        .assert_eq(&exported(&done, Path::new("x.csv")).expect("CSV"));
    }

    #[test]
    fn refused_rows_that_are_all_that_differs_say_what_to_do() {
        let table = "public.likes->events".to_owned();
        let mut done = Reconciled {
            differences: vec![Difference {
                source: "main".to_owned(),
                table: table.clone(),
                group: "all".to_owned(),
                source_rows: 9,
                store_rows: 7,
            }],
            dead_letters: [(table.clone(), 2)].into(),
            ..Reconciled::default()
        };
        assert_eq!(refused(&done, &table), Some(2));
        let text = render(&done);
        assert!(
            text.contains("dead-letter replay --table public.likes`"),
            "{text}"
        );
        done.dead_letters.insert(table.clone(), 1);
        assert_eq!(refused(&done, &table), None);
        // Names are quoted for a shell, and what data says for a terminal.
        let odd = "My Shop.Likes->events".to_owned();
        done.differences[0].table.clone_from(&odd);
        done.differences[0].group = "7\u{1b}[2J\n8".to_owned();
        done.dead_letters = [(odd, 2)].into();
        let text = render(&done);
        for words in [
            "dead-letter list --table 'My Shop.Likes'`",
            "dead-letter replay --table 'My Shop.Likes'`",
            r"7\u{1b}[2J\n8",
        ] {
            assert!(text.contains(words), "{words} is not in {text}");
        }
    }
}
