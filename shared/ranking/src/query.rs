//! What is asked of a ranking and what it answers.

use alloc::string::String;
use alloc::vec::Vec;

use crate::blend::{Head, Scoring};
use crate::sketch::UserVector;

/// Which formula scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Freshness, engagement, affinity.
    #[default]
    Feed,
    /// Adds completion and the vectors' `deep` term.
    Video,
}

/// How scored candidates become a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// Author caps, tag variety, explore slots.
    #[default]
    Diverse,
    /// Pure score order.
    None,
}

/// A ranking request. Slices of hashes are sorted ascending (binary searched).
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// Page size.
    pub limit: u32,
    /// Which formula scores.
    pub profile: Profile,
    /// How the page is chosen.
    pub selection: Selection,
    /// Hash of the user's id: the user's own items are removed.
    pub own_author: Option<u64>,
    /// Items that must not appear (deleted, hidden, seen, excluded by the request).
    pub removed_items: &'a [u64],
    /// Authors that must not appear.
    pub hidden_authors: &'a [u64],
    /// Items that earlier pages showed (the cursor's set); `None` on the first page.
    pub shown: Option<&'a dyn Fn(u64) -> bool>,
    /// Only items with this tag.
    pub tag: Option<&'a str>,
    /// Only items of this language.
    pub language: Option<&'a str>,
    /// Only items of this region.
    pub region: Option<&'a str>,
    /// Number of items earlier pages showed.
    pub position: u32,
    /// Author hashes of the last items earlier pages showed, oldest first (at most window - 1 count).
    pub recent_authors: &'a [u64],
    /// The catalogue's mean watch ratio, prior of `completion`; 0.5 where there is none.
    pub completion_prior: f64,
    /// What features read of the user and the moment.
    pub context: Context<'a>,
    /// Asked of rows that are about to be placed, with the row: false keeps the row off the
    /// page, and the next best takes its place. For rules too dear to ask of every
    /// candidate.
    pub admits: Option<&'a dyn Fn(u32) -> bool>,
}

/// What features read of the user and the moment, beside candidates and time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Context<'a> {
    /// The user's language, where it is known.
    pub language: Option<&'a str>,
    /// The user's region, where it is known.
    pub region: Option<&'a str>,
    /// Offset of the user's time zone from UTC at this moment, minutes.
    pub utc_offset_minutes: i32,
    /// The session's interactions by XXH3-64 of the author, ascending.
    pub session_authors: &'a [(u64, f32)],
    /// Short hashes of tags the session touched, ascending.
    pub session_tags: &'a [u32],
    /// The user's vector.
    pub vector: Option<UserVector>,
}

/// The model that scores beside the formula's weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// Its immutable version, named in every answer.
    pub version: String,
    /// Trees by objective; a configuration's blend names them.
    pub heads: Vec<Head>,
}

impl Model {
    /// A model without heads: the formula alone scores.
    #[must_use]
    pub fn formula(version: &str) -> Self {
        Self {
            version: version.into(),
            heads: Vec::new(),
        }
    }
}

/// What put an item where it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Placement {
    /// Its score alone.
    Score,
    /// The author cap moved it.
    AuthorCap,
    /// The author cap had to be broken: nothing else was left.
    AuthorCapRelaxed,
    /// Tag variety moved it.
    Variety,
    /// It was drawn for an explore slot with this probability.
    Explore {
        /// Probability of the draw, (0, 1].
        propensity: f64,
    },
}

/// One item of a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// Row in the candidates.
    pub row: u32,
    /// Final score; never NaN (non-finite scores sink to `-inf`).
    pub score: f64,
    /// 1-based rank by score among the eligible candidates.
    pub score_rank: u32,
    /// 1-based position in the feed, earlier pages counted.
    pub position: u32,
    /// What put it here.
    pub placement: Placement,
}

/// How many candidates each removal rule took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The user's own.
    pub own: u32,
    /// Named in `removed_items`.
    pub items: u32,
    /// Of hidden authors.
    pub hidden_authors: u32,
    /// Shown on earlier pages.
    pub shown: u32,
    /// Not of the asked tag, language or region.
    pub filtered: u32,
    /// Rows whose id an earlier row has.
    pub repeated: u32,
    /// Refused by `admits` when they were about to be placed.
    pub refused: u32,
}

/// A ranked page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranking {
    /// The page, in display order, at most `limit`.
    pub items: Vec<Ranked>,
    /// Candidates that were eligible (after removal and filters).
    pub eligible: u32,
    /// What was removed and why.
    pub removed: Removed,
    /// Numbers that were bad and took their default.
    pub degradations: u32,
    /// What scored.
    pub scoring: Scoring,
}

impl Default for Query<'_> {
    /// The first page of 20 by the `feed` profile for nobody in particular.
    fn default() -> Self {
        Self {
            limit: 20,
            profile: Profile::Feed,
            selection: Selection::Diverse,
            own_author: None,
            removed_items: &[],
            hidden_authors: &[],
            shown: None,
            tag: None,
            language: None,
            region: None,
            position: 0,
            recent_authors: &[],
            completion_prior: 0.5,
            context: Context::default(),
            admits: None,
        }
    }
}
