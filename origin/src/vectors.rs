//! Vectors of users and items from a file: the `deep` term, and the sketches that travel.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use edgewise_ranking::vectors::{dots_f32, quantise};
use edgewise_ranking::{SKETCH_DIMS, UserVector, id_hash};
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

/// Most dimensions of a vector.
const DIMENSIONS_MAX: usize = 1_024;
/// Most vectors of a file.
const VECTORS_MAX: usize = 10_000_000;
/// Items that the sketches' basis is found from.
const SAMPLE_MAX: usize = 20_000;
/// Steps of the subspace iteration: directions of clearly different weight are told apart.
const ITERATIONS: usize = 12;
/// Longest line, bytes: the most dimensions with every digit, and room.
const LINE_MAX: u64 = 64 << 10;

/// Vectors by XXH3-64 of the id.
#[derive(Debug, Default)]
pub struct Vectors {
    dimensions: usize,
    items: Table,
    users: Table,
    /// A step of a sketch's bytes, the same for all items.
    sketch_scale: f32,
    sketches: Vec<[i8; SKETCH_DIMS]>,
    /// What vectors are projected on, at most [`SKETCH_DIMS`] directions.
    basis: Vec<Vec<f64>>,
}

/// Rows of vectors, one after the other.
#[derive(Debug, Default)]
struct Table {
    rows: HashMap<u64, usize>,
    values: Vec<f32>,
}

impl Table {
    fn get(&self, id: u64, dimensions: usize) -> Option<&[f32]> {
        let start = self.rows.get(&id)? * dimensions;
        self.values.get(start..start + dimensions)
    }

    /// Adds a vector, or replaces the one of the same id.
    fn put(&mut self, id: u64, vector: &[f32]) {
        let dimensions = vector.len();
        match self.rows.get(&id) {
            Some(row) => self.values[row * dimensions..][..dimensions].copy_from_slice(vector),
            None => {
                self.rows.insert(id, self.rows.len());
                self.values.extend_from_slice(vector);
            }
        }
    }
}

/// A line of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    item: Option<String>,
    user: Option<String>,
    vector: Vec<f32>,
}

impl Vectors {
    /// Reads JSON lines `{"item": ID, "vector": [...]}` and `{"user": ID, "vector": [...]}`, all
    /// of one length.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or a line (named by its number) is no such vector.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let file = std::fs::File::open(path)
            .with_context(|| format!("cannot open the vectors `{name}`; check the path"))?;
        let mut vectors = Self::default();
        let mut reader = std::io::BufReader::new(file);
        let mut line = String::new();
        for number in 1.. {
            line.clear();
            let mut bounded = std::io::Read::take(&mut reader, LINE_MAX);
            if bounded.read_line(&mut line)? == 0 {
                break;
            }
            ensure!(
                line.ends_with('\n') || (line.len() as u64) < LINE_MAX,
                "line {number} of the vectors `{name}` is over {LINE_MAX} bytes"
            );
            if !line.trim().is_empty() {
                vectors
                    .add(&line)
                    .with_context(|| format!("line {number} of the vectors `{name}`"))?;
            }
        }
        vectors.sketch();
        Ok(vectors)
    }

    fn add(&mut self, line: &str) -> anyhow::Result<()> {
        let line: Line = serde_json::from_str(line)?;
        let length = line.vector.len();
        ensure!(
            (1..=DIMENSIONS_MAX).contains(&length),
            "a vector has 1 to {DIMENSIONS_MAX} dimensions, not {length}"
        );
        ensure!(
            line.vector.iter().all(|value| value.is_finite()),
            "a vector has a number that is too large"
        );
        let count = self.items.rows.len() + self.users.rows.len();
        if count == 0 {
            self.dimensions = length;
        }
        ensure!(
            length == self.dimensions,
            "this vector has {length} dimensions, those before it {}",
            self.dimensions
        );
        ensure!(
            count < VECTORS_MAX,
            "there are more than {VECTORS_MAX} vectors"
        );
        match (line.item, line.user) {
            (Some(item), None) => self.items.put(id_hash(&item), &line.vector),
            (None, Some(user)) => self.users.put(id_hash(&user), &line.vector),
            _ => bail!("a vector is of one \"item\" or of one \"user\""),
        }
        Ok(())
    }

    /// Makes the sketches of all items, in steps of one size.
    fn sketch(&mut self) {
        if self.items.values.is_empty() {
            return;
        }
        self.basis = basis(&self.items.values, self.dimensions);
        let items = self.items.values.chunks_exact(self.dimensions);
        let projected: Vec<[f32; SKETCH_DIMS]> = items.map(|item| self.project(item)).collect();
        let largest = projected.as_flattened().iter();
        let largest = largest.fold(0.0, |largest: f32, value| largest.max(value.abs()));
        if largest > 0.0 && largest.is_finite() {
            self.sketch_scale = largest / 127.0;
            let byte = |value: f32| (value / self.sketch_scale).round() as i8;
            self.sketches = projected.iter().map(|vector| vector.map(byte)).collect();
        }
    }

    fn project(&self, vector: &[f32]) -> [f32; SKETCH_DIMS] {
        let share = |direction: &Vec<f64>| product(direction, vector) as f32;
        std::array::from_fn(|at| self.basis.get(at).map_or(0.0, share))
    }

    /// Number of vectors of items and of users.
    #[must_use]
    pub fn counts(&self) -> [usize; 2] {
        [self.items.rows.len(), self.users.rows.len()]
    }

    /// Dot product of a user's and an item's vector; `None` where either is missing.
    #[must_use]
    pub fn dot(&self, user: u64, item: u64) -> Option<f32> {
        let user = self.users.get(user, self.dimensions)?;
        let item = self.items.get(item, self.dimensions)?;
        let mut dots = Vec::with_capacity(1);
        dots_f32(user, item, &mut dots);
        dots.first().copied().filter(|dot| dot.is_finite())
    }

    /// A step of the items' sketches.
    #[must_use]
    pub fn sketch_scale(&self) -> f32 {
        self.sketch_scale
    }

    /// The item's sketch; all 0 where it has none.
    #[must_use]
    pub fn item_sketch(&self, item: u64) -> [i8; SKETCH_DIMS] {
        let row = self.items.rows.get(&item);
        row.and_then(|&row| self.sketches.get(row).copied())
            .unwrap_or_default()
    }

    /// The user's vector in the space of the sketches.
    #[must_use]
    pub fn user_sketch(&self, user: u64) -> Option<UserVector> {
        let vector = self.project(self.users.get(user, self.dimensions)?);
        let (scale, bytes) = quantise(&vector);
        let values = bytes.try_into().ok()?;
        Some(UserVector { scale, values })
    }
}

