use super::*;
use crate::ingest::rows::Fact;
use crate::replicate::config::TableConfig;

const NOW: Now = Now {
    wall_ms: 1_700_000_000_000,
    domain_ms: 1_700_000_000_000,
};

fn topic(entries: &[&str]) -> Topic {
    let tables: Vec<TableConfig> = entries
        .iter()
        .map(|entry| toml::from_str(entry).expect("an entry"))
        .collect();
    let format = tables.first().expect("an entry").format;
    let plans = tables
        .iter()
        .zip(1..)
        .map(|(table, id)| (TableId(id), TablePlan::compile(table).expect("a plan")));
    Topic::new("k", "t", format, plans.collect())
}

const LIKES: &str = "table = 't'\nto = 'events'\ntype = \"'like'\"\nuser = 'user_id'\nitem = 'post_id'\nts = 'epoch_ms(at)'";

fn read(topic: &mut Topic, key: &str, value: Option<&str>) -> Result<(Changes, Said), KafkaFault> {
    let message = Incoming {
        key: (!key.is_empty()).then_some(key.as_bytes()),
        value: value.map(str::as_bytes),
        timestamp_ms: 5,
        partition: 1,
        offset: 7,
    };
    let mut changes = Vec::new();
    let said = topic.read(&message, NOW, &mut changes)?;
    Ok((changes, said))
}

/// Key and operation of each change, and its dead letter's reason.
#[track_caller]
fn check(topic: &mut Topic, key: &str, value: &str, expected: &[(RowKey, &str)]) {
    let (changes, _) = read(topic, key, Some(value)).expect("the topic is followed");
    let seen: Vec<(RowKey, String)> = changes
        .iter()
        .map(|(change, dead)| {
            let text = match (&change.op, dead) {
                (_, Some(dead)) => format!("{}: {}", dead.position, dead.reason),
                (RowOp::Put(Fact::Event(event)), None) => {
                    format!("{} {}", event.user, event.item.as_deref().unwrap_or("-"))
                }
                (op, None) => format!("{op:?}"),
            };
            (change.key, text)
        })
        .collect();
    assert_eq!(seen.len(), expected.len(), "{seen:?}");
    for ((key, text), (expected_key, says)) in seen.iter().zip(expected) {
        assert_eq!(key, expected_key, "{text}");
        assert!(text.contains(says), "{text}");
    }
}

