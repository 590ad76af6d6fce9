//! Looks a polled source over: connections, watermarks and their indexes.

use super::error::PollError;
use super::source::{PollTable, Sort, Source};
use crate::replicate::check::Report;
use crate::replicate::config::SourceConfig;
use crate::replicate::mapping::TablePlan;

/// Connects, reads the catalogue, and reports what keeps the tables from being polled.
pub async fn check(config: &SourceConfig, plans: &[TablePlan]) -> Report {
    let mut report = Report::default();
    let mut source = match Source::connect(config).await {
        Ok(source) => source,
        Err(error) => {
            found(&mut report, "server", &error);
            return report;
        }
    };
    for plan in plans {
        let object = format!("table {}", plan.table());
        match source.table(plan).await {
            Ok(bound) => table(&bound, &object, &mut report),
            Err(error) => found(&mut report, &object, &error),
        }
    }
    report.info(
        "source",
        "deletions are not seen unless they are soft: `edgewise reconcile` finds them",
    );
    report
}

fn found(report: &mut Report, object: &str, error: &PollError) {
    use crate::replicate::supervise::SourceFault;
    report.error(object, error.to_string(), error.remedy());
}

fn table(table: &PollTable, object: &str, report: &mut Report) {
    let Some(watermark) = table.order.first() else {
        return;
    };
    let name = &watermark.name;
    if table
        .indexes
        .iter()
        .all(|index| index.first() != Some(name))
    {
        report.error(
            object,
            format!("its watermark {name} has no index: every page would read the whole table"),
            table.create_index.clone(),
        );
    }
    if table
        .columns
        .iter()
        .any(|column| column.name == *name && column.nullable == Some(true))
    {
        report.warning(
            object,
            format!("its watermark {name} may be NULL: such rows are not seen"),
            format!("fill {name} and make it NOT NULL"),
        );
    }
    if matches!(watermark.sort, Sort::Text | Sort::Bytes) {
        report.warning(
            object,
            format!(
                "its watermark {name} is neither a time nor a number: a late commit is not seen"
            ),
            "use a column such as updated_at, or a number from a sequence",
        );
    }
}
