//! Bodies of hot lists as they were answered last: they depend on list, overlay and parameters
//! alone, so one isolate merges and sorts them once an overlay, not once a request.

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::id_hash;
use edgewise_wire::lists::HotList;
use edgewise_wire::overlay::Overlay;

use crate::limits::ANSWERS_MAX;
use crate::models::Served;

/// What a body was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    list_ms: i64,
    overlay: (u64, i64),
    model: u64,
    moment_ms: i64,
}

impl Stamp {
    pub(crate) fn of(list: &HotList, overlay: &Overlay, served: &Served, moment_ms: i64) -> Self {
        Self {
            list_ms: list.generated_at_ms,
            overlay: (overlay.position, overlay.made_at_ms),
            model: id_hash(&served.model.version),
            moment_ms,
        }
    }
}

/// Bodies and what was asked for, at most [`ANSWERS_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Answers(Vec<(String, Stamp, Vec<u8>)>);

impl Answers {
    /// The body for `asked`, where it was made from the same things.
    pub(crate) fn get(&self, asked: &str, stamp: Stamp) -> Option<&[u8]> {
        let (_, made_from, body) = self.0.iter().find(|(known, _, _)| known == asked)?;
        (*made_from == stamp).then_some(body)
    }

    /// Keeps a body; at the limit all go, as most are of older overlays.
    pub(crate) fn put(&mut self, asked: String, stamp: Stamp, body: Vec<u8>) {
        self.0.retain(|(known, _, _)| *known != asked);
        if self.0.len() >= ANSWERS_MAX {
            self.0.clear();
        }
        self.0.push((asked, stamp, body));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_body_holds_until_what_it_was_made_from_changes() {
        let stamp = Stamp {
            list_ms: 1,
            overlay: (2, 3),
            model: 4,
            moment_ms: 5,
        };
        let mut answers = Answers::default();
        answers.put("hot?limit=20".into(), stamp, b"body".to_vec());
        assert_eq!(answers.get("hot?limit=20", stamp), Some(&b"body"[..]));
        assert_eq!(answers.get("hot?limit=21", stamp), None);
        for other in [
            Stamp {
                list_ms: 9,
                ..stamp
            },
            Stamp {
                overlay: (2, 9),
                ..stamp
            },
            Stamp { model: 9, ..stamp },
            Stamp {
                moment_ms: 9,
                ..stamp
            },
        ] {
            assert_eq!(answers.get("hot?limit=20", other), None);
        }
    }

    #[test]
    fn the_number_of_bodies_is_bounded() {
        let stamp = Stamp {
            list_ms: 1,
            overlay: (2, 3),
            model: 4,
            moment_ms: 5,
        };
        let mut answers = Answers::default();
        for asked in 0..3 * ANSWERS_MAX {
            answers.put(format!("{asked}"), stamp, Vec::new());
            assert!(answers.0.len() <= ANSWERS_MAX);
        }
    }
}
