#!/usr/bin/env python3
"""Makes tiny container files with the formats' own libraries, and what a reader must find in them.

    tools/golden/containers.py OUT [--gguf-split BINARY] [--imatrix-gguf FILE --imatrix-dat FILE]

OUT is golden/containers. The set of parts is cut by llama.cpp's own gguf-split; the importance files are what
llama-imatrix has written for Gemma 3 270M (`llama-imatrix -m gemma3-270m-bf16.gguf -f TEXT -c 64 --chunks 3`), cut to
the first layer. Without those arguments the files are left alone.
"""

import argparse
import json
import struct
import subprocess
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

VALUES = {
    "test.uint8": (200, "UINT8"), "test.int8": (-100, "INT8"), "test.uint16": (60000, "UINT16"),
    "test.int16": (-30000, "INT16"), "test.uint32": (4000000000, "UINT32"), "test.int32": (-2000000000, "INT32"),
    "test.float32": (1.5, "FLOAT32"), "test.bool": (True, "BOOL"), "test.string": ("h\u00e4llo", "STRING"),
    "test.uint64": (2**63 + 1, "UINT64"), "test.int64": (-(2**62), "INT64"), "test.float64": (-0.1, "FLOAT64"),
}


def rows(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def write_gguf(path, alignment=None, parts=False):
    writer = gguf.GGUFWriter(path, "llama", use_temp_file=False)
    if alignment:
        writer.add_custom_alignment(alignment)
    if not parts:
        for key, (value, kind) in VALUES.items():
            writer.add_key_value(key, value, gguf.GGUFValueType[kind])
        writer.add_array("test.strings", ["", "a", "\u2581the", "b" * 300])
        writer.add_array("test.ints", [1, -2, 3])
        writer.add_array("test.floats", [0.25, -1.0])
        writer.add_array("test.bools", [True, False, True])
        if not alignment:  # llama.cpp reads no arrays of arrays
            writer.add_array("test.nested", [[1, 2], [3]])
        writer.add_tensor("one.weight", rows((2, 3, 5), 1))
        writer.add_tensor("half.weight", rows((4, 7), 2).astype(np.float16))
        writer.add_tensor("ints", np.arange(5, dtype=np.int32))
    q8 = gguf.quants.quantize(rows((4, 64), 3), gguf.GGMLQuantizationType.Q8_0)
    q4 = gguf.quants.quantize(rows((2, 96), 4), gguf.GGMLQuantizationType.Q4_0)
    bf16 = gguf.quants.quantize(rows((3, 32), 5), gguf.GGMLQuantizationType.BF16)
    writer.add_tensor("q8.weight", q8, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("q4.weight", q4, raw_dtype=gguf.GGMLQuantizationType.Q4_0)
    writer.add_tensor("bf16.weight", bf16, raw_dtype=gguf.GGMLQuantizationType.BF16)
    if parts:
        writer.add_tensor("norm.weight", rows((64,), 6))
        writer.add_tensor("big.weight", rows((9, 64), 7))
        writer.add_tensor("last.bias", rows((10,), 8))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def split_by_size(out, gguf_split):
    """Headers of the parts of a set cut at 2 MB; the weights are zeros and need not be kept."""
    counts = [300, 200, 90, 700, 130, 20, 480, 1]
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.gguf"
        writer = gguf.GGUFWriter(whole, "llama", use_temp_file=False)
        writer.add_name("size split")
        for index, count in enumerate(counts):
            writer.add_tensor(f"t{index}.weight", np.zeros((count, 1000) if count > 1 else (999,), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        subprocess.run([gguf_split, "--split", "--split-max-size", "2M", whole, Path(folder) / "part"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        parts = []
        for path in sorted(Path(folder).glob("part-*.gguf")):
            size = path.stat().st_size
            header = path.read_bytes()[: int(gguf.GGUFReader(path).data_offset)]
            parts.append({"name": path.name, "bytes": size, "header": header.hex()})
    found = {"limit": 2_000_000, "rows": counts, "parts": parts}
    (out / "size-split.json").write_text(json.dumps(found, indent=1) + "\n")


def describe_gguf(path):
    reader = gguf.GGUFReader(path)
    return {
        "tensors": [
            {"name": t.name, "type": t.tensor_type.name, "shape": [int(n) for n in reversed(t.shape)],
             "offset": int(t.data_offset), "bytes": int(t.n_bytes),
             "sum": int(np.frombuffer(t.data.tobytes(), np.uint8).astype(np.uint64).sum())}
            for t in reader.tensors
        ]
    }


TORCH = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "U16": torch.uint16, "I16": torch.int16,
    "U32": torch.uint32, "I32": torch.int32, "U64": torch.uint64, "I64": torch.int64, "F16": torch.float16,
    "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64, "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}


def write_safetensors(out):
    tensors = {f"t.{name}": torch.from_numpy(rows((2, 3), 9) * 3).abs().to(kind) for name, kind in TORCH.items()}
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros((0, 4))
    save_file(tensors, out / "types.safetensors", {"note": "h\u00e4llo"})  # one: the library shuffles several
    first = {"a.weight": torch.from_numpy(rows((4, 8), 10)), "b.weight": torch.from_numpy(rows((2, 8), 11))}
    second = {"c.weight": torch.from_numpy(rows((3, 8), 12)).bfloat16()}
    shards = out / "sharded"
    shards.mkdir(exist_ok=True)
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    save_file(first, shards / names[0], {"format": "pt"})
    save_file(second, shards / names[1], {"format": "pt"})
    size = sum(t.numel() * t.element_size() for part in (first, second) for t in part.values())
    index = {"metadata": {"total_size": size},
             "weight_map": {n: names[k] for k, part in enumerate((first, second)) for n in part}}
    (shards / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def cut_imatrix(out, gguf_path, dat_path):
    reader = gguf.GGUFReader(gguf_path)
    writer = gguf.GGUFWriter(out / "imatrix.gguf", "", use_temp_file=False)
    writer.kv_data[0].clear()  # llama-imatrix writes no general.architecture
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["text.txt"])
    for key in ("imatrix.chunk_count", "imatrix.chunk_size"):
        writer.add_uint32(key, int(reader.fields[key].contents()))
    expected = {"chunks": int(reader.fields["imatrix.chunk_count"].contents()), "importance": {}}
    kept = {t.name: t for t in reader.tensors if t.name.startswith("blk.0.")}
    for name, tensor in kept.items():
        # The reader has dropped nothing: ggml writes [columns] as one dimension.
        writer.add_tensor(name, np.array(tensor.data, dtype=np.float32).reshape(-1))
        if name.endswith(".in_sum2"):
            base = name.removesuffix(".in_sum2")
            mean = tensor.data.reshape(-1) / np.float32(kept[base + ".counts"].data.reshape(-1)[0])
            expected["importance"][base] = [int(b) for b in mean.astype("<f4").view("<u4")[:8]]
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    data = Path(dat_path).read_bytes()
    at, entries = 4, []
    for _ in range(struct.unpack_from("<i", data)[0]):
        start = at
        (length,) = struct.unpack_from("<i", data, at)
        name = data[at + 4 : at + 4 + length].decode()
        calls, count = struct.unpack_from("<ii", data, at + 4 + length)
        values_at = at + 12 + length
        at = values_at + 4 * count
        if name.startswith("blk.0."):
            entries.append(data[start:at])
            mean = np.frombuffer(data, "<f4", count, values_at) / np.float32(calls)
            expected.setdefault("legacy", {})[name] = [int(b) for b in mean.astype("<f4").view("<u4")[:8]]
    (chunks,) = struct.unpack_from("<i", data, at)
    tail = struct.pack("<ii", chunks, len(b"text.txt")) + b"text.txt"
    (out / "imatrix.dat").write_bytes(struct.pack("<i", len(entries)) + b"".join(entries) + tail)
    (out / "imatrix.json").write_text(json.dumps(expected, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--gguf-split")
    parser.add_argument("--imatrix-gguf")
    parser.add_argument("--imatrix-dat")
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    write_safetensors(out)
    found = {}
    write_gguf(out / "types.gguf")
    write_gguf(out / "aligned64.gguf", alignment=64)
    write_gguf(out / "whole.gguf", parts=True)
    for name in ("types", "aligned64", "whole"):
        found[name] = describe_gguf(out / f"{name}.gguf")
    (out / "gguf.json").write_text(json.dumps(found, indent=1) + "\n")
    if arguments.gguf_split:
        subprocess.run([arguments.gguf_split, "--split", "--split-max-tensors", "3", out / "whole.gguf", out / "parts"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        split_by_size(out, arguments.gguf_split)
    if arguments.imatrix_gguf and arguments.imatrix_dat:
        cut_imatrix(out, arguments.imatrix_gguf, arguments.imatrix_dat)


if __name__ == "__main__":
    main()
