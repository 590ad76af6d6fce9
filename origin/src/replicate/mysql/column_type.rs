//! Column types as statements and the catalogue write them, and whether a column keeps every
//! value where its type changes: rows that are there already get no event of theirs.

use super::catalog::ColumnInfo;
use super::words::{Escapes, Reader, Word, Words};

/// A column's type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ColumnType {
    /// As the catalogue names it: `int`, `varchar`, `decimal`, …
    name: String,
    /// Length, digits or labels.
    arguments: Vec<String>,
    is_unsigned: bool,
    has_zerofill: bool,
    charset: Option<String>,
    is_not_null: bool,
}

/// `BLOB` and `TEXT` types by how much they hold, in bytes.
const LARGE: [(&str, u64); 4] = [
    ("tiny", 0xff),
    ("", 0xffff),
    ("medium", 0xff_ffff),
    ("long", 0xffff_ffff),
];

/// Bytes of a character at most.
const CHARACTER_BYTES: u64 = 4;

impl ColumnType {
    /// Reads a column's definition after its name; `None` where its values are computed, or it
    /// is not understood.
    pub(super) fn read(words: &[Word]) -> Option<Self> {
        let mut reader = Reader::new(words);
        let mut name = reader.name()?.to_ascii_lowercase();
        if name == "double" {
            reader.eat(&["PRECISION"]);
        }
        if name.starts_with("char") && reader.eat(&["VARYING"]) {
            "varchar".clone_into(&mut name);
        }
        let mut column = Self {
            name: catalogues(&name).to_owned(),
            ..Self::default()
        };
        if reader.is_at(&["("]) {
            let arguments = reader.arguments()?;
            let one = |words: &[Word]| match words {
                [word] => Some(word.text.clone()),
                _ => None,
            };
            column.arguments = arguments.into_iter().map(one).collect::<Option<_>>()?;
        }
        while let Some(word) = reader.word() {
            if word.is("UNSIGNED") {
                column.is_unsigned = true;
            } else if word.is("ZEROFILL") {
                (column.is_unsigned, column.has_zerofill) = (true, true);
            } else if word.is("NOT") && reader.eat(&["NULL"]) {
                column.is_not_null = true;
            } else if word.is("AS") || word.is("GENERATED") {
                return None;
            } else if word.is("CHARSET") || word.is("CHARACTER") && reader.eat(&["SET"]) {
                reader.eat(&["="]);
                column.charset = Some(reader.word()?.text.to_ascii_lowercase());
            }
        }
        Some(column)
    }

    /// The type of a column of the catalogue.
    pub(super) fn of(info: &ColumnInfo) -> Option<Self> {
        let words: Vec<Word> = Words::of(&info.column_type, Escapes::Doubled).collect();
        let column = Self::read(&words)?;
        Some(Self {
            charset: info.charset.clone(),
            is_not_null: !info.nullable,
            ..column
        })
    }

    /// Whether every value of a column stays as it is where its type becomes this one. Without
    /// strict mode a server makes something of values that no longer fit.
    pub(super) fn keeps(&self, old: &ColumnInfo, is_strict: bool) -> bool {
        let Some(was) = Self::of(old) else {
            return false;
        };
        let is_nullable = was.is_not_null || !self.is_not_null || is_strict;
        let is_charset_kept = match (&was.charset, &self.charset) {
            (Some(was), Some(now)) => was == now || matches!(now.as_str(), "utf8mb4"),
            _ => true,
        };
        is_nullable && is_charset_kept && self.holds(&was)
    }

    fn holds(&self, was: &Self) -> bool {
        if let (Some(old), Some(new)) = (integer_bytes(&was.name), integer_bytes(&self.name)) {
            let is_sign_kept = was.is_unsigned == self.is_unsigned && new >= old;
            let is_wider = was.is_unsigned && new > old;
            return (is_sign_kept || is_wider) && was.has_zerofill == self.has_zerofill;
        }
        if let (Some(old), Some(new)) = (was.capacity(), self.capacity()) {
            // Trailing blanks of CHAR are not kept, those of the others are.
            let is_blank_kept = self.name != "char" || was.name == "char";
            return is_blank_kept && new >= old && was.is_bytes() == self.is_bytes();
        }
        if self.name != was.name || self.has_zerofill != was.has_zerofill {
            return false;
        }
        let is_sign_kept = was.is_unsigned || !self.is_unsigned;
        match self.name.as_str() {
            "decimal" => {
                let [old, new] = [was, self].map(|of| (of.number(0, 10), of.number(1, 0)));
                is_sign_kept && new.0 >= old.0 && new.1 == old.1
            }
            "datetime" | "timestamp" => self.number(0, 0) >= was.number(0, 0),
            "bit" => self.number(0, 1) >= was.number(0, 1),
            // New labels at the end change no row.
            "enum" | "set" => self.arguments.starts_with(&was.arguments),
            _ => self.arguments == was.arguments && is_sign_kept,
        }
    }

