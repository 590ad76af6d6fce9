//! JSON as events, without recursion.
//!
//! `serde_json` would recurse once a level, and LightGBM nests a tree as deep as it is; and it
//! takes no `NaN`, which XGBoost up to 2.1 writes for the threshold of a categorical split and
//! Python for any NaN.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::trees::LEAVES_MAX;

use super::ImportError;
use super::event::{Event, Events, Number};

/// Most objects and arrays within each other: a chain of as many leaves as a tree may have, and
/// what is around it.
const DEPTH_MAX: usize = LEAVES_MAX + 16;

/// Reads JSON; also `NaN`, `Infinity` and `-Infinity`, as Python and XGBoost write them.
#[derive(Clone)]
pub(super) struct Json<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether each of what is open is an object.
    open: Vec<bool>,
    expect: Expect,
}

#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Value,
    /// A first value or the end of an array.
    FirstValue,
    /// A first key or the end of an object.
    FirstKey,
    /// A comma or the end of what is open.
    More,
    /// The document is over.
    Nothing,
}

impl<'a> Json<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            open: Vec::new(),
            expect: Expect::Value,
        }
    }

    fn wrong<T>(&self, what: &'static str) -> Result<T, ImportError> {
        Err(ImportError::Syntax { what, at: self.at })
    }

    /// The next byte that is no white space, left in place.
    fn peek(&mut self) -> Result<u8, ImportError> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Ok(byte);
            }
            self.at += 1;
        }
        self.wrong("the JSON ends early")
    }

    fn value_over(&mut self) {
        self.expect = if self.open.is_empty() {
            Expect::Nothing
        } else {
            Expect::More
        };
    }

    fn enter(&mut self, object: bool) -> Result<Event<'a>, ImportError> {
        if self.open.len() == DEPTH_MAX {
            return self.wrong("JSON nested too deep");
        }
        self.at += 1;
        self.open.push(object);
        if object {
            self.expect = Expect::FirstKey;
            Ok(Event::Object)
        } else {
            self.expect = Expect::FirstValue;
            Ok(Event::Array)
        }
    }

    fn leave(&mut self) -> Event<'a> {
        self.at += 1;
        self.open.pop();
        self.value_over();
        Event::End
    }

    fn begin_value(&mut self) -> Result<Event<'a>, ImportError> {
        let event = match self.peek()? {
            b'{' => return self.enter(true),
            b'[' => return self.enter(false),
            b'"' => Event::Text(self.text()?),
            b't' => self.word("true", Event::Bool(true))?,
            b'f' => self.word("false", Event::Bool(false))?,
            b'n' => self.word("null", Event::Null)?,
            b'N' => self.word("NaN", Event::Number(Number::F64(f64::NAN)))?,
            b'I' => self.word("Infinity", Event::Number(Number::F64(f64::INFINITY)))?,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => return self.wrong("no JSON value"),
        };
        self.value_over();
        Ok(event)
    }

    fn key(&mut self) -> Result<Event<'a>, ImportError> {
        if self.peek()? != b'"' {
            return self.wrong("no key of a JSON object");
        }
        let key = self.text()?;
        if self.peek()? != b':' {
            return self.wrong("no colon after a JSON key");
        }
        self.at += 1;
        self.expect = Expect::Value;
        Ok(Event::Key(key))
    }

    fn word(&mut self, word: &str, event: Event<'a>) -> Result<Event<'a>, ImportError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return self.wrong("no JSON value");
        }
        self.at += word.len();
        Ok(event)
    }

    fn number(&mut self) -> Result<Event<'a>, ImportError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.starts_with(b"-I") {
            return self.word("-Infinity", Event::Number(Number::F64(f64::NEG_INFINITY)));
        }
        let len = rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
            .unwrap_or(rest.len());
        let text = rest.get(..len).and_then(|text| str::from_utf8(text).ok());
        match text {
            Some(text) if text.parse::<f64>().is_ok() => {
                self.at += len;
                Ok(Event::Number(Number::Decimal(text)))
            }
            _ => self.wrong("no JSON number"),
        }
    }

    fn text(&mut self) -> Result<Cow<'a, str>, ImportError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut escaped = false;
        let mut len = 1;
        loop {
            match rest.get(len) {
                None => return self.wrong("the JSON ends early"),
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    len += 2;
                }
                Some(_) => len += 1,
            }
        }
        let quoted = rest.get(..=len).unwrap_or_default();
        let text = if escaped {
            serde_json::from_slice::<String>(quoted)
                .ok()
                .map(Cow::Owned)
        } else {
            let inner = quoted.get(1..len).unwrap_or_default();
            str::from_utf8(inner).ok().map(Cow::Borrowed)
        };
        match text {
            Some(text) => {
                self.at += len + 1;
                Ok(text)
            }
            None => self.wrong("no JSON text"),
        }
    }
}

impl<'a> Events<'a> for Json<'a> {
    fn next(&mut self) -> Result<Event<'a>, ImportError> {
        let object = self.open.last() == Some(&true);
        match (self.expect, self.peek()?) {
            (Expect::Nothing, _) => self.wrong("more after the JSON"),
            (Expect::Value, _) => self.begin_value(),
            (Expect::FirstKey | Expect::More, b'}') if object => Ok(self.leave()),
            (Expect::FirstKey, _) => self.key(),
            (Expect::FirstValue | Expect::More, b']') if !object => Ok(self.leave()),
            (Expect::FirstValue, _) => self.begin_value(),
            (Expect::More, b',') => {
                self.at += 1;
                if object {
                    self.key()
                } else {
                    self.begin_value()
                }
            }
            (Expect::More, _) => self.wrong("no comma between JSON values"),
        }
    }

    fn end(&mut self) -> Result<(), ImportError> {
        match self.peek() {
            Err(_) => Ok(()),
            Ok(_) => self.wrong("more after the JSON"),
        }
    }
}
