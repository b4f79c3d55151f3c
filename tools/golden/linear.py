#!/usr/bin/env python3
"""Records ggml's own products of quantized weights with activations, as its CPU backend computes them.

    tools/golden/linear.py golden/linear

Needs the xllamacpp wheel (ggml inside) and numpy. Writes

    activations.f32   little-endian floats, TOKENS rows of 512: heavy tails, zero blocks, ties, both signs of the peak
    NAME.weights      8 rows of 512 in that format, encoded by ggml
    NAME.products     little-endian floats [TOKENS][8]: ggml's from_float of the activations, then its vec_dot
    Q8_0.forms, Q8_1.forms, Q8_K.forms   the activations as ggml rounds them
    linear.json       counts
Afterwards run tools/golden/manifest.py.
"""
import ctypes as C
import glob
import json
import os
import sys

import numpy as np

LENGTH, ROWS, TOKENS, SEED = 512, 8, 5, 20261126
# name: ggml's number, elements and bytes of a block
FORMATS = {
    "F32": (0, 1, 4), "F16": (1, 1, 2), "BF16": (30, 1, 2), "Q8_0": (8, 32, 34), "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20),
    "Q5_0": (6, 32, 22), "Q5_1": (7, 32, 24), "Q2_K": (10, 256, 84), "Q3_K": (11, 256, 110), "Q4_K": (12, 256, 144),
    "Q5_K": (13, 256, 176), "Q6_K": (14, 256, 210), "IQ4_NL": (20, 32, 18), "IQ4_XS": (23, 256, 136),
}
FORMS = {"Q8_0": (8, 32, 34), "Q8_1": (9, 32, 36), "Q8_K": (15, 256, 292), **{n: FORMATS[n] for n in ("F32", "F16", "BF16")}}


class Traits(C.Structure):  # ggml/include/ggml-cpu.h: ggml_type_traits_cpu
    _fields_ = [("from_float", C.CFUNCTYPE(None, C.c_void_p, C.c_void_p, C.c_int64)),
                ("vec_dot", C.CFUNCTYPE(None, C.c_int, C.c_void_p, C.c_size_t, C.c_void_p, C.c_size_t, C.c_void_p,
                                        C.c_size_t, C.c_int)),
                ("vec_dot_type", C.c_int), ("nrows", C.c_int64)]


def ggml():
    import xllamacpp
    library = C.CDLL(glob.glob(os.path.join(os.path.dirname(xllamacpp.__file__), "*.so"))[0])
    p, n = C.c_void_p, C.c_int64
    library.ggml_quantize_chunk.argtypes = [C.c_int, p, p, n, n, n, p]
    library.ggml_quantize_chunk.restype = C.c_size_t
    library.ggml_get_type_traits_cpu.argtypes = [C.c_int]
    library.ggml_get_type_traits_cpu.restype = C.POINTER(Traits)
    library.ggml_cpu_init()
    return library


def activations():
    random = np.random.default_rng(SEED)
    x = random.standard_t(4, (TOKENS, LENGTH)).astype(np.float32)
    x[1, 64:128] = 0
    x[1, 256:512] = 0
    x[2] = np.round(x[2] * 8) / 8  # ties
    x[2, :32] = np.arange(32) - 15.5
    x[3] *= np.exp(random.normal(size=LENGTH) * 2)
    x[4, 300] = -np.abs(x[4, 256:]).max() * 3
    x[4, 310] = -x[4, 300]  # the peak with both signs
    return np.ascontiguousarray(x)


def form(library, number, elements, size, x):
    out = np.zeros((len(x), x.shape[1] // elements * size), np.uint8)
    for row, to in zip(x, out):
        library.ggml_get_type_traits_cpu(number).contents.from_float(row.ctypes.data, to.ctypes.data, len(row))
    return out


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)

    def write(name, array):
        array.tofile(os.path.join(out, name))

    library = ggml()
    x = activations()
    write("activations.f32", x.astype("<f4"))
    by_number = {numbers[0]: numbers for numbers in FORMS.values()}
    for name in ("Q8_0", "Q8_1", "Q8_K"):
        write(name + ".forms", form(library, *FORMS[name], x))
    random = np.random.default_rng(SEED + 1)
    for name, (number, elements, size) in FORMATS.items():
        w = (random.standard_t(5, (ROWS, LENGTH)) * 0.05).astype(np.float32)
        bytes_ = np.zeros((ROWS, LENGTH // elements * size), np.uint8)
        if number == 0:
            bytes_ = w.view(np.uint8)
        else:
            library.ggml_quantize_chunk(number, w.ctypes.data, bytes_.ctypes.data, 0, ROWS, LENGTH, None)
        traits = library.ggml_get_type_traits_cpu(number).contents
        forms = form(library, *by_number[traits.vec_dot_type], x)
        products = np.zeros((TOKENS, ROWS), np.float32)
        for t in range(TOKENS):
            for r in range(ROWS):
                traits.vec_dot(LENGTH, products[t:, r:].ctypes.data, 0, bytes_[r].ctypes.data, 0, forms[t].ctypes.data, 0, 1)
        write(name + ".weights", bytes_)
        write(name + ".products", products.astype("<f4"))
    with open(os.path.join(out, "linear.json"), "w") as file:
        json.dump({"rowLength": LENGTH, "rows": ROWS, "tokens": TOKENS}, file)
        file.write("\n")
    print(f"linear: {len(FORMATS)} formats in {out}", file=sys.stderr)


if __name__ == "__main__":
    main()
