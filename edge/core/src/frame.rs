//! The byte frames of `edge.wasm` (ARCHITECTURE.md, "edge.wasm interface").
//!
//! Reading never fails loudly: what is cut short or not UTF-8 reads as `None`.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

use crate::effect::{Done, Effect, Output};
use crate::request::Request;

/// Most effect results a `resume` frame may carry.
pub const RESULTS_MAX: usize = 64;

/// Splits a `start` frame into the request and its body.
#[must_use]
pub fn read_start(frame: &[u8]) -> Option<(Request<'_>, &[u8])> {
    let (header, body) = split_prefixed(frame)?;
    let text = core::str::from_utf8(header).ok()?;
    Some((Request::parse(text)?, body))
}

/// Splits `u32` length, that many bytes, the rest.
pub(crate) fn split_prefixed(frame: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = frame;
    let length = take_u32(&mut rest)? as usize;
    Some((take(&mut rest, length)?, rest))
}

/// A `resume` frame: handle, wall time and results.
#[must_use]
pub fn read_resume(frame: &[u8]) -> Option<(u32, i64, Vec<Done<'_>>)> {
    let mut rest = frame;
    let handle = take_u32(&mut rest)?;
    let wall_ms = i64::try_from(take_u64(&mut rest)?).ok()?;
    let count = take_u32(&mut rest)? as usize;
    if count > RESULTS_MAX {
        return None;
    }
    let mut results = Vec::with_capacity(count);
    for _ in 0..count {
        let id = take_u32(&mut rest)?;
        let status = take_u32(&mut rest)?;
        let age_s = take_u32(&mut rest)?;
        let length = take_u32(&mut rest)? as usize;
        results.push(Done {
            id,
            status,
            age_s,
            body: take(&mut rest, length)?,
        });
    }
    Some((handle, wall_ms, results))
}

/// Writes an output frame: control length, control JSON, raw bytes.
pub fn write_output(output: &Output, into: &mut Vec<u8>) {
    let mut raw_len = 0;
    let mut place = |body: &[u8]| {
        let at = raw_len;
        raw_len += body.len();
        [at, body.len()]
    };
    let control = Control {
        h: output.handle,
        answer: output.answer.as_ref().map(|answer| ControlAnswer {
            status: answer.status,
            headers: &answer.headers,
            body: place(&answer.body),
        }),
        effects: output
            .effects
            .iter()
            .zip(1..)
            .map(|(effect, id)| ControlEffect::of(id, effect, &mut place))
            .collect(),
        done: output.done,
        asset: output.asset,
    };
    // Strings and numbers only: writing cannot fail.
    let json = serde_json::to_vec(&control).unwrap_or_default();
    into.clear();
    into.reserve(4 + json.len() + raw_len);
    into.extend_from_slice(&u32::try_from(json.len()).unwrap_or(0).to_le_bytes());
    into.extend_from_slice(&json);
    if let Some(answer) = &output.answer {
        into.extend_from_slice(&answer.body);
    }
    for effect in &output.effects {
        into.extend_from_slice(body_of(effect));
    }
}

fn body_of(effect: &Effect) -> &[u8] {
    match effect {
        Effect::CachePut { body, .. } | Effect::KvPut { body, .. } | Effect::Send { body } => body,
        _ => &[],
    }
}

#[derive(Serialize)]
struct Control<'a> {
    h: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<ControlAnswer<'a>>,
    effects: Vec<ControlEffect<'a>>,
    done: bool,
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    asset: bool,
}

#[derive(Serialize)]
struct ControlAnswer<'a> {
    status: u16,
    headers: &'a [(&'static str, alloc::borrow::Cow<'static, str>)],
    body: [usize; 2],
}

