//! Events of a document: what the readers of JSON and UBJSON have in common.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::ImportError;

/// The next thing in a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event<'a> {
    /// An object begins; keys, each followed by its value, and [`Event::End`] come next.
    Object,
    /// An array begins; values and [`Event::End`] come next.
    Array,
    /// The innermost object or array ends.
    End,
    /// A key of an object.
    Key(Cow<'a, str>),
    /// A text.
    Text(Cow<'a, str>),
    /// A number.
    Number(Number<'a>),
    /// True or false.
    Bool(bool),
    /// Nothing.
    Null,
}

/// A number as it is written: text is rounded once, to the type that is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number<'a> {
    Decimal(&'a str),
    Integer(i64),
    F32(f32),
    F64(f64),
}

impl Number<'_> {
    pub(super) fn f64(self) -> Option<f64> {
        match self {
            Self::Decimal(text) => text.parse().ok(),
            Self::Integer(value) => Some(value as f64),
            Self::F32(value) => Some(f64::from(value)),
            Self::F64(value) => Some(value),
        }
    }

    pub(super) fn f32(self) -> Option<f32> {
        match self {
            Self::Decimal(text) => text.parse().ok(),
            Self::Integer(value) => Some(value as f32),
            Self::F32(value) => Some(value),
            Self::F64(value) => Some(value as f32),
        }
    }

    pub(super) fn integer(self) -> Option<i64> {
        match self {
            Self::Decimal(text) => text.parse().ok(),
            Self::Integer(value) => Some(value),
            Self::F32(_) | Self::F64(_) => None,
        }
    }
}

/// What an event's value was wanted as.
pub(super) trait FromEvent: Sized {
    /// What messages call it.
    const EXPECTED: &'static str;

    /// The value, if the event is one of this kind.
    fn from_event(event: &Event<'_>) -> Option<Self>;
}

impl FromEvent for f64 {
    const EXPECTED: &'static str = "a number";

    fn from_event(event: &Event<'_>) -> Option<Self> {
        match event {
            Event::Number(number) => number.f64(),
            _ => None,
        }
    }
}

impl FromEvent for f32 {
    const EXPECTED: &'static str = "a number";

    fn from_event(event: &Event<'_>) -> Option<Self> {
        match event {
            Event::Number(number) => number.f32(),
            _ => None,
        }
    }
}

impl FromEvent for i64 {
    const EXPECTED: &'static str = "an integer";

    fn from_event(event: &Event<'_>) -> Option<Self> {
        match event {
            Event::Number(number) => number.integer(),
            // XGBoost writes its parameters as texts.
            Event::Text(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl FromEvent for i32 {
    const EXPECTED: &'static str = "an integer of 32 bits";

    fn from_event(event: &Event<'_>) -> Option<Self> {
        i64::from_event(event).and_then(|value| value.try_into().ok())
    }
}

impl FromEvent for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_event(event: &Event<'_>) -> Option<Self> {
        match event {
            Event::Bool(value) => Some(*value),
            // XGBoost 1.6 and later writes 0 and 1.
            _ => match i64::from_event(event) {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            },
        }
    }
}

impl FromEvent for String {
    const EXPECTED: &'static str = "a text";

    fn from_event(event: &Event<'_>) -> Option<Self> {
        match event {
            Event::Text(text) => Some(text.to_string()),
            _ => None,
        }
    }
}

/// A reader of a document; a clone reads on from the same place.
pub(super) trait Events<'a>: Clone {
    /// The next event.
    fn next(&mut self) -> Result<Event<'a>, ImportError>;

    /// Refuses what follows the document.
    fn end(&mut self) -> Result<(), ImportError>;

    /// Passes over a value.
    fn skip(&mut self) -> Result<(), ImportError> {
        let first = self.next()?;
        self.skip_rest(&first)
    }

    /// Passes over the rest of a value that began with `first`.
    fn skip_rest(&mut self, first: &Event<'a>) -> Result<(), ImportError> {
        let mut open = usize::from(matches!(first, Event::Object | Event::Array));
        while open > 0 {
            match self.next()? {
                Event::Object | Event::Array => open += 1,
                Event::End => open -= 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// The next value, as a `T`.
    fn value<T: FromEvent>(&mut self, field: &'static str) -> Result<T, ImportError> {
        let event = self.next()?;
        T::from_event(&event).ok_or_else(|| unexpected(field, &event, T::EXPECTED))
    }

    /// The next value, an array of at most `max` entries, in place of what `into` holds.
    fn values<T: FromEvent>(
        &mut self,
        field: &'static str,
        max: usize,
        into: &mut Vec<T>,
    ) -> Result<(), ImportError> {
        into.clear();
        self.array(field)?;
        loop {
            let event = self.next()?;
            if event == Event::End {
                return Ok(());
            }
            if into.len() == max {
                return Err(ImportError::too_many(field, max + 1, max));
            }
            into.push(T::from_event(&event).ok_or_else(|| unexpected(field, &event, T::EXPECTED))?);
        }
    }

    /// Enters the next value, an array.
    fn array(&mut self, field: &'static str) -> Result<(), ImportError> {
        match self.next()? {
            Event::Array => Ok(()),
            event => Err(unexpected(field, &event, "an array")),
        }
    }

    /// Enters the next value, an object.
    fn object(&mut self, field: &'static str) -> Result<(), ImportError> {
        match self.next()? {
            Event::Object => Ok(()),
            event => Err(unexpected(field, &event, "an object")),
        }
    }

    /// The next key of the object that was entered, or nothing at its end.
    fn key(&mut self) -> Result<Option<Cow<'a, str>>, ImportError> {
        match self.next()? {
            Event::Key(key) => Ok(Some(key)),
            // Readers give nothing but keys and the end between values of an object.
            _ => Ok(None),
        }
    }

    /// Enters the next object of the array that was entered, or says that the array is over.
    fn item(&mut self, field: &'static str) -> Result<bool, ImportError> {
        match self.next()? {
            Event::Object => Ok(true),
            Event::End => Ok(false),
            event => Err(unexpected(field, &event, "an object")),
        }
    }
}

/// An event where a field calls for something else.
pub(super) fn unexpected(
    field: &'static str,
    event: &Event<'_>,
    expected: &'static str,
) -> ImportError {
    let found: &str = match event {
        Event::Object => "an object",
        Event::Array => "an array",
        Event::End => "nothing",
        Event::Key(text) | Event::Text(text) => text,
        Event::Number(Number::Decimal(text)) => text,
        Event::Number(_) => "a number",
        Event::Bool(true) => "true",
        Event::Bool(false) => "false",
        Event::Null => "null",
    };
    ImportError::value(field, found, expected)
}