#[test]
fn rows_are_put_removed_and_refused_under_the_key_of_the_message() {
    let mut topic = topic(&[LIKES]);
    let key = r#"{"id":7}"#;
    let put = r#"{"op":"c","after":{"id":7,"user_id":"u","post_id":"p","at":1700000000000}}"#;
    check(&mut topic, key, put, &[(RowKey::Int(7), "u p")]);
    assert_eq!(topic.key(), Some(&["id".to_owned()][..]));
    let gone = r#"{"op":"d","before":{"id":7}}"#;
    check(&mut topic, key, gone, &[(RowKey::Int(7), "Remove")]);
    check(&mut topic, "", gone, &[(RowKey::Int(7), "Remove")]);
    check(
        &mut topic,
        key,
        "{",
        &[(RowKey::Int(7), "t/1@7: the message is not JSON")],
    );
    check(
        &mut topic,
        "",
        "{",
        &[(NO_ROW, "t/1@7: the message is not JSON")],
    );
    let lost = r#"{"op":"d","before":null}"#;
    check(&mut topic, "", lost, &[(NO_ROW, "does not have its key")]);
    let (tombstone, _) = read(&mut topic, key, None).expect("a tombstone");
    assert_eq!(tombstone, [(removal(TableId(1), RowKey::Int(7)), None)]);
    let bad = r#"{"op":"c","after":{"id":7,"user_id":null,"post_id":"p","at":1700000000000}}"#;
    check(&mut topic, key, bad, &[(RowKey::Int(7), "user")]);
    let (none, said) = read(&mut topic, key, Some(r#"{"op":"t"}"#)).expect("a truncation");
    assert!(none.is_empty() && said.is_truncated);
    let huge = format!(r#"{{"op":"c","x":"{}"}}"#, "x".repeat(MESSAGE_BYTES_MAX));
    check(
        &mut topic,
        key,
        &huge,
        &[(RowKey::Int(7), "more than 8388608")],
    );
}

#[test]
fn a_value_that_was_not_sent_is_refused_with_what_helps() {
    let mut topic = topic(&[LIKES]);
    let json = r#"{"op":"u","after":{"id":7,"user_id":"__debezium_unavailable_value","post_id":"p","at":1700000000000}}"#;
    let (changes, _) = read(&mut topic, r#"{"id":7}"#, Some(json)).expect("an update");
    let [(_, Some(letter))] = &changes[..] else {
        panic!("{changes:?}");
    };
    let reason = &letter.reason;
    assert!(reason.starts_with("unchanged: user"), "{reason}");
    assert!(reason.contains("let the messages carry"), "{reason}");
    assert!(!reason.contains("ALTER TABLE"), "{reason}");
}

#[test]
fn a_row_whose_mapped_key_changes_leaves_the_old_one() {
    let entry = format!("{LIKES}\nkey = ['user_id', 'post_id']");
    let mut topic = topic(&[&entry]);
    let json = r#"{"op":"u","before":{"user_id":"u","post_id":"p"},"after":{"user_id":"u","post_id":"q","at":1700000000000}}"#;
    let (changes, _) = read(&mut topic, "", Some(json)).expect("an update");
    let [(left, None), (put, None)] = &changes[..] else {
        panic!("{changes:?}");
    };
    assert_eq!(left.op, RowOp::Remove);
    assert!(matches!(put.op, RowOp::Put(_)) && put.key != left.key);
}

#[test]
fn two_entries_read_one_topic() {
    let follows = "table = 't'\nto = 'users'\nid = 'user_id'";
    let mut topic = topic(&[LIKES, follows]);
    let json = r#"{"op":"r","after":{"id":7,"user_id":"u","post_id":"p","at":1700000000000}}"#;
    check(
        &mut topic,
        r#"{"id":7}"#,
        json,
        &[(RowKey::Int(7), "u p"), (RowKey::Int(7), "User")],
    );
    assert_eq!(topic.tables(), [1, 2]);
}

#[test]
fn messages_without_keys_are_refused_until_a_key_is_known() {
    let put = r#"{"op":"c","after":{"id":7,"user_id":"u","post_id":"p","at":1700000000000}}"#;
    let mut fresh = topic(&[LIKES]);
    for key in ["", "7"] {
        check(
            &mut fresh,
            key,
            put,
            &[(NO_ROW, "t/1@7: the message has no key")],
        );
    }
    let (tombstone, _) = read(&mut fresh, "", None).expect("a tombstone");
    assert_eq!(tombstone, []);
    assert_eq!(fresh.key(), None);
    check(&mut fresh, r#"{"id":7}"#, put, &[(RowKey::Int(7), "u p")]);
    check(&mut fresh, "", put, &[(RowKey::Int(7), "u p")]);
    // After a restart it is what it was before.
    let mut again = topic(&[LIKES]);
    again.know_key(&["id".to_owned()]);
    check(&mut again, "", put, &[(RowKey::Int(7), "u p")]);
}

#[test]
fn events_are_rows_by_place_or_by_id() {
    let entry = "table = 't'\nto = 'events'\nformat = 'edgewise'";
    let mut by_place = topic(&[entry]);
    let json = r#"{"id":"e","type":"like","user":"u","item":"i"}"#;
    let place = event::key(1, 7).expect("a key");
    check(&mut by_place, "", json, &[(place, "u i")]);
    check(
        &mut by_place,
        "",
        r#"{"id":"e"}"#,
        &[(place, "type is missing")],
    );
    let mut by_id = topic(&[&format!("{entry}\nkey = ['id']")]);
    let (once, _) = read(&mut by_id, "", Some(json)).expect("an event");
    assert!(matches!(once[..], [(RowChange { key: RowKey::Hash(key), .. }, None)] if key != 0));
    check(&mut by_id, "", "x", &[(NO_ROW, "invalid JSON")]);
}
