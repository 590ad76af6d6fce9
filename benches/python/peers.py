"""The peers of the ranking bench: trains models with LightGBM and times what evaluates them.

    peers.py train ROWS COLUMNS TREES LEAVES NAMES MODEL PREDICTIONS
    peers.py time ROWS COLUMNS BATCH MODEL

ROWS is a file of little-endian f32, row by row; NAMES are joined by commas. `train` writes
LightGBM's text and its raw predictions (f64) of the first 1,000 rows. `time` prints JSON:
for each peer the median over rounds of the mean time of a batch, in microseconds, with one
thread, over all batches in turn.
"""

import json
import sys
import time

import lightgbm
import numpy


def read_rows(path, columns):
    return numpy.fromfile(path, dtype="<f4").reshape(-1, columns)


def labels(rows):
    """A target with interactions that trees have to work for, the same for the same rows."""
    random = numpy.random.default_rng(7)
    ranked = numpy.argsort(numpy.argsort(rows, axis=0, kind="stable"), axis=0, kind="stable")
    scaled = ranked / max(len(rows) - 1, 1) - 0.5
    scaled[:, rows.min(axis=0) == rows.max(axis=0)] = 0.0
    score = scaled @ random.normal(size=rows.shape[1])
    for _ in range(24):
        a, b = random.integers(0, rows.shape[1], size=2)
        score += 6.0 * random.normal() * scaled[:, a] * scaled[:, b]
    noise = random.normal(size=len(rows))
    return (score + noise > numpy.median(score)).astype(int)


def train(rows_path, columns, trees, leaves, names, model_path, predictions_path):
    rows = read_rows(rows_path, int(columns))
    parameters = {
        "objective": "binary",
        "num_leaves": int(leaves),
        "min_data_in_leaf": 5,
        "learning_rate": 0.1,
        "num_threads": 1,
        "deterministic": True,
        "seed": 7,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(rows, labels(rows), feature_name=names.split(","))
    model = lightgbm.train(parameters, data, num_boost_round=int(trees))
    model.save_model(model_path)
    model.predict(rows[:1000], raw_score=True).astype("<f8").tofile(predictions_path)


def median_us(predict, batches, rounds=15):
    for batch in batches[:10]:
        predict(batch)
    means = []
    for _ in range(rounds):
        start = time.perf_counter()
        for batch in batches:
            predict(batch)
        means.append((time.perf_counter() - start) / len(batches))
    return sorted(means)[len(means) // 2] * 1e6


def lightgbm_peer(model_path):
    model = lightgbm.Booster(model_file=model_path)
    return lambda batch: model.predict(batch, num_threads=1, raw_score=True)


def lleaves_peer(model_path):
    import lleaves

    model = lleaves.Model(model_file=model_path)
    model.compile(raw_score=True, fblocksize=34)
    return lambda batch: model.predict(batch, n_jobs=1)


def onnx_peer(model_path):
    import onnxruntime
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    model = lightgbm.Booster(model_file=model_path)
    inputs = [("rows", FloatTensorType([None, model.num_feature()]))]
    graph = convert_lightgbm(model, initial_types=inputs, zipmap=False, target_opset=15)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    output = session.get_outputs()[-1].name
    return lambda batch: session.run([output], {"rows": batch})


def time_peers(rows_path, columns, batch, model_path):
    rows = read_rows(rows_path, int(columns))
    size = int(batch)
    batches = [rows[at : at + size].copy() for at in range(0, len(rows) - size + 1, size)]
    # LightGBM and lleaves compute in double precision: they are given it.
    doubles = [batch.astype("f8") for batch in batches]
    peers = {
        "lightgbm": (lightgbm_peer, doubles),
        "lleaves": (lleaves_peer, doubles),
        "onnxruntime": (onnx_peer, batches),
    }
    found = {"lightgbm_version": lightgbm.__version__}
    for name, (make, batches) in peers.items():
        try:
            predict = make(model_path)
        except ImportError as error:
            print(f"{name} is not installed: {error}", file=sys.stderr)
            continue
        found[name] = median_us(predict, batches)
    print(json.dumps(found))


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"train": train, "time": time_peers}[command](*arguments)
