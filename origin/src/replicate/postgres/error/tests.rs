use pgwire_replication::PgWireError;

use super::{PgError, Place};

const PLACE: Place<'static> = Place {
    host: "db:5432",
    user: "app",
    database: "shop",
    slot: "edgewise_main",
    publication: "edgewise_main",
};

#[track_caller]
fn check(code: &str, message: &str, expected: &str, retryable: bool) {
    let error = PgError::from_server(code, message, &PLACE);
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.is_retryable(), retryable, "{expected}");
    assert!(!error.remedy().is_empty());
}

#[test]
fn the_servers_errors_name_what_they_are_about() {
    check(
        "28P01",
        "password authentication failed for user \"app\"",
        "db:5432 refuses user app: password authentication failed for user \"app\"",
        false,
    );
    check(
        "3D000",
        "database \"shop\" does not exist",
        "database shop does not exist",
        false,
    );
    check(
        "42501",
        "must be superuser or replication role to start walsender",
        "user app may not use replication: must be superuser or replication role to start walsender",
        false,
    );
    check(
        "55006",
        "replication slot \"edgewise_main\" is active for PID 4711",
        "replication slot edgewise_main is in use by process 4711 of the server",
        true,
    );
    check(
        "57P01",
        "terminating connection due to administrator command",
        "the server says: terminating connection due to administrator command (57P01)",
        true,
    );
    check(
        "42P01",
        "relation \"x\" does not exist",
        "the server says: relation \"x\" does not exist (42P01)",
        false,
    );
    check(
        "57014",
        "canceling statement due to statement timeout",
        "a statement took longer than allowed: canceling statement due to statement timeout",
        true,
    );
}

#[test]
fn what_is_lost_for_good_names_the_way_out() {
    let error = PgError::SlotMissing {
        slot: "s".into(),
        position: "0/1".into(),
    };
    assert!(!error.is_retryable());
    assert!(error.remedy().contains("edgewise replicate resync"));
    let wire = PgWireError::Server(
        "cannot read from logical replication slot \"s\" (SQLSTATE 55000)".into(),
    );
    let error = PgError::from_wire(&wire, &PLACE);
    assert!(matches!(error, PgError::SlotLost { .. }), "{error}");
}
