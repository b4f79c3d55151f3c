#!/usr/bin/env python3
"""Records which type llama-quantize chooses for each tensor, as golden/plans/selections.json.

Writes header-only GGUF files with the shapes of real models (the weights are a hole in a sparse file), runs
`llama-quantize --dry-run` on them for every recipe, with and without an importance matrix, and once for each case of
overrides. Needs: gguf 0.19, numpy, and llama-quantize built from llama.cpp as llama-cpp-python 0.3.36 vendors it.

    python tools/golden/selections.py --quantize path/to/llama-quantize --out golden/plans/selections.json
"""

import argparse
import json
import os
import re
import subprocess
import tempfile

import gguf
import numpy as np

RECIPES = (
    "f32 f16 bf16 q8_0 q6_k q5_k_m q5_k_s q5_0 q5_1 q4_k_m q4_k_s q4_0 q4_1 iq4_nl iq4_xs q3_k_l q3_k_m q3_k_s "
    "q2_k"
).split()

# name, architecture, layers, width, feed-forward, heads, key/value heads, head size, vocabulary, tied
# Sources: config.json of each model on huggingface.co.
MODELS = [
    ("gemma-3-270m", "gemma3", 18, 640, 2048, 4, 1, 256, 262144, True),
    ("gemma-3-1b", "gemma3", 26, 1152, 6912, 4, 1, 256, 262144, True),
    ("gemma-3-4b", "gemma3", 34, 2560, 10240, 8, 4, 256, 262144, True),
    ("gemma-3-27b", "gemma3", 62, 5376, 21504, 32, 16, 128, 262144, True),
    ("embeddinggemma-300m", "gemma-embedding", 24, 768, 1152, 3, 1, 256, 262144, True),
    ("gemma-2b", "gemma", 18, 2048, 16384, 8, 1, 256, 256000, True),
    ("gemma-7b", "gemma", 28, 3072, 24576, 16, 16, 256, 256000, True),
    ("gemma-2-2b", "gemma2", 26, 2304, 9216, 8, 4, 256, 256000, True),
    ("bert-base", "bert", 12, 768, 3072, 12, 12, 64, 28996, True),
    ("minilm-l6", "bert", 6, 384, 1536, 12, 12, 32, 30522, True),
    ("tinybert-312", "bert", 4, 312, 1200, 12, 12, 26, 30522, True),
    ("llama-3-8b", "llama", 32, 4096, 14336, 32, 8, 128, 128256, False),
    ("llama-2-7b", "llama", 32, 4096, 11008, 32, 32, 128, 32000, False),
    ("llama-3-70b", "llama", 80, 8192, 28672, 64, 8, 128, 128256, False),
    ("llama-65b", "llama", 80, 8192, 22016, 64, 64, 128, 32000, False),
    ("smollm2-135m", "llama", 30, 576, 1536, 9, 3, 64, 49152, True),
    ("qwen2-0.5b", "qwen2", 24, 896, 4864, 14, 2, 64, 151936, True),
    ("qwen2-72b", "qwen2", 80, 8192, 29568, 64, 8, 128, 152064, False),
    ("qwen2-7b", "qwen2", 28, 3584, 18944, 28, 4, 128, 152064, False),
    ("phi-2", "phi2", 32, 2560, 10240, 32, 32, 80, 51200, False),
    ("qwen3-0.6b", "qwen3", 28, 1024, 3072, 16, 8, 128, 151936, True),
]

# model, recipe, llama-quantize's options. Only types that fit the rows: tincture refuses the others.
OVERRIDES = [
    ("gemma-3-4b", "q4_k_m", {"tensor-type": ["attn_v=q8_0", r"blk\.(0|1|2)\.ffn_down=q5_k"]}),
    ("gemma-3-4b", "q4_k_m", {"tensor-type": [r"blk\.[0-4]\.ffn_(up|down)=iq4_xs", "ffn_up=q3_k"]}),
    ("gemma-3-4b", "q4_k_m", {"token-embedding-type": "q5_1"}),
    ("gemma-3-4b", "q4_k_m", {"output-tensor-type": "q8_0"}),
    ("gemma-3-4b", "q3_k_m", {"tensor-type": ["token_embd=q4_0"]}),
    ("gemma-3-270m", "q4_0", {"tensor-type": ["ATTN_(Q|K)=q5_1"], "token-embedding-type": "q5_1"}),
    ("llama-3-8b", "q4_k_s", {"output-tensor-type": "q5_k", "token-embedding-type": "q8_0"}),
    ("llama-3-8b", "q3_k_m", {"tensor-type": [r"^blk\.\d\.attn_v=q2_k", "[q-u]p.weight$=f16"]}),
    ("llama-3-8b", "q8_0", {"tensor-type": ["output.weight=bf16", "token_embd=q6_k"]}),
    ("llama-3-8b", "bf16", {"output-tensor-type": "q8_0", "token-embedding-type": "f16"}),
    ("bert-base", "q5_k_m", {"tensor-type": [r"(attn|ffn)_output|ffn_up=q4_1"], "output-tensor-type": "f32"}),
]

