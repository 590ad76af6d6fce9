//! What Debezium does for the shop's PostgreSQL database, in small: triggers keep each change of
//! a row, in order, and [`Connector::pump`] produces it to the topics `cdc.<table>` in
//! Debezium's envelope.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::Rng;
use crate::servers::{NULL, Session, Topics};

/// Changes that are produced at once.
const BATCH: usize = 500;
/// A batch in so many is produced twice, as a connector does that was killed before it noted
/// how far it was.
const REPEATED: u64 = 4;

/// Posts come with a schema and microseconds, follows with times as text, and interactions with
/// milliseconds. A picture that did not change is not sent, but where the row before is.
const TRIGGERS: &str = r#"
create table changes (seq bigserial primary key, topic text not null, op text not null, key jsonb, before jsonb, after jsonb);
create function note_row(tab text, r jsonb) returns jsonb language sql as $f$
  select case
    when tab = 'posts' then r || jsonb_build_object('created_at', (extract(epoch from (r ->> 'created_at')::timestamptz) * 1000000)::bigint)
    when tab = 'interactions' then r || jsonb_build_object('created_at', (extract(epoch from (r ->> 'created_at')::timestamptz) * 1000)::bigint)
    else r end
$f$;
create function note_key(names text[], r jsonb) returns jsonb language sql as $f$
  select jsonb_object_agg(name, r -> name) from unnest(names) name
$f$;
create function note() returns trigger language plpgsql as $f$
declare o jsonb; n jsonb; names text[] = tg_argv; topic text = 'cdc.' || tg_table_name;
begin
  if tg_op = 'TRUNCATE' then
    insert into changes (topic, op) values (topic, 't');
    return null;
  end if;
  if tg_op <> 'INSERT' then o = note_row(tg_table_name, to_jsonb(old)); end if;
  if tg_op <> 'DELETE' then n = note_row(tg_table_name, to_jsonb(new)); end if;
  if tg_op = 'UPDATE' and note_key(names, o) = note_key(names, n) then
    if n -> 'picture' = o -> 'picture' and n ->> 'picture' is not null then
      n = n || jsonb_build_object('picture', '__debezium_unavailable_value');
    end if;
    insert into changes (topic, op, key, before, after) values (topic, 'u', note_key(names, n), case when o -> 'deleted_at' = n -> 'deleted_at' then null else o end, n);
    return null;
  end if;
  if o is not null then
    insert into changes (topic, op, key, before) values (topic, 'd', note_key(names, o), o);
  end if;
  if n is not null then
    insert into changes (topic, op, key, after) values (topic, 'c', note_key(names, n), n);
  end if;
  return null;
end
$f$;
"#;

/// The shop's tables with their keys.
const TABLES: [(&str, &str); 3] = [
    ("posts", "'id'"),
    ("follows", "'user_id', 'author_id'"),
    ("interactions", "'id'"),
];

/// A connector between the database of a session and a broker.
pub struct Connector<'a> {
    session: Session,
    topics: &'a Topics,
    rng: Rng,
    /// Messages that were produced, repeated ones too.
    pub produced: u64,
    /// Batches that were produced twice.
    pub repeated: u64,
}

/// A message: topic, key and value.
type Message = (String, Option<String>, Option<String>);

impl<'a> Connector<'a> {
    /// Begins to keep changes; the first that are produced are a snapshot's reads.
    #[must_use]
    pub fn install(mut session: Session, topics: &'a Topics, seed: u64) -> Self {
        session.sql(TRIGGERS);
        for (table, key) in TABLES {
            session.sql(&format!(
                "insert into changes (topic, op, key, after) \
                 select 'cdc.{table}', 'r', note_key(array[{key}], to_jsonb(t)), note_row('{table}', to_jsonb(t)) from {table} t; \
                 create trigger note after insert or update or delete on {table} for each row execute function note({key}); \
                 create trigger note_all after truncate on {table} for each statement execute function note()"
            ));
        }
        Self {
            session,
            topics,
            rng: Rng::new(seed),
            produced: 0,
            repeated: 0,
        }
    }

    /// Produces what was committed; false where there was nothing.
    pub fn pump(&mut self) -> bool {
        // Changes of one row are in its locks' order, whichever transaction ends first.
        let rows = self.session.sql(&format!(
            "with taken as (delete from changes where seq in (select seq from changes order by seq limit {BATCH}) \
             returning *) select topic, op, key, before, after from taken order by seq"
        ));
        let mut batch: Vec<Message> = Vec::new();
        for row in &rows {
            let [topic, op, key, before, after] = &row[..] else {
                panic!("{row:?}");
            };
            let json = |text: &str| -> Value {
                if text == NULL {
                    return Value::Null;
                }
                serde_json::from_str(text).expect("the database writes JSON")
            };
            batch.extend(messages(topic, op, &json(key), &json(before), &json(after)));
        }
        let times = 1 + u64::from(self.rng.below(REPEATED) == 0);
        self.repeated += times - 1;
        for _ in 0..times {
            for (topic, key, value) in &batch {
                self.topics.send(topic, key.as_deref(), value.as_deref());
                self.produced += 1;
            }
        }
        self.topics.flush();
        !rows.is_empty()
    }
}

/// The messages of a change; a deletion is followed by a tombstone.
#[must_use]
pub fn messages(topic: &str, op: &str, key: &Value, before: &Value, after: &Value) -> Vec<Message> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = now.expect("after 1970").as_millis() as u64;
    let value = json!({
        "before": before,
        "after": after,
        "source": { "connector": "postgresql", "ts_ms": now_ms, "table": topic },
        "op": op,
        "ts_ms": now_ms,
    });
    let has_schema = topic.ends_with(".posts");
    let wrap = |payload: &Value, schema: Value| {
        if has_schema {
            return json!({ "schema": schema, "payload": payload }).to_string();
        }
        payload.to_string()
    };
    let key = (!key.is_null()).then(|| wrap(key, key_schema()));
    let value = wrap(&value, posts_schema());
    let mut messages = vec![(topic.to_owned(), key.clone(), Some(value))];
    if op == "d" {
        messages.push((topic.to_owned(), key, None));
    }
    messages
}

fn key_schema() -> Value {
    json!({ "type": "struct", "fields": [{ "type": "int64", "field": "id" }] })
}

fn posts_schema() -> Value {
    let text = |name: &str| json!({ "type": "string", "optional": true, "field": name });
    let fields = json!([
        { "type": "int64", "field": "id" },
        { "type": "int64", "field": "author_id" },
        text("title"),
        text("picture"),
        { "type": "int64", "field": "created_at", "name": "io.debezium.time.MicroTimestamp" },
        text("deleted_at"),
    ]);
    json!({ "type": "struct", "fields": [
        { "type": "struct", "optional": true, "field": "before", "fields": fields },
        { "type": "struct", "optional": true, "field": "after", "fields": fields },
        { "type": "string", "field": "op" },
    ]})
}
