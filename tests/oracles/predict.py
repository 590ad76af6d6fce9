"""Trains small models of LightGBM and XGBoost and writes what they predict.

    predict.py FOLDER LIBRARY FIRST LAST

For each seed from FIRST up to LAST it writes to FOLDER the model in every format of the library
(SEED.txt, SEED.dump.json, SEED.json, SEED.ubj), the rows (SEED.rows: little-endian f32, row by
row) and the raw predictions for them (SEED.expected: f64 of LightGBM, f32 of XGBoost), and lists
them in FOLDER/models.tsv. Rows hold what hurts: NaN, infinities, zeros of both signs, subnormal
numbers, the thresholds of the model and their neighbours, unseen, negative and fractional
categories.
"""

import json
import pathlib
import sys

import numpy as np

ROWS = 1000
F32 = np.finfo(np.float32)
SPECIAL = np.array(
    [np.nan, np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-35, -1e-35, 9e-36, -9e-36, 1.1e-35, 1e-40,
     -1e-40, F32.tiny, F32.smallest_subnormal, F32.max, F32.min, 1e30, -1e30, 1.0, -1.0],
    dtype=np.float32,
)
CATEGORIES = np.array(
    [np.nan, np.inf, -np.inf, -0.0, -0.5, -1.0, -7.0, 0.5, 3.7, 41.0, 63.0, 64.0, 1000.0, 2.0**21,
     2.0**24, 2.0**24 + 2, 2.0**31, 4e9, 1e20, 1e-40],
    dtype=np.float32,
)


