//! What is read and what is refused.

mod limits;
mod refused;

use std::string::String;
use std::vec::Vec;

use edgewise_ranking::trees::{Link, Test};

use super::{Format, ImportError, Imported, import};

const TEXT: &str = include_str!("../../../golden/models/lightgbm.txt");
const DUMP: &str = include_str!("../../../golden/models/lightgbm.json");
const FOREST: &str = include_str!("../../../golden/models/lightgbm-rf.txt");
const XGB: &str = include_str!("../../../golden/models/xgboost.json");
const UBJ: &[u8] = include_bytes!("../../../golden/models/xgboost.ubj");

fn names(name: &str) -> Option<u16> {
    ["age", "watch", "kind"]
        .iter()
        .position(|known| *known == name)
        .map(|at| at as u16)
}

fn read(bytes: &[u8]) -> Result<Imported, ImportError> {
    import(bytes, &names)
}

/// A sample with every `from` made `to` is taken.
#[track_caller]
fn taken(sample: &str, from: &str, to: &str) -> Imported {
    assert!(sample.contains(from), "the sample has no {from}");
    read(sample.replace(from, to).as_bytes()).unwrap()
}

#[test]
fn every_format_is_told_by_its_content() {
    let samples: [(&[u8], Format); 5] = [
        (TEXT.as_bytes(), Format::LightGbmText),
        (FOREST.as_bytes(), Format::LightGbmText),
        (DUMP.as_bytes(), Format::LightGbmJson),
        (XGB.as_bytes(), Format::XgBoostJson),
        (UBJ, Format::XgBoostUbJson),
    ];
    for (bytes, format) in samples {
        let imported = read(bytes).unwrap();
        assert_eq!(imported.format, format);
        let index = |name: &String| names(name).unwrap();
        let named: Vec<u16> = imported.features.iter().map(index).collect();
        assert_eq!(imported.ensemble.features, named);
    }
    assert_eq!(
        read(TEXT.replace('\n', "\r\n").as_bytes()),
        read(TEXT.as_bytes())
    );
    for other in [
        "",
        "{",
        "[]",
        "{}",
        "{\"a\": 1}",
        "tree",
        "binf",
        "\u{feff}{}",
    ] {
        let refused = read(other.as_bytes()).unwrap_err();
        assert!(
            matches!(
                refused,
                ImportError::UnknownFormat | ImportError::Syntax { .. }
            ),
            "{other}: {refused}"
        );
    }
}

#[test]
fn formats_of_a_library_say_the_same() {
    let (json, ubj) = (read(XGB.as_bytes()).unwrap(), read(UBJ).unwrap());
    assert_eq!(json.ensemble, ubj.ensemble);
    // The dump numbers its nodes otherwise.
    let (text, dump) = (
        read(TEXT.as_bytes()).unwrap(),
        read(DUMP.as_bytes()).unwrap(),
    );
    let leaves = |imported: &Imported| {
        let mut leaves: Vec<f64> = Vec::new();
        for tree in &imported.ensemble.trees {
            leaves.extend(&tree.leaves);
        }
        leaves.sort_by(f64::total_cmp);
        leaves
    };
    assert_eq!(leaves(&text), leaves(&dump));
    assert_eq!(text.objective, dump.objective);
    assert_eq!(text.ensemble.link, Link::Logistic { scale: 1.0 });
}

#[test]
fn files_that_are_cut_are_refused_at_every_byte() {
    for sample in [
        TEXT.as_bytes(),
        FOREST.as_bytes(),
        DUMP.as_bytes(),
        XGB.as_bytes(),
        UBJ,
    ] {
        for len in 0..sample.len() {
            assert!(read(&sample[..len]).is_err(), "cut at {len}");
        }
    }
}

#[test]
fn flipped_bits_give_an_error_or_an_ensemble_that_holds() {
    for sample in [
        TEXT.as_bytes(),
        FOREST.as_bytes(),
        DUMP.as_bytes(),
        XGB.as_bytes(),
        UBJ,
    ] {
        for at in 0..sample.len() {
            for bit in 0..8 {
                let mut flipped = sample.to_vec();
                flipped[at] ^= 1 << bit;
                if let Ok(imported) = read(&flipped) {
                    assert_eq!(imported.ensemble.check(), Ok(()), "bit {bit} of {at}");
                }
            }
        }
    }
}

#[test]
fn what_older_versions_write_is_taken() {
    assert_eq!(
        taken(TEXT, "version=v4", "version=v3"),
        read(TEXT.as_bytes()).unwrap()
    );
    let now = read(XGB.as_bytes()).unwrap();
    assert_eq!(taken(XGB, "[5E-1]", "5E-1"), now);
    assert_eq!(taken(XGB, "1E-45", "NaN"), now);
    let words = (
        "\"default_left\":[0,0,1,0,0,0,0]",
        "\"default_left\":[false,false,true,false,false,false,false]",
    );
    assert_eq!(taken(XGB, words.0, words.1), now);
    let custom = taken(TEXT, "objective=binary sigmoid:1\n", "");
    assert_eq!(
        (custom.objective.as_str(), custom.ensemble.link),
        ("custom", Link::Identity)
    );
}

#[test]
fn thresholds_keep_their_decision() {
    let threshold = |text: &str| {
        // Nothing is missing: NaN counts as 0.
        let plain = TEXT.replace("decision_type=8 9", "decision_type=0 9");
        let imported = taken(&plain, "-1.0000000180025095e-35", text);
        match imported.ensemble.trees[0].nodes[0].test {
            Test::AtMost {
                threshold,
                nan_left,
                ..
            } => (threshold, nan_left),
            Test::OneOf { .. } => panic!("a numerical split"),
        }
    };
    assert_eq!(threshold("0.1"), (0.1_f32.next_down(), true));
    assert_eq!(threshold("-0.1"), ((-0.1_f32), false));
    assert_eq!(threshold("1e39"), (f32::MAX, true));
    assert_eq!(threshold("-1e39"), (f32::NEG_INFINITY, false));
    // All but NaN, in the text and in the dump.
    assert_eq!(threshold("inf").0, f32::INFINITY);
    assert_eq!(threshold("1e+300").0, f32::INFINITY);
    // What LightGBM reads as 0 is below a threshold of 0 and above one under 0.
    assert_eq!(threshold("0"), (1e-35, true));
    assert_eq!(threshold("-1e-36"), ((-1e-35_f32).next_down(), false));
}
