//! Candidates as a structure of arrays: one column a fact, one row a candidate.

use alloc::vec::Vec;

use crate::feature::Feature;
use crate::id::id_hash;
use crate::sketch::{SKETCH_DIMS, Sketches};
use crate::sort::sort;

/// Which sources named a candidate: a bit set over F1 to F5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sources(pub u8);

impl Sources {
    /// F1: items by authors the user follows.
    pub const FOLLOW: Self = Self(1);
    /// F2: items with engagement in the last 24 h.
    pub const TRENDING: Self = Self(2);
    /// F3: items by the authors the user interacts with most.
    pub const AFFINITY: Self = Self(4);
    /// F4: nearest items to what the user liked last.
    pub const SIMILAR: Self = Self(8);
    /// F5: new items with few impressions.
    pub const EXPLORE: Self = Self(16);

    /// Whether every source of `other` is in `self`.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// API names of the sources in merge order: `follow trending affinity similar explore`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        [
            (Self::FOLLOW, "follow"),
            (Self::TRENDING, "trending"),
            (Self::AFFINITY, "affinity"),
            (Self::SIMILAR, "similar"),
            (Self::EXPLORE, "explore"),
        ]
        .into_iter()
        .filter(move |(source, _)| self.contains(*source))
        .map(|(_, name)| name)
    }
}

/// What an item is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A text post.
    Post = 0,
    /// A video.
    #[default]
    Video = 1,
    /// An image.
    Image = 2,
    /// A data set.
    Dataset = 3,
}

impl Kind {
    /// All kinds in discriminant order.
    pub const ALL: [Self; 4] = [Self::Post, Self::Video, Self::Image, Self::Dataset];

    /// API name: `post video image dataset`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Video => "video",
            Self::Image => "image",
            Self::Dataset => "dataset",
        }
    }

    /// The kind with this API name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Many short strings in one allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Texts {
    /// Number of strings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string at `index`; empty where there is none.
    #[must_use]
    pub fn get(&self, index: usize) -> &str {
        core::str::from_utf8(self.bytes_of(index)).unwrap_or("")
    }

    /// The UTF-8 bytes of the string at `index`; empty where there is none.
    #[must_use]
    pub fn bytes_of(&self, index: usize) -> &[u8] {
        let Some(&end) = self.ends.get(index) else {
            return &[];
        };
        let start = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .copied();
        self.bytes
            .get(start.unwrap_or(0) as usize..end as usize)
            .unwrap_or(&[])
    }

    /// Appends `text` and returns its index.
    pub fn push(&mut self, text: &str) -> usize {
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends
            .push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
        self.ends.len() - 1
    }

    /// The strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// A label index that means "none" (no language, no region).
pub const NO_LABEL: u16 = u16::MAX;

/// Candidates of one bundle or pool. Every per-row column has [`Candidates::len`] entries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidates {
    /// Item ids.
    pub ids: Texts,
    /// XXH3-64 of each id.
    pub id_hashes: Vec<u64>,
    /// Distinct author ids.
    pub authors: Texts,
    /// XXH3-64 of each distinct author.
    pub author_hashes: Vec<u64>,
    /// Row to index into `authors`.
    pub author: Vec<u32>,
    /// Domain time of creation, Unix ms.
    pub created_at_ms: Vec<i64>,
    /// Which sources named the row.
    pub sources: Vec<Sources>,
    /// What the item is.
    pub kind: Vec<Kind>,
    /// Distinct tags, languages and regions.
    pub labels: Texts,
    /// Row to index into `labels`, or [`NO_LABEL`].
    pub language: Vec<u16>,
    /// Row to index into `labels`, or [`NO_LABEL`].
    pub region: Vec<u16>,
    /// Row to the end of its run in `tags`.
    pub tag_ends: Vec<u32>,
    /// Runs of indices into `labels`, ascending within a row.
    pub tags: Vec<u16>,
    /// One column a feature, indexed by [`Feature`] as usize.
    pub columns: [Vec<f32>; Feature::COUNT],
    /// Row to the set of features that were given: bit `1 << feature`.
    pub present: Vec<u32>,
    /// Domain time that the hot scores among the features are of, Unix ms. One of the
    /// future counts as now.
    pub as_of_ms: i64,
    /// Short vectors of the items.
    pub sketch: Sketches,
}

/// A row to append to [`Candidates`].
#[derive(Clone, Debug, Default)]
pub struct NewCandidate<'a> {
    /// Item id.
    pub id: &'a str,
    /// Author id.
    pub author: &'a str,
    /// Domain time of creation, Unix ms.
    pub created_at_ms: i64,
    /// Which sources named it.
    pub sources: Sources,
    /// What it is.
    pub kind: Kind,
    /// Language label.
    pub language: Option<&'a str>,
    /// Region label.
    pub region: Option<&'a str>,
    /// Tags.
    pub tags: &'a [&'a str],
    /// Feature values; `None` is absent.
    pub features: [Option<f32>; Feature::COUNT],
    /// The item's vector in the scale of [`Candidates::sketch`]; all 0 is none.
    pub sketch: [i8; SKETCH_DIMS],
}

