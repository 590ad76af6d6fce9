//! Names of features, looked up in the document only for those that splits read.

use alloc::string::{String, ToString};

use super::ImportError;
use super::event::{Event, Events, unexpected};

/// Where a document lists the names of features; those that splits read are looked up there.
pub(super) struct NamesAt<R> {
    reader: R,
    next: u32,
    /// There is a name at all.
    pub(super) any: bool,
}

impl<'a, R: Events<'a>> NamesAt<R> {
    /// Passes over the next value, an array, and remembers where it was.
    pub(super) fn pass(events: &mut R) -> Result<Self, ImportError> {
        events.array("feature_names")?;
        let reader = events.clone();
        let first = events.next()?;
        if first != Event::End {
            events.skip_rest(&first)?;
            // The rest of the array, as if its beginning came now.
            events.skip_rest(&Event::Array)?;
        }
        Ok(Self {
            reader,
            next: 0,
            any: first != Event::End,
        })
    }

    /// The name of feature `index`, if there are so many; indices rise from call to call.
    pub(super) fn get(&mut self, index: u32) -> Result<Option<String>, ImportError> {
        loop {
            match self.reader.next()? {
                Event::Text(name) => {
                    self.next += 1;
                    if self.next > index {
                        return Ok(Some(name.to_string()));
                    }
                }
                Event::End => return Ok(None),
                event => return Err(unexpected("feature_names", &event, "a name")),
            }
        }
    }
}
