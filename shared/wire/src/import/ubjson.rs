//! The part of UBJSON (ubjson.org, draft 12) that XGBoost writes, as events.
//!
//! Objects end with a brace; arrays are counted, and where they are of one type, packed. There
//! is no crate for it that is kept and needs no `std`.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::ImportError;
use super::event::{Event, Events, Number};

/// Most objects and arrays within each other; a model has eight.
const DEPTH_MAX: usize = 32;

/// Reads UBJSON.
#[derive(Clone)]
pub(super) struct UbJson<'a> {
    bytes: &'a [u8],
    at: usize,
    open: Vec<Open>,
    /// An object's next thing is a value, its key has been read.
    after_key: bool,
}

#[derive(Clone, Copy)]
enum Open {
    Object,
    /// Values up to a bracket.
    Array,
    /// So many values more.
    Counted(u64),
    /// So many values more of one type.
    Packed(u8, u64),
}

impl<'a> UbJson<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            open: Vec::new(),
            after_key: false,
        }
    }

    fn wrong<T>(&self, what: &'static str) -> Result<T, ImportError> {
        Err(ImportError::Syntax { what, at: self.at })
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], ImportError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match rest.get(..len) {
            Some(taken) => {
                self.at += len;
                Ok(taken)
            }
            None => self.wrong("the UBJSON ends early"),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("take gives what is asked for"))
    }

    fn byte(&mut self) -> Result<u8, ImportError> {
        self.array().map(|[byte]| byte)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// A number of the type that `marker` names.
    fn number(&mut self, marker: u8) -> Result<Number<'a>, ImportError> {
        Ok(match marker {
            b'i' => Number::Integer(i8::from_be_bytes(self.array()?).into()),
            b'U' => Number::Integer(self.byte()?.into()),
            b'I' => Number::Integer(i16::from_be_bytes(self.array()?).into()),
            b'l' => Number::Integer(i32::from_be_bytes(self.array()?).into()),
            b'L' => Number::Integer(i64::from_be_bytes(self.array()?)),
            b'd' => Number::F32(f32::from_be_bytes(self.array()?)),
            b'D' => Number::F64(f64::from_be_bytes(self.array()?)),
            _ => {
                self.at -= 1;
                return self.wrong("no UBJSON type that XGBoost writes");
            }
        })
    }

    /// A length or a count, with its type before it.
    fn len(&mut self) -> Result<u64, ImportError> {
        let marker = self.byte()?;
        match self.number(marker)? {
            Number::Integer(len) if len >= 0 => Ok(len.unsigned_abs()),
            _ => self.wrong("no UBJSON length"),
        }
    }

    fn text(&mut self) -> Result<Cow<'a, str>, ImportError> {
        let len = usize::try_from(self.len()?).unwrap_or(usize::MAX);
        match str::from_utf8(self.take(len)?) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(_) => self.wrong("a UBJSON text that is not UTF-8"),
        }
    }

    fn enter(&mut self, open: Open) -> Result<(), ImportError> {
        if self.open.len() == DEPTH_MAX {
            return self.wrong("UBJSON nested too deep");
        }
        self.open.push(open);
        Ok(())
    }

    /// What an array says before its values.
    fn header(&mut self) -> Result<Open, ImportError> {
        match self.peek() {
            Some(b'$') => {
                self.at += 1;
                let marker = self.byte()?;
                // Every value takes bytes of the file: a count alone must not keep a reader busy.
                if !matches!(marker, b'i' | b'U' | b'I' | b'l' | b'L' | b'd' | b'D') {
                    return self.wrong("a packed UBJSON array of no number");
                }
                if self.byte()? != b'#' {
                    return self.wrong("a packed UBJSON array without a count");
                }
                Ok(Open::Packed(marker, self.len()?))
            }
            Some(b'#') => {
                self.at += 1;
                Ok(Open::Counted(self.len()?))
            }
            _ => Ok(Open::Array),
        }
    }

    fn begin_value(&mut self) -> Result<Event<'a>, ImportError> {
        Ok(match self.byte()? {
            b'{' => {
                if matches!(self.peek(), Some(b'$' | b'#')) {
                    return self.wrong("a counted UBJSON object");
                }
                self.enter(Open::Object)?;
                Event::Object
            }
            b'[' => {
                let open = self.header()?;
                self.enter(open)?;
                Event::Array
            }
            b'S' => Event::Text(self.text()?),
            b'T' => Event::Bool(true),
            b'F' => Event::Bool(false),
            b'Z' => Event::Null,
            marker => Event::Number(self.number(marker)?),
        })
    }

    fn leave(&mut self) -> Event<'a> {
        self.open.pop();
        Event::End
    }
}

impl<'a> Events<'a> for UbJson<'a> {
    fn next(&mut self) -> Result<Event<'a>, ImportError> {
        if core::mem::take(&mut self.after_key) {
            return self.begin_value();
        }
        match self.open.last_mut() {
            None if self.at == 0 => self.begin_value(),
            None => self.wrong("more after the UBJSON"),
            Some(Open::Object) => {
                if self.peek() == Some(b'}') {
                    self.at += 1;
                    return Ok(self.leave());
                }
                let key = self.text()?;
                self.after_key = true;
                Ok(Event::Key(key))
            }
            Some(Open::Array) => {
                if self.peek() == Some(b']') {
                    self.at += 1;
                    return Ok(self.leave());
                }
                self.begin_value()
            }
            Some(Open::Counted(0) | Open::Packed(_, 0)) => Ok(self.leave()),
            Some(Open::Counted(left)) => {
                *left -= 1;
                self.begin_value()
            }
            Some(Open::Packed(marker, left)) => {
                *left -= 1;
                let marker = *marker;
                Ok(Event::Number(self.number(marker)?))
            }
        }
    }

    fn end(&mut self) -> Result<(), ImportError> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            self.wrong("more after the UBJSON")
        }
    }
}
