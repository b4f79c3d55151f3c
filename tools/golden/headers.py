#!/usr/bin/env python3
"""Writes header-only fixtures of published checkpoints at full size: names, shapes, types and config.json.

    tools/golden/headers.py OUT [NAME...]

Shapes follow from the public config.json of each model: transformers' own classes are built on the meta device, so
no weights are needed. Layers are folded: a tensor of every layer is written once with {i}. The format is
described in golden/README.md.
"""

import json
import re
import sys
from pathlib import Path

# This folder comes after the installed packages: a script here may be named like one of them.
HERE = Path(__file__).resolve().parent
sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != HERE] + [str(HERE), str(HERE.parent / "models")]

import torch  # noqa: E402
import transformers  # noqa: E402
from tiny import middle_names, old_layer_norm, old_names  # noqa: E402

GEMMA = {"attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 2, "eos_token_id": 1, "head_dim": 256,
         "initializer_range": 0.02, "model_type": "gemma", "pad_token_id": 0, "rms_norm_eps": 1e-06,
         "rope_scaling": None, "rope_theta": 10000.0, "use_cache": True, "vocab_size": 256000,
         "hidden_act": "gelu", "hidden_activation": None, "max_position_embeddings": 8192,
         "torch_dtype": "bfloat16", "transformers_version": "4.38.0.dev0"}
GEMMA3 = {"attention_bias": False, "attention_dropout": 0.0, "attn_logit_softcapping": None, "bos_token_id": 2,
          "cache_implementation": "hybrid", "eos_token_id": [1, 106], "final_logit_softcapping": None,
          "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh", "initializer_range": 0.02,
          "model_type": "gemma3_text", "pad_token_id": 0, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06,
          "rope_local_base_freq": 10000, "rope_scaling": None, "rope_theta": 1000000, "sliding_window": 512,
          "sliding_window_pattern": 6, "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0",
          "use_cache": True, "vocab_size": 262144}
SIGLIP = {"hidden_size": 1152, "image_size": 896, "intermediate_size": 4304, "model_type": "siglip_vision_model",
          "num_attention_heads": 16, "num_hidden_layers": 27, "patch_size": 14, "vision_use_head": False}
MULTIMODAL = {"boi_token_index": 255999, "eoi_token_index": 256000, "eos_token_id": [1, 106],
              "image_token_index": 262144, "initializer_range": 0.02, "mm_tokens_per_image": 256,
              "model_type": "gemma3", "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0",
              "vision_config": SIGLIP}