/// A row's places in the tables of authors and labels.
pub(crate) struct RowIndices {
    pub(crate) author: usize,
    pub(crate) language: u16,
    pub(crate) region: u16,
    pub(crate) tags: Vec<u16>,
}

impl Candidates {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Appends a row. `author` and labels are looked up linearly: builders of large
    /// sets keep their own index and use the columns.
    pub fn push(&mut self, row: &NewCandidate<'_>) {
        let author_hash = id_hash(row.author);
        let author = match self
            .author_hashes
            .iter()
            .position(|&hash| hash == author_hash)
        {
            Some(index) => index,
            None => {
                self.author_hashes.push(author_hash);
                self.authors.push(row.author)
            }
        };
        let language = row.language.map_or(NO_LABEL, |label| self.label(label));
        let region = row.region.map_or(NO_LABEL, |label| self.label(label));
        let tags = row.tags.iter().map(|tag| self.label(tag)).collect();
        let indices = RowIndices {
            author,
            language,
            region,
            tags,
        };
        self.push_indexed(row, id_hash(row.id), indices);
    }

    /// Appends a row whose author and labels were looked up.
    pub(crate) fn push_indexed(&mut self, row: &NewCandidate<'_>, id: u64, indices: RowIndices) {
        self.ids.push(row.id);
        self.id_hashes.push(id);
        self.author
            .push(u32::try_from(indices.author).unwrap_or(u32::MAX));
        self.created_at_ms.push(row.created_at_ms);
        self.sources.push(row.sources);
        self.kind.push(row.kind);
        self.language.push(indices.language);
        self.region.push(indices.region);
        let mut tags = indices.tags;
        tags.retain(|&tag| tag != NO_LABEL);
        sort(&mut tags);
        tags.dedup();
        self.tags.extend_from_slice(&tags);
        self.tag_ends
            .push(u32::try_from(self.tags.len()).unwrap_or(u32::MAX));
        let mut present = 0;
        for feature in Feature::ALL {
            let value = row.features[feature as usize];
            present |= u32::from(value.is_some()) << feature as u32;
            self.columns[feature as usize].push(value.unwrap_or(0.0));
        }
        self.present.push(present);
        // Sets without vectors have no column of them.
        let sketches = &mut self.sketch.values;
        if !sketches.is_empty() || row.sketch != [0; SKETCH_DIMS] {
            sketches.resize(self.ids.len() - 1, [0; SKETCH_DIMS]);
            sketches.push(row.sketch);
        }
    }

    /// The index of `label`, appended where it is new; [`NO_LABEL`] where the table is full.
    pub fn label(&mut self, label: &str) -> u16 {
        if let Some(index) = self.labels.iter().position(|known| known == label) {
            return u16::try_from(index).unwrap_or(NO_LABEL);
        }
        if self.labels.len() >= usize::from(NO_LABEL) {
            return NO_LABEL;
        }
        u16::try_from(self.labels.push(label)).unwrap_or(NO_LABEL)
    }

    /// The row's tags as indices into `labels`, ascending.
    #[must_use]
    pub fn tags_of(&self, row: usize) -> &[u16] {
        let end = self.tag_ends.get(row).copied().unwrap_or(0) as usize;
        let start = row
            .checked_sub(1)
            .and_then(|before| self.tag_ends.get(before))
            .map_or(0, |&at| at);
        self.tags.get(start as usize..end).unwrap_or(&[])
    }

    /// The row's value of `feature`; `None` where it was not given.
    #[must_use]
    pub fn feature(&self, row: usize, feature: Feature) -> Option<f32> {
        let given = self
            .present
            .get(row)
            .is_some_and(|bits| bits >> feature as u32 & 1 == 1);
        given
            .then(|| self.columns[feature as usize].get(row).copied())
            .flatten()
    }

    /// The features that the row was given and that items of its kind have.
    #[inline]
    pub(crate) fn given(&self, row: usize) -> u32 {
        let kind = self.kind.get(row).copied().unwrap_or_default();
        self.present.get(row).copied().unwrap_or(0) & OF_KIND[kind as usize]
    }
}

/// The stored features that items have, by kind.
const OF_KIND: [u32; Kind::ALL.len()] = {
    let mut of_kind = [0; Kind::ALL.len()];
    let mut feature = 0;
    while feature < Feature::COUNT {
        let mut kind = 0;
        while kind < of_kind.len() {
            of_kind[kind] |= (Feature::ALL[feature].spec().kinds as u32 >> kind & 1) << feature;
            kind += 1;
        }
        feature += 1;
    }
    of_kind
};