    fn number(&self, index: usize, default: u64) -> u64 {
        self.arguments
            .get(index)
            .map_or(default, |argument| argument.parse().unwrap_or(default))
    }

    fn is_bytes(&self) -> bool {
        self.name.ends_with("blob") || self.name.ends_with("binary")
    }

    /// How many bytes of text or bytes it holds; `None` for other types and for those that fill
    /// up what is short.
    fn capacity(&self) -> Option<u64> {
        match self.name.as_str() {
            "char" => Some(self.number(0, 1) * CHARACTER_BYTES),
            "varchar" => Some(self.number(0, 0) * CHARACTER_BYTES),
            "varbinary" => Some(self.number(0, 0)),
            _ if !self.arguments.is_empty() => None,
            name => LARGE.iter().find_map(|(prefix, bytes)| {
                let kind = name.strip_prefix(prefix)?;
                matches!(kind, "text" | "blob").then_some(*bytes)
            }),
        }
    }
}

fn integer_bytes(name: &str) -> Option<u8> {
    match name {
        "tinyint" => Some(1),
        "smallint" => Some(2),
        "mediumint" => Some(3),
        "int" => Some(4),
        "bigint" => Some(8),
        _ => None,
    }
}

/// The catalogue's name of a type.
fn catalogues(name: &str) -> &str {
    match name {
        "integer" | "int4" => "int",
        "int1" | "bool" | "boolean" => "tinyint",
        "int2" => "smallint",
        "int3" | "middleint" => "mediumint",
        "int8" => "bigint",
        "dec" | "numeric" | "fixed" => "decimal",
        "character" => "char",
        "real" => "double",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(was: &str, now: &str, keeps: bool) {
        let old = ColumnInfo {
            column_type: was.to_owned(),
            charset: was.contains("char").then(|| "latin1".to_owned()),
            ..ColumnInfo::gone("x")
        };
        let words: Vec<Word> = Words::of(now, Escapes::Backslash).collect();
        let now = ColumnType::read(&words);
        assert_eq!(
            now.as_ref().is_some_and(|now| now.keeps(&old, false)),
            keeps,
            "{was} to {now:?}"
        );
    }

    #[test]
    fn a_wider_type_keeps_every_value() {
        check("int(11)", "BIGINT", true);
        check(
            "int(11)",
            "INTEGER(4) DEFAULT 3 COMMENT 'as (x)' AFTER y",
            true,
        );
        check("int(10) unsigned", "bigint", true);
        check("varchar(20)", "VARCHAR ( 40 ) NULL", true);
        check("varchar(20)", "longtext character set utf8mb4", true);
        check("varchar(20)", "varchar(20) charset latin1", true);
        check("char(2)", "varchar(2)", true);
        check("mediumtext", "mediumtext COLLATE utf8mb4_bin", true);
        check("decimal(10,2)", "NUMERIC(12, 2)", true);
        check("datetime", "datetime(6)", true);
        check("enum('a','b')", "enum('a','b','c')", true);
        check("double", "DOUBLE PRECISION", true);
        check("date", "date FIRST", true);
    }

    #[test]
    fn any_other_may_change_values() {
        check("bigint(20)", "int", false);
        check("int(11)", "int unsigned", false);
        check("int(10) unsigned", "int", false);
        check("int(10) unsigned", "int zerofill", false);
        check("int(11)", "int NOT NULL", false);
        check("int(11)", "int GENERATED ALWAYS AS (y % 5) STORED", false);
        check("int(11)", "int AS (y % 5) PERSISTENT", false);
        check("int(11)", "varchar(20)", false);
        check("int(11)", "serial", false);
        check("varchar(20)", "varchar(19)", false);
        check("varchar(20)", "varchar(20) character set ascii", false);
        check("varchar(2)", "char(2)", false);
        check("varchar(100)", "tinytext", false);
        check("text", "blob", false);
        check("binary(4)", "binary(8)", false);
        check("decimal(10,2)", "decimal(10,1)", false);
        check("decimal(10,2)", "decimal", false);
        check("datetime(6)", "datetime", false);
        check("float", "double", false);
        check("enum('a','b')", "enum('b','a')", false);
        check("enum('a','b')", "enum('a')", false);
        check("int(11)", "", false);
        check("enum('a')", "enum('a'", false);
    }
}
