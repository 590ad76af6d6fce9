//! Whatever is done with packed entries, they are what a map would hold.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::store::reaction::Reaction;
use crate::store::{RedbStore, Store, keys, read};

/// How hashes are made of small numbers.
#[derive(Clone, Copy, Debug)]
enum Hashes {
    /// As those of ids are.
    Spread,
    /// All alike in this many of their first bits, as somebody who chooses ids can make them.
    Alike(u32),
}

impl Hashes {
    fn of(self, number: u16) -> u64 {
        let number = u64::from(number);
        match self {
            Self::Spread => number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29),
            Self::Alike(bits) => (u64::MAX << (64 - bits)) | number << (48 - bits) | number,
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8, u16, u16),
    Set(u8, u16, u64),
    Remove(u8, u16, u16),
    Merge(u8, u16, u16),
    Flush,
    Commit,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2_u8, 0..600_u16, 0..300_u16).prop_map(|(p, from, n)| Step::Add(p, from, n)),
        2 => (0..2_u8, 0..900_u16, any::<u64>()).prop_map(|(p, at, to)| Step::Set(p, at, to)),
        3 => (0..2_u8, 0..900_u16, 0..400_u16).prop_map(|(p, from, n)| Step::Remove(p, from, n)),
        3 => (0..2_u8, 0..900_u16, 0..400_u16).prop_map(|(p, from, n)| Step::Merge(p, from, n)),
        3 => (0..2_u8, 0..900_u16, 1..4_u16).prop_map(|(p, from, n)| Step::Merge(p, from, n)),
        1 => (0..2_u8, 0..900_u16, 1..4_u16).prop_map(|(p, from, n)| Step::Add(p, from, n)),
        1 => Just(Step::Flush),
        3 => Just(Step::Commit),
        1 => Just(Step::Restart),
    ]
}

type Model = BTreeMap<([u8; 8], u64), u64>;

fn run(
    packed: &mut Packed<8, u64>,
    tx: &mut dyn Transaction,
    model: &mut Model,
    hashes: Hashes,
    step: &Step,
) -> Result<(), StoreError> {
    let prefix = |number: u8| keys::number(u64::from(number));
    match *step {
        Step::Add(at, from, count) => {
            for number in from..from + count {
                let (at, hash) = (prefix(at), hashes.of(number));
                let value = packed.entry(&*tx, at, hash)?;
                *value = value.saturating_add(1);
                let value = model.entry((at, hash)).or_default();
                *value = value.saturating_add(1);
            }
        }
        Step::Set(at, number, to) => {
            let (at, hash) = (prefix(at), hashes.of(number));
            let known = packed.get_mut(&*tx, at, hash)?;
            assert_eq!(known.as_deref(), model.get(&(at, hash)));
            *packed.entry_or(&*tx, at, hash, 9)? = to;
            model.insert((at, hash), to);
        }
        Step::Remove(at, from, count) => {
            for number in from..from + count {
                let (at, hash) = (prefix(at), hashes.of(number));
                let removed = packed.remove(&*tx, at, hash)?;
                assert_eq!(removed, model.remove(&(at, hash)));
            }
        }
        Step::Merge(at, from, count) => {
            for number in from..from + count {
                let (at, hash) = (prefix(at), hashes.of(number));
                packed.merge(at, hash, 3);
                let value = model.entry((at, hash)).or_default();
                *value = value.saturating_add(3);
            }
        }
        Step::Flush => packed.flush(tx)?,
        Step::Commit | Step::Restart => {}
    }
    Ok(())
}

fn stored(store: &RedbStore) -> Model {
    let mut found = Model::new();
    let snapshot = store.read().unwrap();
    let all = Range::all();
    let mut last = None;
    read::entries::<u64>(
        &*snapshot,
        Table::Affinity,
        &all,
        &mut |prefix, hash, value| {
            let at = (prefix.try_into().unwrap(), hash);
            assert!(last < Some(at), "entries ascend");
            last = Some(at);
            found.insert(at, value);
            Ok(())
        },
    )
    .unwrap();
    found
}

fn blocks(store: &RedbStore) -> usize {
    let mut blocks = 0;
    let count = &mut |_: &[u8], _: &[u8]| {
        blocks += 1;
        Ok(ControlFlow::Continue(()))
    };
    let snapshot = store.read().unwrap();
    snapshot
        .scan(Table::Affinity, &Range::all(), count)
        .unwrap();
    blocks
}