# The published config.json of the 4B says only this about its text part; the rest are the class's defaults.
TEXT_4B = {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34,
           "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024}
TEXT_27B = {"head_dim": 128, "hidden_size": 5376, "intermediate_size": 21504, "model_type": "gemma3_text",
            "num_attention_heads": 32, "num_hidden_layers": 62, "num_key_value_heads": 16,
            "query_pre_attn_scalar": 168, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024}
BERT = {"attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768,
        "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512, "model_type": "bert", "num_attention_heads": 12, "num_hidden_layers": 12,
        "type_vocab_size": 2, "vocab_size": 28996}


def same(name):
    return name


# name: (class, config, renaming or "saved" for what transformers 5 writes, type of the weights, extra tensors)
MODELS = {
    "gemma-2b": ("GemmaForCausalLM", GEMMA | {
        "hidden_size": 2048, "intermediate_size": 16384, "num_attention_heads": 8, "num_hidden_layers": 18,
        "num_key_value_heads": 1}, same, "BF16", {}),
    "gemma-7b": ("GemmaForCausalLM", GEMMA | {
        "hidden_size": 3072, "intermediate_size": 24576, "num_attention_heads": 16, "num_hidden_layers": 28,
        "num_key_value_heads": 16}, same, "BF16", {}),
    "gemma-2-2b": ("Gemma2ForCausalLM", {
        "attention_bias": False, "attention_dropout": 0.0, "attn_logit_softcapping": 50.0, "bos_token_id": 2,
        "cache_implementation": "hybrid", "eos_token_id": 1, "final_logit_softcapping": 30.0, "head_dim": 256,
        "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2304,
        "initializer_range": 0.02, "intermediate_size": 9216, "max_position_embeddings": 8192,
        "model_type": "gemma2", "num_attention_heads": 8, "num_hidden_layers": 26, "num_key_value_heads": 4,
        "pad_token_id": 0, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_theta": 10000.0,
        "sliding_window": 4096, "torch_dtype": "float32", "transformers_version": "4.42.4", "use_cache": True,
        "vocab_size": 256000}, same, "F32", {}),
    "gemma-3-270m": ("Gemma3ForCausalLM", GEMMA3 | {
        "hidden_size": 640, "intermediate_size": 2048, "max_position_embeddings": 32768, "num_attention_heads": 4,
        "num_hidden_layers": 18, "num_key_value_heads": 1}, same, "BF16", {}),
    "gemma-3-1b-it": ("Gemma3ForCausalLM", GEMMA3 | {
        "hidden_size": 1152, "intermediate_size": 6912, "max_position_embeddings": 32768, "num_attention_heads": 4,
        "num_hidden_layers": 26, "num_key_value_heads": 1}, same, "BF16", {}),
    "gemma-3-4b-it": ("Gemma3ForConditionalGeneration", MULTIMODAL | {"text_config": TEXT_4B}, old_names,
                      "BF16", {}),
    "medgemma-4b-it": ("Gemma3ForConditionalGeneration", MULTIMODAL | {"text_config": TEXT_4B}, old_names,
                       "BF16", {}),
    "medgemma-4b-it-finetuned": ("Gemma3ForConditionalGeneration", MULTIMODAL | {"text_config": TEXT_4B},
                                 middle_names, "BF16", {}),
    "medgemma-4b-it-transformers5": ("Gemma3ForConditionalGeneration", MULTIMODAL | {"text_config": TEXT_4B},
                                     "saved", "BF16", {}),
    "medgemma-27b-it": ("Gemma3ForConditionalGeneration", MULTIMODAL | {"text_config": TEXT_27B},
                        old_names, "BF16", {}),
    "medgemma-27b-text-it": ("Gemma3ForCausalLM", GEMMA3 | TEXT_27B | {
        "max_position_embeddings": 131072, "vocab_size": 262144}, same, "BF16", {}),
    "embeddinggemma-300m": ("Gemma3TextModel", {k: v for k, v in GEMMA3.items() if k != "sliding_window_pattern"} | {
        "_sliding_window_pattern": 6, "eos_token_id": 1, "hidden_size": 768, "intermediate_size": 1152,
        "max_position_embeddings": 2048, "num_attention_heads": 3, "num_hidden_layers": 24,
        "num_key_value_heads": 1, "use_bidirectional_attention": True, "torch_dtype": "float32",
        "layer_types": ["full_attention" if i % 6 == 5 else "sliding_attention" for i in range(24)]},
        same, "F32", {"2_Dense/linear.weight": [3072, 768], "3_Dense/linear.weight": [768, 3072]}),
    "all-MiniLM-L6-v2": ("BertModel", BERT | {
        "hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6, "vocab_size": 30522,
        "gradient_checkpointing": False, "pad_token_id": 0, "position_embedding_type": "absolute",
        "transformers_version": "4.8.2", "use_cache": True}, same, "F32",
        {"embeddings.position_ids": ("I64", [1, 512])}),
    # Old ports: no `architectures` in config.json, `bert.` names and LayerNorm gamma/beta.
    "biobert-base-cased-v1.1": (None, BERT, old_layer_norm, "F32", {}),
    "Bio_ClinicalBERT": (None, BERT, old_layer_norm, "F32", {}),
    "llama-3.1-8b": ("LlamaForCausalLM", {
        "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 128000, "eos_token_id": 128001,
        "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336,
        "max_position_embeddings": 131072, "mlp_bias": False, "model_type": "llama", "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
        "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 8192, "rope_type": "llama3"},
        "rope_theta": 500000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "transformers_version": "4.43.0.dev0", "use_cache": True, "vocab_size": 128256}, same, "BF16", {}),
    "mistral-7b-v0.3": ("MistralForCausalLM", {
        "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096,
        "initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 32768,
        "model_type": "mistral", "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
        "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": None, "tie_word_embeddings": False,
        "torch_dtype": "bfloat16", "transformers_version": "4.42.0.dev0", "use_cache": True,
        "vocab_size": 32768}, same, "BF16", {}),
    "qwen2.5-7b": ("Qwen2ForCausalLM", {
        "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151643, "hidden_act": "silu",
        "hidden_size": 3584, "initializer_range": 0.02, "intermediate_size": 18944,
        "max_position_embeddings": 131072, "max_window_layers": 28, "model_type": "qwen2",
        "num_attention_heads": 28, "num_hidden_layers": 28, "num_key_value_heads": 4, "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0, "sliding_window": 131072, "tie_word_embeddings": False,
        "torch_dtype": "bfloat16", "transformers_version": "4.40.1", "use_cache": True, "use_mrope": False,
        "use_sliding_window": False, "vocab_size": 152064}, same, "BF16", {}),
    "qwen3-8b": ("Qwen3ForCausalLM", {
        "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151645,
        "head_dim": 128, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
        "intermediate_size": 12288, "max_position_embeddings": 40960, "max_window_layers": 36,
        "model_type": "qwen3", "num_attention_heads": 32, "num_hidden_layers": 36, "num_key_value_heads": 8,
        "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 1000000, "sliding_window": None,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "transformers_version": "4.51.0",
        "use_cache": True, "use_sliding_window": False, "vocab_size": 151936}, same, "BF16", {}),
}


def saved_names(name):
    """What transformers 5 writes for a multimodal Gemma 3: old prefixes, but no vision_model in the tower."""
    return old_names(name).replace("vision_tower.vision_model.", "vision_tower.")


def parse(config):
    settings = {k: v for k, v in config.items() if k not in ("torch_dtype", "transformers_version")}
    return transformers.CONFIG_MAPPING[config["model_type"]](**json.loads(json.dumps(settings)))


def shapes(cls, parsed, rename):
    with torch.device("meta"):
        model = getattr(transformers, cls)(parsed)
    tied = getattr(parsed.get_text_config(), "tie_word_embeddings", False)
    for name, tensor in model.state_dict().items():
        if tied and name in ("lm_head.weight", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"):
            continue
        yield rename(name), list(tensor.shape)


def folded(tensors):
    """Joins the tensors that every layer has: the first number in a name becomes {i}."""
    groups = {}
    for name, kind, shape in tensors:
        pattern, count = re.subn(r"\.(\d+)\.", ".{i}.", name, count=1)
        index = int(re.search(r"\.(\d+)\.", name).group(1)) if count else None
        groups.setdefault((pattern, kind, tuple(shape)), []).append(index)
    result = []
    for (pattern, kind, shape), layers in groups.items():
        entry = {"name": pattern, "dtype": kind, "shape": list(shape)}
        if layers != [None]:
            if layers != list(range(len(layers))):
                raise SystemExit(f"{pattern}: layers {layers} are not 0, 1, 2, …")
            entry["layers"] = len(layers)
        result.append(entry)
    return result


def write(path, name, cls, config, rename, kind, extra):
    built = cls or "BertForPreTraining"
    parsed = parse(config)
    tensors = [(n, kind, shape) for n, shape in shapes(built, parsed, saved_names if rename == "saved" else rename)]
    if rename == "saved":
        parsed.dtype = "bfloat16"
        config = json.loads(parsed.to_json_string())  # what save_pretrained writes
    for extra_name, value in extra.items():
        tensors.append((extra_name, *value) if isinstance(value, tuple) else (extra_name, kind, value))
    parts = [f'  "checkpoint": {json.dumps(name)}',
             '  "config": ' + json.dumps(({"architectures": [cls]} if cls else {}) | config),
             '  "tensors": [' + ",".join("\n    " + json.dumps(t) for t in folded(tensors)) + "\n  ]"]
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
    count = 0
    for _, _, shape in tensors:
        size = 1
        for n in shape:
            size *= n
        count += size
    print(f"{name}: {len(tensors)} tensors, {count / 1e9:.3f} billion values")


def main(arguments):
    if not arguments or any(name not in MODELS for name in arguments[1:]):
        raise SystemExit(f"{__doc__}\nnames: {' '.join(MODELS)}")
    transformers.utils.logging.set_verbosity_error()
    out = Path(arguments[0])
    out.mkdir(parents=True, exist_ok=True)
    for name in arguments[1:] or MODELS:
        write(out / f"{name}.json", name, *MODELS[name])


if __name__ == "__main__":
    main(sys.argv[1:])
