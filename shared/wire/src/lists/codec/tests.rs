use edgewise_ranking::{HotSum, HotWindow};
use proptest::prelude::*;

use crate::lists::{HotList, HotListItem};
use crate::samples;

#[test]
fn a_changed_or_cut_list_is_refused() {
    let bytes = samples::hot_list().encode();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(HotList::decode(&flipped).is_err(), "byte {at}");
        assert!(HotList::decode(&bytes[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_list_keeps_its_two_hundred_hottest() {
    let mut list = samples::hot_list();
    list.items = (0..300).map(|at| list.items[at % 2].clone()).collect();
    assert_eq!(
        HotList::decode(&list.encode()).unwrap().items,
        list.items[..200]
    );
}

prop_compose! {
    fn any_list()(
        window in 0_usize..3,
        region in prop::option::of("\\PC{1,8}"),
        tag in prop::option::of("\\PC{1,8}"),
        generated_at_ms in any::<i64>(),
        rows in prop::collection::vec(("\\PC{1,12}", "[0-9]{1,4}", any::<(f64, i64, i64)>()), 0..20),
    ) -> HotList {
        let item = |(id, author, (sum, at_ms, last_event_ms))| HotListItem {
            id,
            author,
            hot: HotSum { sum, at_ms },
            last_event_ms,
        };
        HotList {
            window: HotWindow::ALL[window],
            region,
            language: None,
            tag,
            generated_at_ms,
            items: rows.into_iter().map(item).collect(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_list_comes_back(list in any_list()) {
        prop_assert_eq!(HotList::decode(&list.encode()), Ok(list));
    }

    #[test]
    fn any_bytes_decode_without_a_panic(
        list in any_list(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut payload = super::FORMAT.open(0, &list.encode()).unwrap().bytes().to_vec();
        for (at, byte) in changes {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        let _ = (HotList::from_payload(&payload), HotList::from_payload(&bytes));
        let _ = HotList::decode(&bytes);
    }
}
