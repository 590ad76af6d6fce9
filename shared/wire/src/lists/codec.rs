//! The hot list's bytes: magic `EWH1`, columns.

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::{HotSum, HotWindow};

use super::{HotList, HotListItem};
use crate::codec::frame::Format;
use crate::codec::{Reader, Writer};
use crate::decode::DecodeError;
use crate::limits::{
    HOT_LIST_BYTES_MAX, HOT_LIST_ITEMS_MAX, HOT_LIST_RAW_BYTES_MAX, ID_BYTES_MAX, LABEL_BYTES_MAX,
};

const FORMAT: Format = Format {
    magic: "EWH1",
    version: 1,
    bytes_max: HOT_LIST_BYTES_MAX,
    raw_bytes_max: HOT_LIST_RAW_BYTES_MAX,
};

impl HotList {
    /// The list's bytes; at most the 200 first items.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let items = self.items.get(..HOT_LIST_ITEMS_MAX).unwrap_or(&self.items);
        let mut out = Writer::default();
        out.byte(self.window as u8);
        out.optional_text(self.region.as_deref());
        out.optional_text(self.language.as_deref());
        out.optional_text(self.tag.as_deref());
        out.i64(self.generated_at_ms);
        out.len(items.len());
        out.ids(items.iter().map(|item| item.id.as_str()));
        out.ids(items.iter().map(|item| item.author.as_str()));
        out.f64s(&items.iter().map(|item| item.hot.sum).collect::<Vec<_>>());
        out.signed(&items.iter().map(|item| item.hot.at_ms).collect::<Vec<_>>());
        out.signed(
            &items
                .iter()
                .map(|item| item.last_event_ms)
                .collect::<Vec<_>>(),
        );
        FORMAT.seal(0, &out.finish())
    }

    /// Reads what [`HotList::encode`] wrote.
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
        let window = usize::from(input.byte("window")?);
        let window = *HotWindow::ALL
            .get(window)
            .ok_or(DecodeError::OutOfRange("window"))?;
        let region = input.optional_text("region", LABEL_BYTES_MAX)?;
        let language = input.optional_text("language", LABEL_BYTES_MAX)?;
        let tag = input.optional_text("tag", LABEL_BYTES_MAX)?;
        let generated_at_ms = input.i64("generated_at")?;
        let items = read_items(&mut input)?;
        input.end()?;
        Ok(Self {
            window,
            region,
            language,
            tag,
            generated_at_ms,
            items,
        })
    }
}

fn read_items(input: &mut Reader<'_>) -> Result<Vec<HotListItem>, DecodeError> {
    let len = input.len("hot items", HOT_LIST_ITEMS_MAX)?;
    let mut ids = Vec::with_capacity(len);
    input.ids("item ids", len, ID_BYTES_MAX, |id| {
        ids.push(String::from(id))
    })?;
    let mut authors = Vec::with_capacity(len);
    input.ids("author ids", len, ID_BYTES_MAX, |author| {
        authors.push(String::from(author))
    })?;
    let sums = input.f64s("hot sums", len)?;
    let times = input.signed("hot times", len)?;
    let last_events = input.signed("last events", len)?;
    let hots = sums
        .into_iter()
        .zip(times)
        .map(|(sum, at_ms)| HotSum { sum, at_ms });
    let rows = ids.into_iter().zip(authors).zip(hots).zip(last_events);
    Ok(rows
        .map(|(((id, author), hot), last_event_ms)| HotListItem {
            id,
            author,
            hot,
            last_event_ms,
        })
        .collect())
}

#[cfg(test)]
mod tests;
