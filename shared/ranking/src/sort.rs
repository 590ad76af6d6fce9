//! Sorting in little code: edge.wasm is compiled where an isolate starts.
//!
//! The sorts of `core` are the fastest and 4 to 8 KB of code for every type and order. For short
//! lists there is a heapsort (Williams 1964), which takes about twice their time and 300 bytes;
//! for hundreds of candidates a request a quicksort (Hoare 1961) that stops where the first
//! few are in place.

/// Sorts ascending, in place. Equal items come in any order, always the same one.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, |a, b| a < b);
}

/// Sorts in place by a strict order, as [`sort`].
pub fn sort_by<T>(items: &mut [T], is_less: impl Fn(&T, &T) -> bool) {
    for root in (0..items.len() / 2).rev() {
        sift_down(items, root, &is_less);
    }
    for end in (1..items.len()).rev() {
        items.swap(0, end);
        sift_down(&mut items[..end], 0, &is_less);
    }
}

/// Lets the item at `root` sink until it is not less than both below it.
fn sift_down<T>(heap: &mut [T], mut root: usize, is_less: &impl Fn(&T, &T) -> bool) {
    loop {
        let mut child = 2 * root + 1;
        let Some(mut largest) = heap.get(child) else {
            return;
        };
        if let Some(right) = heap.get(child + 1).filter(|right| is_less(largest, right)) {
            (largest, child) = (right, child + 1);
        }
        if !is_less(&heap[root], largest) {
            return;
        }
        heap.swap(root, child);
        root = child;
    }
}

/// Sorts by a strict order as far as the `first` items, which come from all of them; behind
/// those the rest stands in any order. Equal items come in any order, always the same one.
pub fn sort_first<T: Copy>(items: &mut [T], first: usize, is_less: impl Fn(&T, &T) -> bool) {
    let rounds = 2 * items.len().max(1).ilog2();
    quicksort(items, first, rounds, &is_less);
}

/// Longest list that is sorted by insertion.
const INSERTION_MAX: usize = 16;

/// Pivots that divide badly `rounds` times are left to the heapsort.
fn quicksort<T: Copy>(
    mut items: &mut [T],
    mut first: usize,
    mut rounds: u32,
    is_less: &impl Fn(&T, &T) -> bool,
) {
    while first > 0 && items.len() > INSERTION_MAX {
        if rounds == 0 {
            return sort_by(items, is_less);
        }
        rounds -= 1;
        let middle = partition(items, is_less);
        let (before, after) = items.split_at_mut(middle);
        quicksort(before, first, rounds, is_less);
        first = first.saturating_sub(middle + 1);
        items = after.get_mut(1..).unwrap_or_default();
    }
    if first > 0 {
        insert_each(items, is_less);
    }
}

/// Puts what is less than a pivot before it, and says where it is. Not for an empty list.
fn partition<T: Copy>(items: &mut [T], is_less: &impl Fn(&T, &T) -> bool) -> usize {
    let quarter = items.len() / 4;
    let [low, mid, high] = [quarter, 2 * quarter, 3 * quarter].map(|at| (items[at], at));
    let (low, mid) = if is_less(&mid.0, &low.0) {
        (mid, low)
    } else {
        (low, mid)
    };
    let mid = if is_less(&high.0, &mid.0) { high } else { mid };
    let (pivot, at) = if is_less(&mid.0, &low.0) { low } else { mid };
    items.swap(0, at);
    // Swapping every item costs less than a branch that cannot be predicted (Lomuto).
    let mut end = 0;
    for at in 1..items.len() {
        let less = is_less(&items[at], &pivot);
        items.swap(at, end + 1);
        end += usize::from(less);
    }
    items.swap(0, end);
    end
}

fn insert_each<T: Copy>(items: &mut [T], is_less: &impl Fn(&T, &T) -> bool) {
    for end in 1..items.len() {
        let item = items[end];
        let mut at = end;
        while at > 0 && is_less(&item, &items[at - 1]) {
            items[at] = items[at - 1];
            at -= 1;
        }
        items[at] = item;
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_sorts_as_core_does(mut items in prop::collection::vec(0_u8..50, 0..200)) {
            let mut expected: Vec<u8> = items.clone();
            expected.sort_unstable();
            sort(&mut items);
            prop_assert_eq!(&items, &expected);
            sort_by(&mut items, |a, b| a > b);
            expected.reverse();
            prop_assert_eq!(items, expected);
        }

        #[test]
        fn the_first_are_those_of_a_full_sort(
            mut items in prop::collection::vec(0_u32..400, 0..400),
            shape in 0..4,
            first in 0_usize..450,
        ) {
            match shape {
                0 => items.sort_unstable(),
                1 => items.sort_unstable_by(|a, b| b.cmp(a)),
                2 => items.fill(7),
                _ => {}
            }
            let mut expected = items.clone();
            expected.sort_unstable();
            let first = first.min(items.len());
            sort_first(&mut items, first, |a, b| a < b);
            prop_assert_eq!(&items[..first], &expected[..first]);
            items.sort_unstable();
            prop_assert_eq!(items, expected);
        }
    }
}