# Patterns whose matches llama-quantize shows on PATTERN_MODEL, every match becoming F16.
PATTERN_MODEL = "minilm-l6"
PATTERNS = [
    "attn_q", "ATTN_q", "^token", "embd", "weight$", "^blk", r"\.1\.", ".1.", r"blk\.[0-2]\.", r"blk\.[^0-2]\.",
    "[k-v]\\.weight",
    "attn_(q|k)\\.", "(attn|ffn)_(output|down)", "(?:q|k|v).w", "f+n", "f{2}n_up", "f{3}", "fx?fn_",
    "(blk)?x?.3", "_+v",
    "t{1,2}n_", "t{2,}n_", r"\d", r"\d\.\w+_up", r"\w{12}\.", r"\battn", r"_\boutput", r"3\b", "a.*t$", "a.*?t$", "()",
    "x|up",
    "^(token|blk.0.*k).*", "[.]5[.]", "[_-]down", "[a\\]_]v", "up|", "o[u-w]+t", r"\s", "[^a-z._\\d]", "(.*)(k)(.*)(k)",
    "e(i(g(h)))t",
]

LETTERS = {
    "F32": "f", "F16": "h", "BF16": "b", "Q8_0": "8", "Q4_0": "4", "Q4_1": "$", "Q5_0": "5", "Q5_1": "%",
    "Q2_K": "C", "Q3_K": "D", "Q4_K": "E", "Q5_K": "F", "Q6_K": "G", "IQ4_NL": "n", "IQ4_XS": "x",
}


