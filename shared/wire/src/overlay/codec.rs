//! The overlay's bytes: magic `EWO1`, columns.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::{HotSum, Kind};

use super::{DomainClock, ModelPointer, Overlay, OverlayItem, Purge};
use crate::codec::frame::Format;
use crate::codec::{Reader, Writer};
use crate::counters::Counters;
use crate::decode::DecodeError;
use crate::limits::{
    ID_BYTES_MAX, LABEL_BYTES_MAX, MODEL_VERSION_BYTES_MAX, OVERLAY_BYTES_MAX, OVERLAY_ITEMS_MAX,
    OVERLAY_RAW_BYTES_MAX, PURGES_MAX, TAGS_MAX, TOMBSTONES_MAX,
};

const FORMAT: Format = Format {
    magic: "EWO1",
    version: 1,
    bytes_max: OVERLAY_BYTES_MAX,
    raw_bytes_max: OVERLAY_RAW_BYTES_MAX,
};

/// Every item may have its own tags, region and language.
const LABELS_MAX: usize = OVERLAY_ITEMS_MAX * (TAGS_MAX + 2);

impl Overlay {
    /// The overlay's bytes. Lists are cut at their limits ([`crate::limits`]), so that what
    /// is encoded can be decoded: put the most important items first.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.varint(self.position);
        out.i64(self.made_at_ms);
        out.i64(self.clock.base_domain_ms);
        out.i64(self.clock.base_wall_ms);
        out.f64(self.clock.speed);
        out.f32(self.completion_prior);
        out.text(&self.model.stable);
        out.optional_text(self.model.canary.as_deref());
        out.varint(u64::from(self.model.canary_permille));
        let tombstones = self
            .tombstones
            .get(..TOMBSTONES_MAX)
            .unwrap_or(&self.tombstones);
        out.len(tombstones.len());
        out.ints(tombstones);
        let purges = self.purges.get(..PURGES_MAX).unwrap_or(&self.purges);
        out.len(purges.len());
        out.ints(&purges.iter().map(|purge| purge.tag).collect::<Vec<_>>());
        out.signed(
            &purges
                .iter()
                .map(|purge| purge.before_ms)
                .collect::<Vec<_>>(),
        );
        write_items(
            self.items.get(..OVERLAY_ITEMS_MAX).unwrap_or(&self.items),
            &mut out,
        );
        FORMAT.seal(0, &out.finish())
    }

    /// Reads what [`Overlay::encode`] wrote.
    ///
    /// # Errors
    ///
    /// Anything else is refused by name; no bytes panic or reserve more than the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::from_payload(FORMAT.open(0, bytes)?.bytes())
    }

    /// Reads the frame's payload.
    pub(crate) fn from_payload(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(payload);
        let position = input.varint("position")?;
        let made_at_ms = input.i64("made_at")?;
        let clock = DomainClock {
            base_domain_ms: input.i64("clock")?,
            base_wall_ms: input.i64("clock")?,
            speed: input.f64("clock")?,
        };
        let completion_prior = input.f32("completion_prior")?;
        let model = read_model(&mut input)?;
        let len = input.len("tombstones", TOMBSTONES_MAX)?;
        let tombstones = input.ints("tombstones", len, u64::MAX)?;
        let purges = read_purges(&mut input)?;
        let items = read_items(&mut input)?;
        input.end()?;
        Ok(Self {
            position,
            made_at_ms,
            clock,
            completion_prior,
            items,
            tombstones,
            model,
            purges,
        })
    }
}

fn read_model(input: &mut Reader<'_>) -> Result<ModelPointer, DecodeError> {
    Ok(ModelPointer {
        stable: input.text("stable model", MODEL_VERSION_BYTES_MAX)?,
        canary: input.optional_text("canary model", MODEL_VERSION_BYTES_MAX)?,
        canary_permille: u16::try_from(input.varint("canary share")?)
            .map_err(|_| DecodeError::OutOfRange("canary share"))?,
    })
}

