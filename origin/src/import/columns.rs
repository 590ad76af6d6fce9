//! Number columns of a Parquet file, read in batches of rows: memory is bounded whatever the file.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};

use super::{ImportError, source};

/// Rows held at a time.
const BATCH_ROWS: usize = 4_096;

/// What is called for each row: its 0-based ordinal and a value a column.
pub(super) type Visit<'a> = dyn FnMut(u64, &[Option<i64>]) -> Result<(), ImportError> + 'a;

/// A Parquet file of which some columns are read, all as whole numbers.
pub(super) struct Table {
    file: SerializedFileReader<File>,
    path: PathBuf,
    /// Position in the file and deepest definition level, a column.
    columns: Vec<(usize, i16)>,
    rows: u64,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("path", &self.path)
            .field("rows", &self.rows)
            .finish()
    }
}

impl Table {
    /// Opens a file and finds the columns.
    pub(super) fn open(
        path: &Path,
        needed: &'static str,
        columns: &[&'static str],
    ) -> Result<Self, ImportError> {
        let file = SerializedFileReader::new(source::open(path, needed)?).map_err(broken(path))?;
        let metadata = file.metadata().file_metadata();
        let schema = metadata.schema_descr();
        let found = |column: &&'static str| {
            let mut all = schema.columns().iter().enumerate();
            let Some((index, descriptor)) = all.find(|(_, of)| of.path().string() == *column)
            else {
                let found = schema
                    .columns()
                    .iter()
                    .map(|of| of.path().string())
                    .collect();
                return Err(ImportError::MissingColumn {
                    path: path.to_owned(),
                    column,
                    found,
                });
            };
            let number = matches!(
                descriptor.physical_type(),
                Type::BOOLEAN | Type::INT32 | Type::INT64 | Type::FLOAT | Type::DOUBLE
            );
            if !number || descriptor.max_rep_level() > 0 {
                let found = format!("{:?}", descriptor.physical_type());
                let column = (*column).to_owned();
                return Err(ImportError::WrongColumn {
                    path: path.to_owned(),
                    column,
                    found,
                });
            }
            Ok((index, descriptor.max_def_level()))
        };
        let columns = columns.iter().map(found).collect::<Result<_, _>>()?;
        let rows = u64::try_from(metadata.num_rows()).unwrap_or(0);
        Ok(Self {
            path: path.to_owned(),
            columns,
            rows,
            file,
        })
    }

    /// Rows in the file, as its footer says.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Calls `visit` for each row with its 0-based ordinal and a value a column, in the order of
    /// [`Table::open`]; a value is None where it is null or no whole number.
    pub(super) fn for_each(&self, visit: &mut Visit<'_>) -> Result<(), ImportError> {
        let mut ordinal = 0;
        let mut row = Vec::with_capacity(self.columns.len());
        for group in 0..self.file.num_row_groups() {
            let group = self.file.get_row_group(group).map_err(broken(&self.path))?;
            let mut left = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
            let mut readers = Vec::with_capacity(self.columns.len());
            for (index, _) in &self.columns {
                readers.push(
                    group
                        .get_column_reader(*index)
                        .map_err(broken(&self.path))?,
                );
            }
            while left > 0 {
                let count = left.min(BATCH_ROWS);
                left -= count;
                let mut batch = Vec::with_capacity(readers.len());
                for (reader, (_, def_level)) in readers.iter_mut().zip(&self.columns) {
                    batch.push(read(reader, count, *def_level).map_err(broken(&self.path))?);
                }
                for at in 0..count {
                    row.clear();
                    row.extend(batch.iter().map(|column| column.get(at).copied().flatten()));
                    visit(ordinal, &row)?;
                    ordinal += 1;
                }
            }
        }
        Ok(())
    }
}

fn broken(path: &Path) -> impl Fn(ParquetError) -> ImportError + '_ {
    move |source| ImportError::Parquet {
        path: path.to_owned(),
        source,
    }
}

type Values = Result<Vec<Option<i64>>, ParquetError>;

fn read(reader: &mut ColumnReader, count: usize, def_level: i16) -> Values {
    match reader {
        ColumnReader::BoolColumnReader(reader) => {
            typed(reader, count, def_level, |value| Some(i64::from(*value)))
        }
        ColumnReader::Int32ColumnReader(reader) => {
            typed(reader, count, def_level, |value| Some(i64::from(*value)))
        }
        ColumnReader::Int64ColumnReader(reader) => {
            typed(reader, count, def_level, |value| Some(*value))
        }
        ColumnReader::FloatColumnReader(reader) => {
            typed(reader, count, def_level, |value| whole(f64::from(*value)))
        }
        ColumnReader::DoubleColumnReader(reader) => {
            typed(reader, count, def_level, |value| whole(*value))
        }
        _ => Err(ParquetError::General("not a column of numbers".to_owned())),
    }
}

fn typed<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    count: usize,
    def_level: i16,
    number: impl Fn(&T::T) -> Option<i64>,
) -> Values {
    let (mut values, mut levels) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut done = 0;
    while done < count {
        let levels = (def_level > 0).then_some(&mut levels);
        let (records, ..) = reader.read_records(count - done, levels, None, &mut values)?;
        if records == 0 {
            return Err(ParquetError::General(
                "a column is shorter than its rows".to_owned(),
            ));
        }
        done += records;
    }
    if def_level == 0 {
        return Ok(values.iter().map(number).collect());
    }
    let mut values = values.iter();
    let value = |level: &i16| (*level == def_level).then(|| values.next()).flatten();
    Ok(levels
        .iter()
        .map(value)
        .map(|value| value.and_then(&number))
        .collect())
}

/// A double that holds a whole number exactly.
pub(super) fn whole(value: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (value.abs() <= EXACT && value.trunc() == value).then_some(value as i64)
}
