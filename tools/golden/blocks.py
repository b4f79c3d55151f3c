#!/usr/bin/env python3
"""Records what ggml's own block encoders and decoders make of many kinds of rows.

    tools/golden/blocks.py golden/blocks [--model GEMMA-3-270M-BF16.gguf]

Needs the xllamacpp wheel (ggml inside), numpy, and gguf for --model. Writes

    rows.f32          little-endian floats, rows of 512: eight per distribution, then real ones
    real.f32          rows of 512 cut out of the real model; only --model makes them anew
    importance.f32    three rows of 512 non-negative weights: moderate, widely spread, a third zeros
    NAME.plain        ggml's blocks of all rows without importance, for the formats that ours equals byte by byte
    NAME.blocks       blocks of random bytes with finite scales, every quant and scale bit used
    NAME.decoded      what ggml decodes them to, little-endian floats
    blocks.json       rows of each distribution; ggml's squared errors, plain and for each importance; null
                      where ggml's blocks decode to infinity or NaN
Afterwards run tools/golden/manifest.py.
"""
import argparse
import ctypes as C
import glob
import json
import os
import sys

import numpy as np

LENGTH, PER_KIND, SEED = 512, 8, 20240811
# name: ggml's number, elements and bytes of a block, byte offsets of its half-precision fields
FORMATS = {
    "Q8_0": (8, 32, 34, [0]), "Q4_0": (2, 32, 18, [0]), "Q4_1": (3, 32, 20, [0, 2]),
    "Q5_0": (6, 32, 22, [0]), "Q5_1": (7, 32, 24, [0, 2]), "Q2_K": (10, 256, 84, [80, 82]),
    "Q3_K": (11, 256, 110, [108]), "Q4_K": (12, 256, 144, [0, 2]), "Q5_K": (13, 256, 176, [0, 2]),
    "Q6_K": (14, 256, 210, [208]), "IQ4_NL": (20, 32, 18, [0]), "IQ4_XS": (23, 256, 136, [0]),
}
SAME_BYTES = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]


def ggml():
    import xllamacpp
    library = C.CDLL(glob.glob(os.path.join(os.path.dirname(xllamacpp.__file__), "*.so"))[0])
    p, n = C.c_void_p, C.c_int64
    library.ggml_quantize_chunk.argtypes = [C.c_int, p, p, n, n, n, p]
    library.ggml_quantize_chunk.restype = C.c_size_t
    for name in FORMATS:
        decode = getattr(library, function(name))
        decode.argtypes, decode.restype = [p, p, n], None
    return library


def function(name):
    return "dequantize_row_" + name.lower().replace("_k", "_K")