def tensors(model):
    """Yields (name, dimensions innermost first) in the order a converter writes them."""
    _, arch, layers, width, ff, heads, kv, head, vocabulary, tied = model
    out = [("token_embd.weight", (width, vocabulary))]
    if arch == "bert":
        out += [("position_embd.weight", (width, 512)), ("token_types.weight", (width, 2)),
                ("token_embd_norm.weight", (width,)), ("token_embd_norm.bias", (width,))]
    else:
        out += [("output_norm.weight", (width,))]
    if not tied:
        out += [("output.weight", (width, vocabulary))]
    for i in range(layers):
        layer = [
            ("attn_q.weight", (width, heads * head)), ("attn_k.weight", (width, kv * head)),
            ("attn_v.weight", (width, kv * head)), ("attn_output.weight", (heads * head, width)),
            ("ffn_up.weight", (width, ff)), ("ffn_down.weight", (ff, width)),
        ]
        if arch == "phi2":
            layer = [("attn_qkv.weight", (width, 3 * width)), *layer[3:], ("attn_norm.weight", (width,))]
        elif arch == "bert":
            layer += [(n + ".bias", (s,)) for n, s in (
                ("attn_q", width), ("attn_k", width), ("attn_v", width), ("attn_output", width), ("ffn_up", ff),
                ("ffn_down", width), ("attn_output_norm", width), ("layer_output_norm", width))]
            layer += [("attn_output_norm.weight", (width,)), ("layer_output_norm.weight", (width,))]
        else:
            layer += [("ffn_gate.weight", (width, ff)), ("attn_norm.weight", (width,)), ("ffn_norm.weight", (width,))]
        if arch in ("gemma2", "gemma3", "gemma-embedding"):
            layer += [("post_attention_norm.weight", (width,)), ("post_ffw_norm.weight", (width,))]
        if arch in ("gemma3", "gemma-embedding", "qwen3"):
            layer += [("attn_q_norm.weight", (head,)), ("attn_k_norm.weight", (head,))]
        if arch == "qwen2":
            layer += [("attn_q.bias", (heads * head,)), ("attn_k.bias", (kv * head,)), ("attn_v.bias", (kv * head,))]
        out += [(f"blk.{i}.{name}", dimensions) for name, dimensions in layer]
    if arch == "gemma-embedding":
        out += [("dense_2.weight", (width, 3072)), ("dense_3.weight", (3072, width))]
    if model[0] == "llama-3-8b":
        out += [("rope_freqs.weight", (head // 2,))]
    return out


def write_model(model, path):
    name, arch, layers, width, ff, heads, kv, head, vocabulary, _ = model
    w = gguf.GGUFWriter(path, arch)
    w.add_block_count(layers)
    w.add_context_length(2048)
    w.add_embedding_length(width)
    w.add_feed_forward_length(ff)
    w.add_head_count(heads)
    w.add_head_count_kv(kv)
    w.add_key_length(head)
    w.add_value_length(head)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_layer_norm_eps(1e-6)
    w.add_vocab_size(vocabulary)
    w.add_sliding_window(512)
    w.add_causal_attention(arch not in ("bert", "gemma-embedding"))
    w.add_file_type(32)
    for tensor, dimensions in tensors(model):
        matrix = len(dimensions) > 1 and tensor not in ("position_embd.weight", "token_types.weight")
        kind = gguf.GGMLQuantizationType.BF16 if matrix else gguf.GGMLQuantizationType.F32
        count = int(np.prod(dimensions))
        w.add_tensor_info(
            tensor, tuple(reversed(dimensions)), np.dtype(np.float16 if matrix else np.float32),
            count * (2 if matrix else 4), raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_ti_data_to_file()
    w.close()
    size = os.path.getsize(path)
    for tensor, dimensions in tensors(model):
        matrix = len(dimensions) > 1 and tensor not in ("position_embd.weight", "token_types.weight")
        size += (int(np.prod(dimensions)) * (2 if matrix else 4) + 31) // 32 * 32
    os.truncate(path, size + 64)


def write_importance(path):
    w = gguf.GGUFWriter(path, "")
    w.add_type("imatrix")
    w.add_array("imatrix.datasets", ["none"])
    w.add_uint32("imatrix.chunk_count", 1)
    w.add_uint32("imatrix.chunk_size", 512)
    w.add_tensor("blk.0.attn_q.weight.in_sum2", np.ones((1, 32), np.float32))
    w.add_tensor("blk.0.attn_q.weight.counts", np.ones((1, 1), np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


LINE = re.compile(r"^\[ *\d+/ *\d+\] (\S+) +- \[.*\], type = +(\w+), size = .*?(?:\((\w+)\))?$")


def selection(quantize, path, recipe, options):
    """The types llama-quantize chooses: name -> type."""
    run = subprocess.run([quantize, "--dry-run", *options, path, recipe.upper(), "1"], capture_output=True, text=True)
    if run.returncode != 0:
        raise SystemExit(f"{quantize} {options} {path} {recipe} failed:\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}")
    chosen = {}
    for line in re.sub(r"warning: .*?-> falling back to +\w+\n", "", run.stdout + run.stderr).splitlines():
        match = LINE.match(line.strip())
        if match:
            chosen[match[1]] = (match[3] or match[2]).upper()
    return chosen


def letters(model, chosen):
    names = [name for name, _ in tensors(model)]
    if set(names) != set(chosen):
        raise SystemExit(f"{model[0]}: llama-quantize lists {len(chosen)} tensors, expected {len(names)}")
    return "".join(LETTERS[chosen[name]] for name in names)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quantize", required=True)
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    rows, overrides, patterns = [], [], {}
    with tempfile.TemporaryDirectory() as folder:
        importance = os.path.join(folder, "importance.gguf")
        write_importance(importance)
        for model in MODELS:
            path = os.path.join(folder, "model.gguf")
            write_model(model, path)
            selections = {}
            for recipe in RECIPES:
                plain = letters(model, selection(arguments.quantize, path, recipe, []))
                weighted = letters(model, selection(arguments.quantize, path, recipe, ["--imatrix", importance]))
                selections[recipe] = [plain] if plain == weighted else [plain, weighted]
            if model[0] == PATTERN_MODEL:
                for pattern in PATTERNS:
                    chosen = selection(arguments.quantize, path, "q4_0", ["--tensor-type", pattern + "=f16"])
                    patterns[pattern] = [name for name, _ in tensors(model) if chosen[name] == "F16"]
            for name, recipe, options in OVERRIDES:
                if name != model[0]:
                    continue
                words = []
                for option, value in options.items():
                    for text in value if isinstance(value, list) else [value]:
                        words += ["--" + option, text]
                chosen = letters(model, selection(arguments.quantize, path, recipe, words))
                overrides.append({"model": name, "recipe": recipe, "options": options, "types": chosen})
            rows.append({
                "name": model[0], "architecture": model[1], "layers": model[2], "heads": model[5],
                "keyValueHeads": model[6], "tensors": [[n, *d] for n, d in tensors(model)], "selections": selections,
            })
            print(model[0], len(tensors(model)), "tensors")
    def text(value):
        return json.dumps(value, separators=(",", ":"))

    with open(arguments.out, "w", encoding="utf-8") as out:
        out.write('{"letters":' + text(LETTERS) + ',\n"models":[\n' + ",\n".join(map(text, rows)))
        out.write('\n],\n"overrides":[\n' + ",\n".join(map(text, overrides)) + '\n],\n"patterns":{"model":')
        out.write(text(PATTERN_MODEL) + ',"found":' + text(patterns) + "}}\n")


if __name__ == "__main__":
    main()