fn check(kept_bytes_max: usize, hashes: Hashes, steps: &[Step]) {
    let store = RedbStore::in_memory().unwrap();
    let mut packed = Packed::new(Table::Affinity, kept_bytes_max);
    let mut model = Model::new();
    let mut rest = steps;
    while !rest.is_empty() {
        let is_end = |step: &Step| matches!(step, Step::Commit | Step::Restart);
        let end = rest.iter().position(is_end).map_or(rest.len(), |at| at + 1);
        let (now, later) = rest.split_at(end);
        store
            .write(&mut |tx| {
                for step in now {
                    run(&mut packed, tx, &mut model, hashes, step)?;
                }
                packed.flush(tx)
            })
            .unwrap();
        assert_eq!(stored(&store), model);
        assert!(packed.kept.bytes() <= kept_bytes_max);
        if let Some(Step::Restart) = now.last() {
            packed = Packed::new(Table::Affinity, kept_bytes_max);
        }
        rest = later;
    }
    // A deleted user's entries go with all that starts with the number.
    store
        .write(&mut |tx| {
            for (prefix, hash) in model.keys() {
                packed.remove(&*tx, *prefix, *hash)?;
            }
            packed.flush(tx)
        })
        .unwrap();
    assert_eq!(stored(&store), Model::new());
    assert!(blocks(&store) <= 2, "what is empty goes, but for the first");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn entries_are_what_a_map_holds(
        kept_bytes_max in prop::sample::select(vec![0, 4_000, 1 << 20]),
        hashes in prop::sample::select(vec![
            Hashes::Spread,
            Hashes::Alike(3),
            Hashes::Alike(20),
            Hashes::Alike(31),
            Hashes::Alike(32),
        ]),
        steps in prop::collection::vec(step(), 1..24),
    ) {
        check(kept_bytes_max, hashes, &steps);
    }
}

/// Stores `count` entries and returns how many blocks that makes.
fn blocks_of(hashes: Hashes, count: u16) -> usize {
    let store = RedbStore::in_memory().unwrap();
    let mut packed = Packed::<8, u64>::new(Table::Affinity, 0);
    store
        .write(&mut |tx| {
            for number in 0..count {
                packed.entry(&*tx, keys::number(1), hashes.of(number))?;
            }
            packed.flush(tx)
        })
        .unwrap();
    assert_eq!(stored(&store).len(), usize::from(count));
    blocks(&store)
}

#[test]
fn blocks_are_as_many_as_it_takes() {
    // An entry here takes 9 bytes.
    let full = (BLOCK_BYTES_MAX / 9) as u16;
    assert_eq!(blocks_of(Hashes::Spread, full - 1), 1);
    assert_eq!(blocks_of(Hashes::Spread, full + 2), 2);
    let blocks = blocks_of(Hashes::Spread, full * 30);
    assert!((32..=128).contains(&blocks), "{blocks}");
    // Hashes that agree in all the bits there are stay together, with the empty first.
    assert_eq!(blocks_of(Hashes::Alike(32), 2_000), 2);
}

#[test]
fn a_block_that_is_damaged_is_an_error() {
    let key = BlockKey::new(&keys::number(1), 0);
    let whole = [&[1, 0][..], &[5; 8], &[7], &[6; 8], &[7]].concat();
    for (block, reason) in [
        (whole.get(..7).unwrap(), "too short"),
        (&[2, 0], "unknown version"),
        (&[1, 33], "a block of too many bits"),
        (&[&whole[..11], &whole[2..11]].concat(), "out of order"),
        (&[&[1, 1][..], &[0xff; 8], &[7]].concat(), "another's block"),
    ] {
        let store = RedbStore::in_memory().unwrap();
        store
            .write(&mut |tx| tx.put(Table::Affinity, key.bytes(), block))
            .unwrap();
        let snapshot = store.read().unwrap();
        let mut visit = |_: &[u8], _, _: u64| Ok(());
        let read = read::entries(&*snapshot, Table::Affinity, &Range::all(), &mut visit);
        let said = read.unwrap_err().to_string();
        assert!(said.contains(reason), "{said}");
    }
}

/// Damaged blocks are read and written without a panic, whatever is in them.
fn survive<const PREFIX: usize, V: Packable>(table: Table, prefix: [u8; PREFIX], block: &[u8]) {
    let store = RedbStore::in_memory().unwrap();
    store
        .write(&mut |tx| tx.put(table, BlockKey::new(&prefix, 0).bytes(), block))
        .unwrap();
    let mut visit = |_: &[u8], _, _: V| Ok(());
    let _ = read::entries(&*store.read().unwrap(), table, &Range::all(), &mut visit);
    let mut packed = Packed::<PREFIX, V>::new(table, 0);
    let _ = store.write(&mut |tx| {
        for hash in [0, 0x0101_0101_0101_0101, u64::MAX] {
            packed.remove(&*tx, prefix, hash)?;
        }
        packed.flush(tx)
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn noise_never_panics(
        bits in 0..34_u8,
        noise in prop::collection::vec(prop_oneof![Just(1_u8), any::<u8>()], 0..60),
        large in prop::bool::weighted(0.1),
    ) {
        let noise = if large { noise.repeat(40) } else { noise };
        let block = [&[1, bits], noise.as_slice()].concat();
        survive::<12, i64>(Table::Seen, keys::number_slot(1, 2), &block);
        survive::<12, u64>(Table::Affinity, keys::number_slot(1, 2), &block);
        survive::<8, Reaction>(Table::Reactions, keys::number(1), &block);
        survive::<8, Reaction>(Table::Reactions, keys::number(1), &noise);
    }
}