fn read_purges(input: &mut Reader<'_>) -> Result<Vec<Purge>, DecodeError> {
    let len = input.len("purges", PURGES_MAX)?;
    let tags = input.ints("purges", len, u64::MAX)?;
    let befores = input.signed("purges", len)?;
    let both = tags.into_iter().zip(befores);
    Ok(both
        .map(|(tag, before_ms)| Purge { tag, before_ms })
        .collect())
}

/// The counters that are integers, in the order of their columns.
fn counts(counters: &Counters) -> [u32; 11] {
    let Counters {
        impressions,
        views,
        timed_views,
        completed_views,
        ..
    } = *counters;
    let Counters {
        clicks,
        likes,
        comments,
        shares,
        follows,
        hides,
        purchases,
        ..
    } = *counters;
    [
        impressions,
        views,
        timed_views,
        completed_views,
        clicks,
        likes,
        comments,
        shares,
        follows,
        hides,
        purchases,
    ]
}

/// The reverse of [`counts`]: what a column of an item is.
fn counts_mut(counters: &mut Counters) -> [&mut u32; 11] {
    [
        &mut counters.impressions,
        &mut counters.views,
        &mut counters.timed_views,
        &mut counters.completed_views,
        &mut counters.clicks,
        &mut counters.likes,
        &mut counters.comments,
        &mut counters.shares,
        &mut counters.follows,
        &mut counters.hides,
        &mut counters.purchases,
    ]
}

/// Distinct labels in the order of their text.
fn label_table(items: &[OverlayItem]) -> BTreeMap<&str, u64> {
    let mut labels = BTreeMap::new();
    for item in items {
        let places = [&item.region, &item.language];
        let places = places.into_iter().filter_map(|label| label.as_deref());
        for label in places.chain(item.tags.iter().take(TAGS_MAX).map(String::as_str)) {
            labels.insert(label, 0);
        }
    }
    for (index, slot) in (0..).zip(labels.values_mut()) {
        *slot = index;
    }
    labels
}

fn write_items(items: &[OverlayItem], out: &mut Writer) {
    let column =
        |value: &dyn Fn(&OverlayItem) -> u64| items.iter().map(value).collect::<Vec<u64>>();
    let signed =
        |value: &dyn Fn(&OverlayItem) -> i64| items.iter().map(value).collect::<Vec<i64>>();
    let double =
        |value: &dyn Fn(&OverlayItem) -> f64| items.iter().map(value).collect::<Vec<f64>>();
    out.len(items.len());
    out.ids(items.iter().map(|item| item.id.as_str()));
    out.ids(items.iter().map(|item| item.author.as_str()));
    out.signed(&signed(&|item| item.created_at_ms));
    out.ints(&column(&|item| u64::from(item.duration_ms)));
    out.ints(&column(&|item| item.kind as u64));
    out.ints(&column(&|item| u64::from(item.is_new)));
    out.signed(&signed(&|item| item.last_event_ms));

    let labels = label_table(items);
    let index = |label: &str| labels.get(label).copied().unwrap_or(0);
    let optional = |label: &Option<String>| label.as_deref().map_or(0, |label| index(label) + 1);
    out.len(labels.len());
    out.texts(labels.keys().copied());
    out.ints(&column(&|item| optional(&item.region)));
    out.ints(&column(&|item| optional(&item.language)));
    out.ints(&column(&|item| item.tags.len().min(TAGS_MAX) as u64));
    let tags = items
        .iter()
        .flat_map(|item| item.tags.iter().take(TAGS_MAX));
    out.ints(&tags.map(|tag| index(tag)).collect::<Vec<u64>>());

    let all_counts: Vec<[u32; 11]> = items.iter().map(|item| counts(&item.counters)).collect();
    for at in 0..counts(&Counters::default()).len() {
        let column = all_counts.iter().filter_map(|counts| counts.get(at));
        out.ints(&column.map(|&count| u64::from(count)).collect::<Vec<u64>>());
    }
    out.f64s(&double(&|item| item.counters.watch_ratio_sum));
    for window in 0..3 {
        out.f64s(&double(&|item| {
            item.hot.get(window).map_or(0.0, |hot| hot.sum)
        }));
        out.signed(&signed(&|item| {
            item.hot.get(window).map_or(0, |hot| hot.at_ms)
        }));
    }
}

