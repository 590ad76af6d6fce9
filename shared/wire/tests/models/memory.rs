//! Reading a file takes memory in proportion to its size, whatever it declares.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use edgewise_wire::import::import;

/// Most bytes held for each byte of a file.
const BYTES_A_BYTE: usize = 8;
/// Most bytes held beside that: sets of categories, of which a few bytes name a large one.
const BYTES_BESIDE: usize = 4 << 20;

/// The system's allocator, counting what the thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

fn grow(bytes: usize) {
    let held = HELD.get() + bytes;
    HELD.set(held);
    MOST.set(MOST.get().max(held));
}

#[allow(
    unsafe_code,
    reason = "an allocator is unsafe to implement; this one forwards"
)]
// SAFETY: everything is left to the system's allocator; counting touches cells only, which a
// thread's allocation cannot be in the middle of.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // Another thread may have allocated it.
        HELD.set(HELD.get().saturating_sub(layout.size()));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes held at once while `bytes` are read.
fn most_held(bytes: &[u8]) -> usize {
    let before = HELD.get();
    MOST.set(before);
    let _ = import(bytes, &|_| Some(0));
    MOST.get() - before
}

#[track_caller]
fn check(what: &str, bytes: &[u8]) {
    let (held, allowed) = (most_held(bytes), BYTES_A_BYTE * bytes.len() + BYTES_BESIDE);
    assert!(
        held <= allowed,
        "{what}: {held} bytes for {} are more than {allowed}",
        bytes.len()
    );
}

#[test]
fn memory_is_in_proportion_to_the_file() {
    let billion = 1_000_000_000_i64.to_be_bytes();
    let ubj = include_bytes!("../../golden/models/xgboost.ubj");
    let at = |what: &[u8]| {
        ubj.windows(what.len())
            .position(|window| window == what)
            .unwrap()
    };
    for list in [
        "left_children[$l#L",
        "categories[$l#L",
        "trees[#L",
        "feature_names[#L",
    ] {
        let mut file = ubj.to_vec();
        let count = at(list.as_bytes()) + list.len();
        file[count..count + 8].copy_from_slice(&billion);
        check(list, &file);
    }
    let text = include_str!("../../golden/models/lightgbm.txt");
    check(
        "leaves",
        text.replace("num_leaves=4", "num_leaves=1000000000")
            .as_bytes(),
    );
    check(
        "sets",
        text.replace("boundaries=0 1", "boundaries=0 4000000000")
            .as_bytes(),
    );
    let dump = include_str!("../../golden/models/lightgbm.json");
    check("category", dump.replace("1||4", "1||2097000").as_bytes());

    // And what is long itself.
    let long = 2_000_000;
    check("spaces", &vec![b' '; long]);
    check(
        "names",
        format!("{{\"feature_names\":[{}\"\"]", "\"\",".repeat(long)).as_bytes(),
    );
    check(
        "objects",
        format!("{{\"tree_info\":[{}", "{\"a\":0},".repeat(long)).as_bytes(),
    );
    check("nested", format!("{{\"a\":{}", "[".repeat(long)).as_bytes());
    let json = include_str!("../../golden/models/xgboost.json");
    for list in [
        "left_children\":[",
        "split_conditions\":[",
        "categories\":[",
        "trees\":[",
    ] {
        check(
            list,
            json.replace(list, &format!("{list}{}", "0,".repeat(long)))
                .as_bytes(),
        );
    }
    let tree = json.find("{\"base_weights").unwrap()..json.find(",{\"base_weights\":[1").unwrap();
    let mut many = String::new();
    for id in 0..3_000 {
        many += &json[tree.clone()].replace("\"id\":0", &format!("\"id\":{id}"));
        many += ",";
    }
    check(
        "trees",
        json.replacen("\"trees\":[", &format!("\"trees\":[{many}"), 1)
            .as_bytes(),
    );
    for leaves in ["0 ", "1e9 "] {
        let line = format!("leaf_value={}", leaves.repeat(long));
        check("leaf values", text.replace("leaf_value=", &line).as_bytes());
    }
}