#[derive(Default, Serialize)]
struct ControlEffect<'a> {
    id: u32,
    op: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_s: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<[usize; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<[(&'static str, &'a str); 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<u32>,
}

impl<'a> ControlEffect<'a> {
    fn of(id: u32, effect: &'a Effect, place: &mut impl FnMut(&[u8]) -> [usize; 2]) -> Self {
        let named = |op, key: &'a String| Self {
            id,
            op,
            key: Some(key),
            ..Self::default()
        };
        match effect {
            Effect::CacheGet { key } => named("cache_get", key),
            Effect::KvGet { key } => named("kv_get", key),
            Effect::Limit { key } => named("limit", key),
            Effect::CachePut { key, ttl_s, body } => Self {
                ttl_s: Some(*ttl_s),
                body: Some(place(body)),
                ..named("cache_put", key)
            },
            Effect::KvPut { key, ttl_s, body } => Self {
                ttl_s: Some(*ttl_s),
                body: Some(place(body)),
                ..named("kv_put", key)
            },
            Effect::Fetch {
                path,
                traceparent,
                timeout_ms,
            } => Self {
                id,
                op: "fetch",
                method: Some("GET"),
                path: Some(path),
                headers: Some([("traceparent", traceparent)]),
                timeout_ms: Some(*timeout_ms),
                ..Self::default()
            },
            Effect::Send { body } => Self {
                id,
                op: "send",
                body: Some(place(body)),
                ..Self::default()
            },
            Effect::Sleep { ms } => Self {
                id,
                op: "sleep",
                ms: Some(*ms),
                ..Self::default()
            },
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    take(rest, 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    take(rest, 8)?.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Answer;
    use alloc::vec;
    use proptest::prelude::*;

    fn read_output(frame: &[u8]) -> (serde_json::Value, Vec<u8>) {
        let length = u32::from_le_bytes(frame[..4].try_into().expect("4 bytes")) as usize;
        let control = serde_json::from_slice(&frame[4..4 + length]).expect("JSON control");
        (control, frame[4 + length..].to_vec())
    }

    #[test]
    fn output_places_bodies_one_after_the_other() {
        let output = Output {
            handle: 7,
            answer: Some(Answer::new(200).body("text/plain", b"hello".to_vec())),
            effects: vec![
                Effect::KvPut {
                    key: "k".into(),
                    ttl_s: 60,
                    body: b"value".to_vec(),
                },
                Effect::Fetch {
                    path: "/internal/v1/overlay".into(),
                    traceparent: "00-".into(),
                    timeout_ms: 80,
                },
            ],
            done: false,
            asset: false,
        };
        let mut frame = Vec::new();
        write_output(&output, &mut frame);
        let (control, raw) = read_output(&frame);
        assert_eq!(raw, b"hellovalue");
        assert_eq!(control["answer"]["body"], serde_json::json!([0, 5]));
        assert_eq!(control["effects"][0]["body"], serde_json::json!([5, 5]));
        assert_eq!(control["effects"][0]["id"], 1);
        assert_eq!(control["effects"][1]["op"], "fetch");
        assert_eq!(
            control["effects"][1]["headers"],
            serde_json::json!([["traceparent", "00-"]])
        );
        assert_eq!(control["h"], 7);
    }

    #[test]
    fn resume_reads_results_in_order() {
        let mut frame = Vec::new();
        frame.extend_from_slice(&9_u32.to_le_bytes());
        frame.extend_from_slice(&1234_u64.to_le_bytes());
        frame.extend_from_slice(&1_u32.to_le_bytes());
        for word in [1_u32, 200, 3, 2] {
            frame.extend_from_slice(&word.to_le_bytes());
        }
        frame.extend_from_slice(b"ok");
        let (handle, wall_ms, results) = read_resume(&frame).expect("well formed");
        assert_eq!((handle, wall_ms), (9, 1234));
        assert_eq!(
            results,
            [Done {
                id: 1,
                status: 200,
                age_s: 3,
                body: b"ok"
            }]
        );
        frame.pop();
        assert_eq!(read_resume(&frame), None, "cut short");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn any_bytes_read_to_a_value_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_start(&bytes);
            let _ = read_resume(&bytes);
        }
    }
}