/// An orthonormal basis of the directions in which items differ most, row by row: dot products
/// of what is projected on it are the best that so few dimensions can give (principal
/// components about 0; subspace iteration, Golub and Van Loan, Matrix Computations, 8.2.4).
/// Vectors that are short enough stay as they are.
fn basis(items: &[f32], dimensions: usize) -> Vec<Vec<f64>> {
    let unit = |at: usize| {
        (0..dimensions)
            .map(|to| f64::from(u8::from(to == at)))
            .collect()
    };
    if dimensions <= SKETCH_DIMS {
        return (0..dimensions).map(unit).collect();
    }
    // Evenly spread items say enough of where all lie.
    let rows = items.len() / dimensions;
    let step = rows.div_ceil(SAMPLE_MAX).max(1);
    let sample: Vec<&[f32]> = items.chunks_exact(dimensions).step_by(step).collect();
    // Any start that is the same in every process and not orthogonal to what is looked for.
    let start = |seed: usize| {
        let draw = |at: usize| xxh3_64(&[seed as u8, at as u8, (at >> 8) as u8]);
        (0..dimensions)
            .map(|at| draw(at) as f64 / u64::MAX as f64 - 0.5)
            .collect()
    };
    let mut basis: Vec<Vec<f64>> = (0..SKETCH_DIMS).map(start).collect();
    orthonormalise(&mut basis);
    for _ in 0..ITERATIONS {
        let mut next = vec![vec![0.0; dimensions]; SKETCH_DIMS];
        for item in &sample {
            for (direction, sum) in basis.iter().zip(&mut next) {
                let share = product(direction, item);
                for (sum, &value) in sum.iter_mut().zip(*item) {
                    *sum += share * f64::from(value);
                }
            }
        }
        basis = next;
        orthonormalise(&mut basis);
    }
    basis
}

/// Gram-Schmidt; a direction that nothing is left of becomes 0.
fn orthonormalise(basis: &mut [Vec<f64>]) {
    for at in 0..basis.len() {
        let (before, rest) = basis.split_at_mut(at);
        let Some(direction) = rest.first_mut() else {
            return;
        };
        let whole = norm(direction);
        for other in before {
            let share: f64 = other.iter().zip(&*direction).map(|(a, b)| a * b).sum();
            for (value, other) in direction.iter_mut().zip(other) {
                *value -= share * *other;
            }
        }
        let left = norm(direction);
        let scale = if left > 1e-9 * whole { 1.0 / left } else { 0.0 };
        for value in direction {
            *value *= scale;
        }
    }
}

