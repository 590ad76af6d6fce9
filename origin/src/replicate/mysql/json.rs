//! MySQL's binary JSON as text (`sql-common/json_binary.h` in its source tells the format).
//! MariaDB stores JSON as text and never comes here.

use super::decode::write_decimal;
use super::wire::{Cursor, Malformed};
use std::fmt::Write as _;

/// MySQL allows 100 levels of nesting.
const MAX_DEPTH: usize = 100;

/// The most text that one document becomes: entries may share bytes in a corrupt one.
const MAX_TEXT_BYTES: usize = 64 << 20;

const BROKEN: Malformed = Malformed("JSON");

/// Writes a document as JSON text.
pub(super) fn write(document: &[u8], text: &mut String) -> Result<(), Malformed> {
    match document.split_first() {
        // What MySQL stores for NULL in a column that became NOT NULL.
        None => text.push_str("null"),
        Some((kind, body)) => value(*kind, body, 0, text)?,
    }
    Ok(())
}

fn value(kind: u8, body: &[u8], depth: usize, text: &mut String) -> Result<(), Malformed> {
    if depth > MAX_DEPTH || text.len() > MAX_TEXT_BYTES {
        return Err(BROKEN);
    }
    let mut cursor = Cursor::new(body, BROKEN.0);
    // Writing to a String cannot fail.
    let _ = match kind {
        0..=3 => return container(kind < 2, kind % 2 == 1, body, depth, text),
        4 => match cursor.u8()? {
            0 => write!(text, "null"),
            1 => write!(text, "true"),
            2 => write!(text, "false"),
            _ => return Err(BROKEN),
        },
        5 => write!(text, "{}", i16::from_le_bytes(cursor.array()?)),
        6 => write!(text, "{}", u16::from_le_bytes(cursor.array()?)),
        7 => write!(text, "{}", i32::from_le_bytes(cursor.array()?)),
        8 => write!(text, "{}", u32::from_le_bytes(cursor.array()?)),
        9 => write!(text, "{}", i64::from_le_bytes(cursor.array()?)),
        10 => write!(text, "{}", u64::from_le_bytes(cursor.array()?)),
        11 => {
            let number = f64::from_le_bytes(cursor.array()?);
            if number.is_finite() {
                write!(text, "{number:?}")
            } else {
                write!(text, "null")
            }
        }
        12 => {
            let len = varied_len(&mut cursor)?;
            quoted(&String::from_utf8_lossy(cursor.take(len)?), text);
            Ok(())
        }
        15 => return opaque(&mut cursor, text),
        _ => return Err(BROKEN),
    };
    Ok(())
}

fn container(
    object: bool,
    large: bool,
    body: &[u8],
    depth: usize,
    text: &mut String,
) -> Result<(), Malformed> {
    let width = if large { 4 } else { 2 };
    let mut head = Cursor::new(body, BROKEN.0);
    let count = head.little(width)? as usize;
    head.take(width)?;
    let key_bytes = if object {
        count.checked_mul(width + 2).ok_or(BROKEN)?
    } else {
        0
    };
    let mut keys = Cursor::new(head.take(key_bytes)?, BROKEN.0);
    text.push(if object { '{' } else { '[' });
    for index in 0..count {
        if index > 0 {
            text.push(',');
        }
        if object {
            let (at, len) = (keys.little(width)? as usize, keys.little(2)? as usize);
            let end = at.checked_add(len).ok_or(BROKEN)?;
            quoted(
                &String::from_utf8_lossy(body.get(at..end).ok_or(BROKEN)?),
                text,
            );
            text.push(':');
        }
        let kind = head.u8()?;
        let inline = head.take(width)?;
        if matches!(kind, 4..=6) || (large && matches!(kind, 7 | 8)) {
            value(kind, inline, depth + 1, text)?;
        } else {
            let at = Cursor::new(inline, BROKEN.0).little(width)? as usize;
            value(kind, body.get(at..).ok_or(BROKEN)?, depth + 1, text)?;
        }
    }
    text.push(if object { '}' } else { ']' });
    Ok(())
}

/// A length of seven bits a byte.
fn varied_len(cursor: &mut Cursor<'_>) -> Result<usize, Malformed> {
    let mut len = 0_usize;
    for shift in [0, 7, 14, 21, 28] {
        let byte = cursor.u8()?;
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(len);
        }
    }
    Err(BROKEN)
}

/// A value of an SQL type inside JSON: decimals are numbers, everything else is null here, since
/// no field is read from it.
fn opaque(cursor: &mut Cursor<'_>, text: &mut String) -> Result<(), Malformed> {
    const NEW_DECIMAL: u8 = 246;
    let kind = cursor.u8()?;
    let len = varied_len(cursor)?;
    let mut data = Cursor::new(cursor.take(len)?, BROKEN.0);
    if kind == NEW_DECIMAL {
        let (precision, scale) = (usize::from(data.u8()?), usize::from(data.u8()?));
        write_decimal(&mut data, precision, scale, text)
    } else {
        text.push_str("null");
        Ok(())
    }
}

fn quoted(plain: &str, text: &mut String) {
    text.push('"');
    for char in plain.chars() {
        // Writing to a String cannot fail.
        let _ = match char {
            '"' => write!(text, "\\\""),
            '\\' => write!(text, "\\\\"),
            '\u{0}'..='\u{1f}' => write!(text, "\\u{:04x}", char as u32),
            _ => write!(text, "{char}"),
        };
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text_of(document: &[u8]) -> String {
        let mut text = String::new();
        write(document, &mut text).unwrap();
        text
    }

    #[test]
    fn documents_become_text() {
        assert_eq!(text_of(&[]), "null");
        assert_eq!(text_of(&[5, 0xff, 0xff]), "-1");
        assert_eq!(text_of(b"\x0c\x03a\"b"), r#""a\"b""#);
        // ["a", 7, true]
        let array = [2, 3, 0, 15, 0, 12, 13, 0, 5, 7, 0, 4, 1, 0, 1, b'a'];
        assert_eq!(text_of(&array), r#"["a",7,true]"#);
        // {"k": 1.5}
        let mut object = vec![0, 1, 0, 20, 0, 11, 0, 1, 0, 11, 12, 0, b'k'];
        object.extend(1.5_f64.to_le_bytes());
        assert_eq!(text_of(&object), r#"{"k":1.5}"#);
    }

    #[test]
    fn a_document_that_contains_itself_ends() {
        // An array whose only element is at offset 0: the array.
        let mut text = String::new();
        assert_eq!(write(&[2, 1, 0, 7, 0, 2, 0, 0], &mut text), Err(BROKEN));
    }

    proptest! {
        #[test]
        fn noise_never_panics(document in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut text = String::new();
            let _ = write(&document, &mut text);
        }
    }
}