class Data:
    """What a model is trained on: columns of every kind, and labels that depend on some."""

    def __init__(self, rng, infinities):
        self.rng = rng
        self.rows = int(rng.choice([20, 60, 200, 500, 1500], p=[0.2, 0.3, 0.3, 0.17, 0.03]))
        self.features = int(rng.integers(1, 12))
        self.categorical = []
        self.x = np.empty((self.rows, self.features), dtype=np.float32)
        for at in range(self.features):
            self.x[:, at] = self.column(at, infinities)
        signal = np.nan_to_num(self.x.astype(np.float64), posinf=3, neginf=-3).clip(-5, 50)
        signal = signal @ rng.normal(size=self.features) + rng.normal(size=self.rows)
        self.signal = (signal - signal.mean()) / (signal.std() + 1e-9)

    def column(self, at, infinities):
        rng, rows = self.rng, self.rows
        kind = rng.integers(0, 8)
        if kind == 0:
            column = np.full(rows, rng.choice([0.0, 3.5]))
        elif kind == 1:
            column = rng.integers(-3, 4, rows).astype(np.float64)
        elif kind == 2:
            column = rng.normal(size=rows) * 10.0 ** rng.integers(-38, 30)
        elif kind in (3, 4):
            self.categorical.append(at)
            column = rng.integers(0, int(rng.choice([3, 8, 60, 300])), rows).astype(np.float64)
        else:
            column = rng.normal(size=rows)
        if rng.random() < 0.4:
            column[rng.random(rows) < 0.3] = 0.0
        if rng.random() < 0.5:
            column[rng.random(rows) < 0.2] = np.nan
        if infinities and at not in self.categorical and rng.random() < 0.2:
            column[rng.random(rows) < 0.1] = rng.choice([np.inf, -np.inf])
        return column

    def labels(self, kind):
        if kind == "class":
            return (self.signal > 0).astype(np.float64)
        if kind == "share":
            return 1 / (1 + np.exp(-self.signal))
        if kind == "positive":
            return np.exp(self.signal) + 0.01
        if kind == "grade":
            return np.digitize(self.signal, [-0.5, 0.5, 1.5]).astype(np.float64)
        return self.signal

    def groups(self):
        return [10] * (self.rows // 10)

    def queries(self, thresholds):
        """Rows to predict: cells like those trained on, a third of them from what hurts."""
        rng = self.rng
        x = self.x[rng.integers(0, self.rows, ROWS)].copy()
        thresholds = np.asarray(thresholds, dtype=np.float64)
        with np.errstate(over="ignore"):
            thresholds = thresholds.astype(np.float32)
        near = np.concatenate([
            thresholds,
            np.nextafter(thresholds, np.float32(np.inf)),
            np.nextafter(thresholds, np.float32(-np.inf)),
            SPECIAL,
        ])
        for at in range(self.features):
            hurts = rng.random(ROWS) < 0.33
            values = CATEGORIES if at in self.categorical and rng.random() < 0.8 else near
            x[hurts, at] = rng.choice(values, hurts.sum())
        return np.ascontiguousarray(x)


def lightgbm(folder, seed):
    import lightgbm as lgb

    # LightGBM 4.7 fails at a check of its own for about one of these models in 50: train another.
    for attempt in range(20):
        try:
            return lightgbm_model(lgb, folder, seed, np.random.default_rng([1, seed, attempt]))
        except lgb.basic.LightGBMError as error:
            if "Check failed" not in str(error):
                raise
    raise RuntimeError(f"LightGBM trains nothing for seed {seed}")


def lightgbm_model(lgb, folder, seed, rng):
    data = Data(rng, infinities=True)
    objective, kind = [
        ("binary", "class"), ("regression", "real"), ("regression_l1", "real"), ("huber", "real"),
        ("fair", "real"), ("quantile", "real"), ("mape", "real"), ("poisson", "positive"),
        ("gamma", "positive"), ("tweedie", "positive"), ("cross_entropy", "share"),
        ("lambdarank", "grade"), ("rank_xendcg", "grade"), ("custom", "real"),
    ][seed % 14]
    labels = data.labels(kind)
    boosting = str(rng.choice(["gbdt", "gbdt", "gbdt", "dart", "rf"]))
    if objective == "custom":
        boosting = "gbdt"
    params = {
        "objective": objective,
        "boosting": boosting,
        "num_leaves": int(rng.choice([2, 3, 8, 31, 64, 255])),
        "max_depth": int(rng.choice([-1, -1, 2, 6])),
        "min_data_in_leaf": int(rng.choice([1, 1, 1, 1, 1, 5, 5, 3000])),
        "min_sum_hessian_in_leaf": 0.0 if rng.random() < 0.5 else 1e-3,
        "learning_rate": float(rng.choice([0.01, 0.1, 0.7])),
        "use_missing": bool(rng.random() < 0.8),
        "zero_as_missing": bool(rng.random() < 0.4),
        "max_bin": int(rng.choice([3, 16, 255])),
        "min_data_in_bin": 1,
        "extra_trees": bool(rng.random() < 0.2),
        "feature_fraction": float(rng.choice([0.5, 1.0])),
        "max_cat_to_onehot": int(rng.choice([1, 4, 100])),
        "cat_smooth": 1.0,
        "cat_l2": 0.0,
        "min_data_per_group": 1,
        "sigmoid": float(rng.choice([1.0, 0.5, 2.0])),
        "boost_from_average": bool(rng.random() < 0.7),
        "seed": seed,
        "num_threads": 1,
        "verbose": -1,
    }
    if boosting == "rf":
        params |= {"bagging_fraction": 0.6, "bagging_freq": 1}
    if objective == "custom":
        params["objective"] = lambda predicted, set: (
            predicted - set.get_label(), np.ones_like(predicted))
    ranks = objective in ("lambdarank", "rank_xendcg")
    trained = lgb.train(
        params,
        lgb.Dataset(
            data.x, labels, group=data.groups() if ranks else None,
            categorical_feature=data.categorical, params={"verbose": -1},
        ),
        int(rng.choice([1, 2, 5, 20])),
    )
    text = trained.model_to_string()
    # What is in the file is what counts: it is read back.
    read = lgb.Booster(model_str=text)
    thresholds = [
        float(value)
        for line in text.splitlines() if line.startswith("threshold=")
        for value in line[len("threshold="):].split()
    ]
    x = data.queries(thresholds)
    expected = read.predict(x, raw_score=True, num_threads=1)
    if boosting == "rf":
        # `raw_score` leaves out what its predictions divide by.
        expected = expected / read.num_trees()
    (folder / f"{seed}.txt").write_text(text)
    (folder / f"{seed}.dump.json").write_text(json.dumps(read.dump_model()))
    return x, expected.astype("<f8"), ["txt", "dump.json"]


def xgboost(folder, seed):
    import xgboost as xgb

    rng = np.random.default_rng([2, seed])
    data = Data(rng, infinities=False)
    objective, kind = [
        ("binary:logistic", "class"), ("reg:squarederror", "real"), ("reg:logistic", "share"),
        ("binary:logitraw", "class"), ("rank:ndcg", "grade"), ("rank:pairwise", "grade"),
        ("rank:map", "class"), ("count:poisson", "positive"), ("reg:gamma", "positive"),
        ("reg:tweedie", "positive"), ("reg:absoluteerror", "real"),
        ("reg:pseudohubererror", "real"), ("reg:squaredlogerror", "positive"),
        ("reg:quantileerror", "real"),
    ][seed % 14]
    method = str(rng.choice(["hist", "hist", "approx", "exact"]))
    categorical = [] if method == "exact" else data.categorical
    params = {
        "objective": objective,
        "tree_method": method,
        "max_depth": int(rng.choice([0, 0, 1, 3, 6])),
        "max_leaves": int(rng.choice([0, 2, 31, 255])),
        "eta": float(rng.choice([0.01, 0.3, 1.0])),
        "min_child_weight": float(rng.choice([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1e6])),
        "gamma": float(rng.choice([0.0, 0.0, 0.5])),
        "reg_lambda": float(rng.choice([0.0, 1.0])),
        "max_cat_to_onehot": int(rng.choice([1, 4, 100])),
        "num_parallel_tree": int(rng.choice([1, 1, 3])),
        "max_bin": int(rng.choice([4, 64, 256])),
        "seed": seed,
        "nthread": 1,
        "verbosity": 0,
    }
    if method != "exact":
        params["grow_policy"] = str(rng.choice(["depthwise", "lossguide"]))
    if params["max_depth"] == 0 and (method == "exact" or params["max_leaves"] == 0):
        params["max_depth"] = 8
    if objective == "reg:quantileerror":
        params["quantile_alpha"] = 0.3
    if rng.random() < 0.4:
        params["base_score"] = float(rng.uniform(0.01, 0.99))
    if categorical != data.categorical:
        data.categorical = []
    # Named by hand, by XGBoost, and in letters beyond ASCII.
    named = [None, [f"name {at}" for at in range(data.features)],
             [f"größe_{at}" for at in range(data.features)]][seed % 3]
    train = xgb.DMatrix(
        data.x, data.labels(kind), nthread=1, enable_categorical=True, feature_names=named,
        feature_types=["c" if at in categorical else "q" for at in range(data.features)],
    )
    if objective.startswith("rank:"):
        train.set_group(data.groups())
    trained = xgb.train(params, train, int(rng.choice([1, 2, 5, 20])))
    trained.save_model(folder / f"{seed}.json")
    trained.save_model(folder / f"{seed}.ubj")
    model = json.loads((folder / f"{seed}.json").read_text())
    trees = model["learner"]["gradient_booster"]["model"]["trees"]
    x = data.queries([value for tree in trees for value in tree["split_conditions"]])
    # A DMatrix takes no infinities; `inplace_predict` does.
    read = xgb.Booster({"nthread": 1}, model_file=folder / f"{seed}.ubj")
    expected = read.inplace_predict(x, predict_type="margin", validate_features=False)
    finite = ~np.isinf(x).any(axis=1)
    same = read.predict(
        xgb.DMatrix(x[finite], nthread=1, enable_categorical=True, feature_names=named,
                    feature_types=train.feature_types),
        output_margin=True,
    )
    assert np.array_equal(expected[finite], same), f"XGBoost differs with itself, seed {seed}"
    return x, expected.astype("<f4"), ["json", "ubj"]


def main():
    folder = pathlib.Path(sys.argv[1])
    library = {"lightgbm": lightgbm, "xgboost": xgboost}[sys.argv[2]]
    with (folder / "models.tsv").open("w") as index:
        for seed in range(int(sys.argv[3]), int(sys.argv[4])):
            x, expected, formats = library(folder, seed)
            assert expected.shape == (ROWS,), expected.shape
            (folder / f"{seed}.rows").write_bytes(x.astype("<f4").tobytes())
            (folder / f"{seed}.expected").write_bytes(expected.tobytes())
            index.write(f"{seed}\t{x.shape[1]}\t{','.join(formats)}\n")


if __name__ == "__main__":
    main()
