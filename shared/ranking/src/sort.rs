//! Sorting where speed does not matter and size does.
//!
//! The sorts of `core` are the fastest and 4 to 8 KB of code for every type and order. This
//! heapsort (Williams 1964) takes about twice their time and 300 bytes; what ranks or decodes
//! hundreds of candidates a request keeps theirs.

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
    }
}
