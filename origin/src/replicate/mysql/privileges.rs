//! What the user of the connection may do at the server, and the statements that let it.

use super::client::Client;
use super::error::{MysqlError, text};
use super::undecided;
use crate::replicate::check::Report;

/// Reports what is missing, and XA transactions that a first copy would wait for.
pub(super) async fn report(
    client: &mut Client,
    is_mariadb: bool,
    report: &mut Report,
) -> Result<(), MysqlError> {
    let rows = client.rows("SHOW GRANTS", Vec::new()).await?;
    let grants: Vec<String> = rows.iter().map(|row| row.text(0).to_uppercase()).collect();
    let globally = |names: &[&str]| {
        let global = grants.iter().filter(|grant| grant.contains(" ON *.* "));
        let mut granted = global.map(|grant| grant.split(" ON *.* ").next().unwrap_or_default());
        granted.any(|list| {
            list.contains("ALL PRIVILEGES") || names.iter().any(|name| list.contains(name))
        })
    };
    // Whoever runs the statement is somebody else.
    let row = client.row("SELECT CURRENT_USER()").await?;
    let user = account(&row.map(|row| row.text(0)).unwrap_or_default());
    if !globally(&["REPLICATION SLAVE", "REPLICATION REPLICA"]) {
        report.error(
            "user",
            "it may not read the binlog: REPLICATION SLAVE is missing",
            format!("GRANT REPLICATION SLAVE ON *.* TO {user};"),
        );
    }
    let client_names: &[&str] = &["REPLICATION CLIENT", "BINLOG MONITOR", "SUPER"];
    if !globally(client_names) {
        let right = if is_mariadb {
            "BINLOG MONITOR"
        } else {
            "REPLICATION CLIENT"
        };
        report.error(
            "user",
            format!("it may not see binlog positions: {right} is missing"),
            format!("GRANT {right} ON *.* TO {user};"),
        );
    }
    prepared(client, &user, report).await
}

/// The name of an account in statements, of `user@host`.
fn account(current: &str) -> String {
    let (user, host) = current.rsplit_once('@').unwrap_or((current, "%"));
    format!("{}@{}", text(user), text(host))
}

/// XA transactions that keep first copies waiting, or that nobody may see.
async fn prepared(client: &mut Client, user: &str, report: &mut Report) -> Result<(), MysqlError> {
    match undecided::recover(client).await {
        Ok(left) if left.is_empty() => {}
        Ok(left) => {
            let (problem, remedy) = undecided::words(&left);
            let problem = format!("{problem}; a first copy waits for them");
            report.warning("server", problem, remedy);
        }
        Err(error) if undecided::is_refused(&error) => {
            let right = undecided::RIGHT;
            report.warning(
                "user",
                format!(
                    "it may not see prepared XA transactions: {right} is missing; where some are \
                     prepared when the source is followed first, every table stops with their end"
                ),
                format!("GRANT {right} ON *.* TO {user};"),
            );
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::account;

    #[test]
    fn an_account_is_quoted_as_statements_need_it() {
        assert_eq!(account("edgewise@%"), "'edgewise'@'%'");
        assert_eq!(account("o'k@home@10.0.%"), "'o''k@home'@'10.0.%'");
    }
}
