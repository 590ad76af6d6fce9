//! The stored model files predict what LightGBM 4.7 and XGBoost 3.2 predicted for them.

use edgewise_ranking::trees::Library;
use edgewise_wire::import::import;

use crate::evaluate::{lightgbm_sum, xgboost_sum};

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
    for file in files {
        let ensemble = import(file, &names).unwrap().ensemble;
        for (at, row) in ROWS.iter().enumerate() {
            match ensemble.library {
                Library::LightGbm => assert_eq!(lightgbm_sum(&ensemble, row), LIGHTGBM[at]),
                Library::XgBoost => assert_eq!(xgboost_sum(&ensemble, row), XGBOOST[at]),
            }
        }
    }
}
