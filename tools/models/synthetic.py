#!/usr/bin/env python3
"""Makes a synthetic checkpoint with the exact text shapes of MedGemma 4B: 7.8 GB of BF16 in two shards.

    tools/models/synthetic.py OUT TOKENIZER [--layers N] [--seed N]

TOKENIZER is a Gemma 3 checkpoint (tools/models/gemma3_270m.py) whose tokenizer files are copied. The values are
seeded and Gaussian, with the spread of a trained model's weights; they are cut from one random block of 8 million
values, each tensor starting at a place of its own, so the file is written as fast as the disk takes it and with
less than 300 MB of memory. A model for measuring time and memory: it says nothing sensible.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np

from common import safetensors_header, to_bf16, write_json

BLOCK = 8_388_593  # a prime: no row length divides it, so repeated values never line up in rows
SHARD = 5_000_000_000  # bytes, as save_pretrained cuts
WIDTH, HEADS, KV_HEADS, HEAD, FEED, ROWS = 2560, 8, 4, 256, 10240, 262208
TOKENIZER = ["tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
             "added_tokens.json"]


def tensors(layers):
    """(name, shape) in the order of the file."""
    yield "model.embed_tokens.weight", (ROWS, WIDTH)
    for i in range(layers):
        for name, shape in (
                ("input_layernorm", (WIDTH,)), ("mlp.down_proj", (WIDTH, FEED)), ("mlp.gate_proj", (FEED, WIDTH)),
                ("mlp.up_proj", (FEED, WIDTH)), ("post_attention_layernorm", (WIDTH,)),
                ("post_feedforward_layernorm", (WIDTH,)), ("pre_feedforward_layernorm", (WIDTH,)),
                ("self_attn.k_norm", (HEAD,)), ("self_attn.k_proj", (KV_HEADS * HEAD, WIDTH)),
                ("self_attn.o_proj", (WIDTH, HEADS * HEAD)), ("self_attn.q_norm", (HEAD,)),
                ("self_attn.q_proj", (HEADS * HEAD, WIDTH)), ("self_attn.v_proj", (KV_HEADS * HEAD, WIDTH))):
            yield f"model.layers.{i}.{name}.weight", shape
    yield "model.norm.weight", (WIDTH,)


def config(layers):
    return {
        "architectures": ["Gemma3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "attn_logit_softcapping": None, "bos_token_id": 2, "eos_token_id": [1, 106],
        "final_logit_softcapping": None, "head_dim": HEAD, "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": WIDTH, "initializer_range": 0.02, "intermediate_size": FEED,
        "max_position_embeddings": 131072, "model_type": "gemma3_text", "num_attention_heads": HEADS,
        "num_hidden_layers": layers, "num_key_value_heads": KV_HEADS, "pad_token_id": 0,
        "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000.0,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "rope_theta": 1000000.0, "sliding_window": 1024,
        "sliding_window_pattern": 6, "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0",
        "use_cache": True, "vocab_size": ROWS}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--layers", type=int, default=34)
    parser.add_argument("--seed", type=int, default=1)
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER:
        shutil.copyfile(a.tokenizer / name, a.out / name)
    write_json(a.out / "config.json", config(a.layers))
    write_json(a.out / "generation_config.json", {
        "bos_token_id": 2, "cache_implementation": "hybrid", "do_sample": True, "eos_token_id": [1, 106],
        "pad_token_id": 0, "top_k": 64, "top_p": 0.95})

    rng = np.random.default_rng(a.seed)
    noise = rng.standard_normal(BLOCK, np.float32)
    blocks = {}  # spread -> the block's bytes at that spread

    def block(spread):
        if spread not in blocks:
            blocks[spread] = memoryview(to_bf16(noise * np.float32(spread))).cast("B")
        return blocks[spread]

    shards, sizes = [[]], [0]
    for name, shape in tensors(a.layers):
        size = int(np.prod(shape)) * 2
        if sizes[-1] and sizes[-1] + size > SHARD:
            shards.append([])
            sizes.append(0)
        shards[-1].append((name, "BF16", shape, size))
        sizes[-1] += size

    places = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        with open(a.out / file, "wb") as out:
            out.write(safetensors_header(shard, {"format": "pt"}))
            for name, _, shape, size in shard:
                source = block(0.1 if len(shape) == 1 else shape[-1] ** -0.5)
                start, left = int(rng.integers(BLOCK)) * 2, size
                while left:
                    part = source[start:start + left]
                    out.write(part)
                    left -= len(part)
                    start = 0
                places[name] = file
    write_json(a.out / "model.safetensors.index.json", {
        "metadata": {"total_size": sum(sizes)}, "weight_map": dict(sorted(places.items()))})
    print(f"{a.out}: {sum(sizes)} bytes of weights in {len(shards)} shards")


if __name__ == "__main__":
    main()
