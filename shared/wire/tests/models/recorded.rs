//! The stored model files predict what LightGBM 4.7 and XGBoost 3.2 predicted for them.

use edgewise_ranking::Matrix;
use edgewise_ranking::trees::{Forest, Library};
use edgewise_wire::import::import;

/// Age, watch, kind.
const ROWS: [[f32; 3]; 4] = [
    [0.5, 1.0, 1.0],
    [-0.5, f32::NAN, 4.0],
    [f32::NAN, -1.0, 2.0],
    [0.0, 0.0, -1.0],
];
const LIGHTGBM: [f64; 4] = [
    0.143_013_139_157_240_73,
    0.066_112_680_425_028_99,
    0.353_662_177_568_527_8,
    0.143_013_139_157_240_73,
];
const XGBOOST: [f32; 4] = [-0.098_701_19, -0.233_592_03, 0.725_381_1, 0.566_408_04];

#[test]
fn stored_models_predict_what_their_libraries_did() {
    let files: [&[u8]; 4] = [
        include_bytes!("../../golden/models/lightgbm.txt"),
        include_bytes!("../../golden/models/lightgbm.json"),
        include_bytes!("../../golden/models/xgboost.json"),
        include_bytes!("../../golden/models/xgboost.ubj"),
    ];
    let names = |name: &str| {
        let at = ["age", "watch", "kind"]
            .iter()
            .position(|known| *known == name)?;
        u16::try_from(at).ok()
    };
    let mut matrix = Matrix::new(ROWS.len(), &[0, 1, 2]);
    for (at, row) in ROWS.iter().enumerate() {
        for (feature, &value) in (0..).zip(row) {
            matrix.column_mut(feature)[at] = value;
        }
    }
    for file in files {
        let forest = Forest::new(import(file, &names).unwrap().ensemble).unwrap();
        let mut sums = Vec::new();
        forest.sums(&matrix, &mut sums);
        match forest.ensemble().library {
            Library::LightGbm => assert_eq!(sums, LIGHTGBM),
            Library::XgBoost => assert_eq!(sums, XGBOOST.map(f64::from)),
        }
    }
}