fn read_items(input: &mut Reader<'_>) -> Result<Vec<OverlayItem>, DecodeError> {
    let len = input.len("overlay items", OVERLAY_ITEMS_MAX)?;
    let mut items: Vec<OverlayItem> = Vec::with_capacity(len);
    input.ids("item ids", len, ID_BYTES_MAX, |id| {
        items.push(OverlayItem {
            id: String::from(id),
            ..OverlayItem::default()
        });
    })?;
    let mut slots = items.iter_mut();
    input.ids("author ids", len, ID_BYTES_MAX, |author| {
        if let Some(item) = slots.next() {
            item.author.push_str(author);
        }
    })?;
    let created_at = input.signed("created_at", len)?;
    let durations = input.ints_as::<u32>("durations", len)?;
    let kinds = input.ints_as::<usize>("kinds", len)?;
    let is_new = input.ints("new items", len, 1)?;
    let last_events = input.signed("last events", len)?;
    let facts = created_at
        .into_iter()
        .zip(durations)
        .zip(kinds)
        .zip(is_new)
        .zip(last_events);
    for (item, ((((created_at_ms, duration_ms), kind), is_new), last_event_ms)) in
        items.iter_mut().zip(facts)
    {
        item.created_at_ms = created_at_ms;
        item.duration_ms = duration_ms;
        item.kind = *Kind::ALL
            .get(kind)
            .ok_or(DecodeError::OutOfRange("kinds"))?;
        item.is_new = is_new == 1;
        item.last_event_ms = last_event_ms;
    }
    read_labels(input, &mut items)?;
    read_counters(input, &mut items)?;
    Ok(items)
}

fn read_labels(input: &mut Reader<'_>, items: &mut [OverlayItem]) -> Result<(), DecodeError> {
    let len = input.len("labels", LABELS_MAX)?;
    let mut labels: Vec<String> = Vec::with_capacity(len);
    input.texts("labels", len, LABEL_BYTES_MAX, |label| {
        labels.push(String::from(label))
    })?;
    let label = |index: u64| labels.get(usize::try_from(index).ok()?).cloned();
    let regions = input.ints("regions", items.len(), len as u64)?;
    let languages = input.ints("languages", items.len(), len as u64)?;
    let counts = input.ints("tag counts", items.len(), TAGS_MAX as u64)?;
    let total = counts.iter().sum::<u64>() as usize;
    let mut tags = input.ints("tags", total, u64::MAX)?.into_iter();
    let places = regions.into_iter().zip(languages).zip(counts);
    for (item, ((region, language), count)) in items.iter_mut().zip(places) {
        item.region = region.checked_sub(1).and_then(label);
        item.language = language.checked_sub(1).and_then(label);
        for tag in tags.by_ref().take(count as usize) {
            item.tags
                .push(label(tag).ok_or(DecodeError::OutOfRange("tags"))?);
        }
    }
    Ok(())
}

fn read_counters(input: &mut Reader<'_>, items: &mut [OverlayItem]) -> Result<(), DecodeError> {
    for at in 0..counts(&Counters::default()).len() {
        let column = input.ints_as::<u32>("counters", items.len())?;
        for (item, value) in items.iter_mut().zip(column) {
            if let Some(count) = counts_mut(&mut item.counters).into_iter().nth(at) {
                *count = value;
            }
        }
    }
    let sums = input.f64s("watch ratio sums", items.len())?;
    for (item, sum) in items.iter_mut().zip(sums) {
        item.counters.watch_ratio_sum = sum;
    }
    for window in 0..3 {
        let sums = input.f64s("hot sums", items.len())?;
        let times = input.signed("hot times", items.len())?;
        for (item, (sum, at_ms)) in items.iter_mut().zip(sums.into_iter().zip(times)) {
            if let Some(hot) = item.hot.get_mut(window) {
                *hot = HotSum { sum, at_ms };
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