def encode(library, name, rows, importance=None):
    number, elements, size, _ = FORMATS[name]
    out = np.zeros(rows.size // elements * size, np.uint8)
    library.ggml_quantize_chunk(number, rows.ctypes.data, out.ctypes.data, 0, rows.shape[0], rows.shape[1],
                                None if importance is None else importance.ctypes.data)
    return out


def decode(library, name, blocks):
    _, elements, size, _ = FORMATS[name]
    out = np.zeros(blocks.size // size * elements, np.float32)
    getattr(library, function(name))(blocks.ctypes.data, out.ctypes.data, out.size)
    return out


def distributions():
    random = np.random.default_rng(SEED)
    shape = (PER_KIND, LENGTH)
    normal = random.standard_normal(shape)
    outliers = normal * 0.02
    outliers[:, random.integers(0, LENGTH, 5)] *= 50
    one = np.zeros(shape)
    one[:, ::37] = normal[:, ::37]
    kinds = {
        "normal": normal * 0.02,
        "laplace": random.laplace(size=shape) * 0.02,
        "student3": random.standard_t(3, size=shape),
        "student1.5": random.standard_t(1.5, size=shape).clip(-1e4, 1e4),
        "sparse": normal * 0.1 * (random.random(shape) < 0.1),
        "outlierColumns": outliers,
        "uniform": random.random(shape) - 0.5,
        "positive": np.abs(normal) + 0.5,
        "negative": -np.abs(normal),
        "constant": np.full(shape, 0.37),
        "signs": np.sign(normal),
        "integers": np.round(normal * 3),
        "ramp": np.tile(np.linspace(-1, 1, LENGTH), (PER_KIND, 1)),
        "scales": normal * np.exp(random.normal(size=shape) * 2),
        "offset": normal * 0.01 + 1,
        "oneInMany": one,
        "small": normal * 1e-4,
        "tiny": normal * 1e-6,
        "vanishing": normal * 1e-8,
        "subnormal": normal * 1e-40,
        "huge": (normal * 2e4).clip(-6e4, 6e4),
        "zeros": np.where(normal < 0, -0.0, 0.0),
    }
    return {kind: rows.astype(np.float32) for kind, rows in kinds.items()}


def importances():
    random = np.random.default_rng(SEED + 1)
    moderate = np.exp(random.normal(size=LENGTH))
    wide = np.exp(random.normal(size=LENGTH) * 3)
    zeros = np.exp(random.normal(size=LENGTH)) * (random.random(LENGTH) < 0.67)
    return {"moderate": moderate, "wide": wide, "zeros": zeros}


def real_rows(path):
    import gguf
    rows = []
    for tensor in gguf.GGUFReader(path).tensors:
        if tensor.name in ("token_embd.weight", "blk.0.attn_q.weight", "blk.3.ffn_down.weight", "blk.9.ffn_up.weight",
                           "blk.17.attn_output.weight"):
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            step = max(1, values.shape[0] // 4)
            rows += [values[i * step, :LENGTH] for i in range(4)]
    return np.stack(rows).astype(np.float32)


def squared_error(rows, decoded, importance=None):
    square = (rows.astype(np.float64) - decoded.reshape(rows.shape).astype(np.float64)) ** 2
    total = float((square if importance is None else square * importance.astype(np.float64)).sum())
    return total if np.isfinite(total) else None


def random_blocks(name):
    _, elements, size, halves = FORMATS[name]
    random = np.random.default_rng(SEED + 2)
    blocks = random.integers(0, 256, (4096 // elements, size), dtype=np.uint8)
    for offset in halves:  # an exponent of all ones would be infinity or NaN
        blocks[:, offset + 1] &= np.where((blocks[:, offset + 1] & 0x7C) == 0x7C, 0xBF, 0xFF).astype(np.uint8)
    return np.ascontiguousarray(blocks)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("out")
    arguments.add_argument("--model", help="a GGUF of Gemma 3 270M in BF16, to cut real rows from")
    arguments = arguments.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    written = []

    def write(name, data):
        with open(os.path.join(arguments.out, name), "wb") as file:
            file.write(data)
        written.append(name)

    library = ggml()
    kinds = distributions()
    if arguments.model:
        write("real.f32", real_rows(arguments.model).tobytes())
    else:
        written.append("real.f32")
    kinds["real"] = np.fromfile(os.path.join(arguments.out, "real.f32"), np.float32).reshape(-1, LENGTH)
    weights = {name: w.astype(np.float32) for name, w in importances().items()}
    rows = np.concatenate(list(kinds.values()))
    write("rows.f32", rows.astype("<f4").tobytes())
    write("importance.f32", np.stack(list(weights.values())).astype("<f4").tobytes())
    places, first = [], 0
    for kind, part in kinds.items():
        places.append({"kind": kind, "first": first, "count": len(part)})
        first += len(part)
    errors = {}
    for name in FORMATS:
        if name in SAME_BYTES:
            write(name + ".plain", encode(library, name, rows).tobytes())
        blocks = random_blocks(name)
        write(name + ".blocks", blocks.tobytes())
        write(name + ".decoded", decode(library, name, blocks).astype("<f4").tobytes())
        errors[name] = {"plain": {}, **{w: {} for w in weights}}
        for kind, part in kinds.items():
            part = np.ascontiguousarray(part)
            plain = decode(library, name, encode(library, name, part))
            errors[name]["plain"][kind] = squared_error(part, plain)
            for label, w in weights.items():
                decoded = decode(library, name, encode(library, name, part, w))
                errors[name][label][kind] = squared_error(part, decoded, w)
    table = {"rowLength": LENGTH, "kinds": places, "importance": list(weights), "ggmlErrors": errors}
    write("blocks.json", (json.dumps(table, indent=1, allow_nan=False) + "\n").encode())
    print(f"blocks: {len(rows)} rows, {len(written)} files in {arguments.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