fn norm(vector: &[f64]) -> f64 {
    vector.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn product(direction: &[f64], vector: &[f32]) -> f64 {
    let terms = direction.iter().zip(vector);
    terms.map(|(a, &b)| a * f64::from(b)).sum()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn load(text: &str) -> anyhow::Result<Vectors> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(text.as_bytes())?;
        Vectors::load(file.path())
    }

    #[test]
    fn dots_and_sketches_of_what_is_known() {
        let vectors = load(
            r#"{"item": "a", "vector": [1, 2, 0.5]}
            {"user": "u", "vector": [2, -1, 4]}

            {"item": "b", "vector": [-4, 0, 1]}
            {"item": "a", "vector": [1, 2, 1.5]}"#,
        )
        .expect("vectors");
        assert_eq!(vectors.counts(), [2, 1]);
        let [a, b, u] = ["a", "b", "u"].map(id_hash);
        assert_eq!(vectors.dot(u, a), Some(6.0), "the last line counts");
        assert_eq!(vectors.dot(u, b), Some(-4.0));
        assert_eq!(vectors.dot(u, u), None);
        assert_eq!(vectors.item_sketch(b), [-127, 0, 32, 0, 0, 0, 0, 0]);
        assert_eq!(vectors.item_sketch(u), [0; SKETCH_DIMS]);
        let user = vectors.user_sketch(u).expect("known");
        let sketched: i32 = (0..SKETCH_DIMS)
            .map(|at| i32::from(user.values[at]) * i32::from(vectors.item_sketch(b)[at]))
            .sum();
        let dot = sketched as f32 * user.scale * vectors.sketch_scale();
        assert!((dot + 4.0).abs() < 0.1, "{dot}");
    }

    #[test]
    fn sketches_keep_most_of_the_dot_products() {
        // Six latent dimensions seen through 64, and some noise.
        let mut state = 1_u64;
        let mut noise = || {
            state = xxh3_64(&state.to_le_bytes());
            state as f64 / u64::MAX as f64 - 0.5
        };
        let views: Vec<Vec<f64>> = (0..6).map(|_| (0..64).map(|_| noise()).collect()).collect();
        let mut line = |kind: &str, id: usize| {
            let latent: Vec<f64> = (0..6).map(|_| noise()).collect();
            let value = |at: usize| {
                latent
                    .iter()
                    .zip(&views)
                    .map(|(a, view)| a * view[at])
                    .sum()
            };
            let vector: Vec<f64> = (0..64)
                .map(value)
                .map(|value: f64| value + 0.05 * noise())
                .collect();
            format!("{{\"{kind}\": \"{id}\", \"vector\": {vector:?}}}\n")
        };
        let lines: Vec<String> = (0..300).map(|id| line("item", id)).collect();
        let vectors = load(&(lines.concat() + &line("user", 3))).expect("vectors");
        let user_id = id_hash("3");
        let user = vectors.user_sketch(user_id).expect("known");
        let (mut missed, mut whole) = (0.0_f64, 0.0_f64);
        for id in 0..300 {
            let item = id_hash(&id.to_string());
            let exact = f64::from(vectors.dot(user_id, item).expect("known"));
            let bytes = vectors.item_sketch(item);
            let pairs = bytes.iter().zip(user.values);
            let sum: i32 = pairs.map(|(a, b)| i32::from(*a) * i32::from(b)).sum();
            let sketched = f64::from(sum) * f64::from(user.scale * vectors.sketch_scale());
            missed += (exact - sketched).powi(2);
            whole += exact * exact;
        }
        assert!(
            missed / whole < 0.01,
            "{} of the variance is lost",
            missed / whole
        );
    }

    #[test]
    fn bad_lines_are_named() {
        let cases = [
            ("{\"item\": \"a\", \"vector\": [1]}\n{", "line 2"),
            (
                "{\"item\": \"a\", \"vector\": []}",
                "1 to 1024 dimensions, not 0",
            ),
            ("{\"item\": \"a\", \"vector\": [1e99]}", "line 1"),
            ("{\"vector\": [1]}", "of one \"item\" or of one \"user\""),
            (
                "{\"item\": \"a\", \"vector\": [1]}\n{\"user\": \"a\", \"vector\": [1, 2]}",
                "this vector has 2 dimensions, those before it 1",
            ),
        ];
        for (text, why) in cases {
            let error = format!("{:#}", load(text).expect_err(text));
            assert!(error.contains(why), "{error}");
        }
    }
}
