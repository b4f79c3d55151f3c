#!/usr/bin/env python3
"""Makes tiny random checkpoints, one or more for each architecture, in the formats real ones have.

    tools/golden/tiny.py OUT [NAME...]     all but the ones with heads, or those named
    tools/golden/tiny.py OUT heads         the ones with heads

Tensor names and shapes come from transformers' own model classes; values are seeded random numbers large enough to
make every part of the computation matter. config.json is written as the published checkpoints of each family
have it (old transformers spelling), or by transformers 5 itself where the case says so.
"""

import json
import shutil
import sys
import zlib
from pathlib import Path

# This folder comes after the installed packages: a script here may be named like one of them.
HERE = Path(__file__).resolve().parent
sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != HERE] + [str(HERE), str(HERE.parent / "models")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
import tiny_tokenizers as tok  # noqa: E402
from common import to_bf16, write_json, write_safetensors  # noqa: E402

SEED = 20240917


def values(name, shape, rng, shift):
    """Random values of one tensor: what matters is that no part of the computation is near zero or saturated."""
    noise = rng.standard_normal(shape).astype(np.float32)
    lower = name.lower()
    if len(shape) == 1:
        is_scale = "norm" in lower and (name.endswith("weight") or name.endswith("gamma"))
        return noise * np.float32(0.2) + np.float32(shift if is_scale else 0)
    if "embed" in lower:
        return noise * np.float32(shape[-1] ** -0.5)
    return noise * np.float32(np.prod(shape[1:]) ** -0.5)


def random_state(model, seed, norm_center):
    """{name: float32 array} for every parameter of a model built on the meta device. Tied heads are left out."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, tensor in sorted(model.state_dict().items()):
        center = 1.0 if "vision" in name else norm_center
        state[name] = values(name, tuple(tensor.shape), rng, center)
    if getattr(model.config.get_text_config(), "tie_word_embeddings", False):
        for name in ("lm_head.weight", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"):
            state.pop(name, None)
    return state


def build(cls, config):
    with torch.device("meta"):
        return getattr(transformers, cls)(config)


def stored(state, dtype):
    if dtype == "BF16":
        return {name: ("BF16", to_bf16(a)) for name, a in state.items()}
    kinds = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", np.dtype(np.int64): "I64"}
    if dtype == "F16":
        state = {name: a.astype(np.float16) for name, a in state.items()}
    return {name: (kinds[a.dtype], a) for name, a in state.items()}


def write_sharded(folder, tensors, limit):
    """model-0000i-of-0000n.safetensors and their index, each shard at most limit bytes of data."""
    shards, size = [{}], 0
    for name in sorted(tensors):
        entry = tensors[name]
        if size and size + entry[1].nbytes > limit:
            shards.append({})
            size = 0
        shards[-1][name] = entry
        size += entry[1].nbytes
    index = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        write_safetensors(folder / file, shard)
        index |= {name: file for name in shard}
    write_json(folder / "model.safetensors.index.json", {
        "metadata": {"total_size": sum(a.nbytes for _, a in tensors.values())},
        "weight_map": dict(sorted(index.items()))})


GENERATION = {"bos_token_id": 2, "do_sample": True, "eos_token_id": [1, 9], "pad_token_id": 0, "top_k": 64,
              "top_p": 0.95}
CHAT = ("{{ bos_token }}{% for m in messages %}{{ '<start_of_turn>' + m['role'] + '\\n' + m['content'] + "
        "'<end_of_turn>\\n' }}{% endfor %}")


def config_of(model_type, **changes):
    common = {"attention_dropout": 0.0, "bos_token_id": 2, "eos_token_id": 1, "initializer_range": 0.02,
              "pad_token_id": 0, "torch_dtype": "bfloat16", "transformers_version": "4.50.0", "use_cache": True}
    return {"architectures": None, **common, "model_type": model_type, **changes}


def causal(folder, cls, config, tokens, dtype="BF16", norm=0.0, rename=None, extra=None, rows=None, shard=None):
    """Writes config.json and weights. tokens: what the tokenizer has; rows: rows of the embedding, if more."""
    config = {**config, "architectures": [cls], "vocab_size": rows or tokens,
              "torch_dtype": {"BF16": "bfloat16", "F32": "float32", "F16": "float16"}[dtype]}
    settings = {k: v for k, v in config.items() if k not in ("architectures", "torch_dtype", "transformers_version")}
    model = build(cls, transformers.CONFIG_MAPPING[config["model_type"]](**json.loads(json.dumps(settings))))
    state = random_state(model, [SEED, zlib.crc32(folder.name.encode())], norm)
    if rename:
        state = {rename(name): a for name, a in state.items()}
    tensors = stored(state, dtype) | stored(extra or {}, "F32")
    write_json(folder / "config.json", config)
    if shard:
        write_sharded(folder, tensors, shard)
    else:
        write_safetensors(folder / "model.safetensors", tensors)


# Gemma 1: the real 2B has one key/value head; three heads of 16 on a width of 48.
def gemma(folder):
    write_json(folder / "generation_config.json", {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0})
    causal(folder, "GemmaForCausalLM", config_of(
        "gemma", attention_bias=False, head_dim=16, hidden_act="gelu", hidden_activation="gelu_pytorch_tanh",
        hidden_size=48, intermediate_size=96, max_position_embeddings=128, num_attention_heads=3,
        num_hidden_layers=2, num_key_value_heads=1, rms_norm_eps=1e-06, rope_scaling=None, rope_theta=10000.0),
        tok.gemma(folder, 480))


def gemma2(folder, scale=32, dtype="BF16", layers=3):
    write_json(folder / "generation_config.json", {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0})
    causal(folder, "Gemma2ForCausalLM", config_of(
        "gemma2", attention_bias=False, attn_logit_softcapping=50.0, cache_implementation="hybrid",
        final_logit_softcapping=30.0, head_dim=32, hidden_act="gelu_pytorch_tanh",
        hidden_activation="gelu_pytorch_tanh", hidden_size=64, intermediate_size=112, max_position_embeddings=128,
        num_attention_heads=4, num_hidden_layers=layers, num_key_value_heads=2, query_pre_attn_scalar=scale,
        rms_norm_eps=1e-06, rope_theta=10000.0, sliding_window=16, sliding_window_size=16),
        tok.gemma(folder, 480), dtype=dtype)


def gemma3_config(layers, **changes):
    return config_of(
        "gemma3_text", attention_bias=False, attn_logit_softcapping=None, final_logit_softcapping=None,
        head_dim=16, hidden_activation="gelu_pytorch_tanh", hidden_size=40, intermediate_size=72,
        max_position_embeddings=256, num_attention_heads=4, num_hidden_layers=layers, num_key_value_heads=1,
        rms_norm_eps=1e-06, rope_local_base_freq=10000.0, rope_theta=1000000.0, sliding_window=16) | changes


# Gemma 3 text with the tokenizer trap of the real ones (an image token past the last row) and a model card.
def gemma3(folder):
    (folder / "README.md").write_text(
        "---\nlicense: gemma\nlibrary_name: transformers\npipeline_tag: text-generation\nlanguage:\n- en\n- fr\n"
        "base_model: example-org/tiny-gemma-3-pt\ntags:\n- gemma3\n- medical\n---\n# Tiny Gemma 3\n",
        encoding="utf-8")
    write_json(folder / "generation_config.json", {"cache_implementation": "hybrid", **GENERATION})
    causal(folder, "Gemma3ForCausalLM", gemma3_config(
        7, query_pre_attn_scalar=16, rope_scaling=None, sliding_window_pattern=6, eos_token_id=[1, 9]),
        tok.gemma(folder, 480, chat_template=CHAT, image=True))


def gemma3_scale(folder):
    causal(folder, "Gemma3ForCausalLM", gemma3_config(
        2, query_pre_attn_scalar=24, _sliding_window_pattern=6, layer_types=["sliding_attention"] * 2,
        rope_scaling=None, use_bidirectional_attention=False), tok.gemma(folder, 480), dtype="F32")


def gemma3_linear(folder):
    causal(folder, "Gemma3ForCausalLM", gemma3_config(
        6, query_pre_attn_scalar=16, rope_scaling={"factor": 8.0, "rope_type": "linear"},
        sliding_window_pattern=6, num_key_value_heads=2), tok.gemma(folder, 480))


def gemma3_json(folder):
    """No tokenizer.model, as transformers 5 leaves it: the pieces have to come from tokenizer.json."""
    causal(folder, "Gemma3ForCausalLM", gemma3_config(
        1, query_pre_attn_scalar=16, rope_scaling=None, sliding_window_pattern=6),
        tok.gemma(folder, 480, only_json=True))


def gemma3_head(folder):
    """A head of its own under a configuration that ties it, as some fine-tunes are: transformers uses the head."""
    tokens = tok.gemma(folder, 480)
    head = values("lm_head.weight", (tokens, 40), np.random.default_rng([SEED, 13]), 0)
    causal(folder, "Gemma3ForCausalLM", gemma3_config(
        2, query_pre_attn_scalar=16, rope_scaling=None, sliding_window_pattern=6, tie_word_embeddings=True),
        tokens, extra={"lm_head.weight": head})


TEXT_PART = {"head_dim": 16, "hidden_size": 40, "intermediate_size": 72, "max_position_embeddings": 256,
             "model_type": "gemma3_text", "num_attention_heads": 4, "num_hidden_layers": 2,
             "num_key_value_heads": 2, "query_pre_attn_scalar": 16,
             "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 16}
# Width 72 is 1152 / 16, feed-forward 140 is no multiple of 32, as 4304 is not.
VISION_PART = {"hidden_size": 72, "image_size": 56, "intermediate_size": 140, "model_type": "siglip_vision_model",
               "num_attention_heads": 2, "num_hidden_layers": 2, "patch_size": 14, "vision_use_head": False}


def old_names(name):
    """transformers 5 name in memory -> the name Google's checkpoints have (transformers 4.50)."""
    for new, old in (("model.language_model.", "language_model.model."),
                     ("model.vision_tower.", "vision_tower.vision_model."),
                     ("model.multi_modal_projector.", "multi_modal_projector.")):
        if name.startswith(new):
            return old + name[len(new):]
    return name


def middle_names(name):
    """The names modules have in memory since transformers 4.52, which fine-tuning tools saved as they are."""
    return name.replace("model.vision_tower.", "model.vision_tower.vision_model.")


def gemma3_multimodal(folder, rename):
    tokens = tok.gemma(folder, 480, chat_template=CHAT, image=True)
    write_json(folder / "generation_config.json", {"cache_implementation": "hybrid", **GENERATION})
    write_json(folder / "chat_template.json", {"chat_template": CHAT})
    write_json(folder / "preprocessor_config.json", {
        "do_convert_rgb": None, "do_normalize": True, "do_pan_and_scan": None, "do_rescale": True,
        "do_resize": True, "image_mean": [0.5, 0.5, 0.5], "image_processor_type": "Gemma3ImageProcessor",
        "image_seq_length": 4, "image_std": [0.5, 0.5, 0.5], "pan_and_scan_max_num_crops": None,
        "pan_and_scan_min_crop_size": None, "pan_and_scan_min_ratio_to_activate": None,
        "processor_class": "Gemma3Processor", "resample": 2, "rescale_factor": 0.00392156862745098,
        "size": {"height": 56, "width": 56}})
    write_json(folder / "processor_config.json", {"image_seq_length": 4, "processor_class": "Gemma3Processor"})
    text = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    config = {"architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": text["<start_of_image>"],
              "eoi_token_index": text["<end_of_image>"], "eos_token_id": [1, 9], "image_token_index": tokens,
              "initializer_range": 0.02, "mm_tokens_per_image": 4, "model_type": "gemma3",
              "text_config": {**TEXT_PART, "vocab_size": tokens + 64}, "torch_dtype": "bfloat16",
              "transformers_version": "4.50.0.dev0", "vision_config": VISION_PART}
    settings = json.loads(json.dumps(config))
    del settings["torch_dtype"], settings["transformers_version"]
    model = build("Gemma3ForConditionalGeneration", transformers.Gemma3Config(**settings))
    state = random_state(model, [SEED, zlib.crc32(b"gemma3-multimodal")], 0.0)
    if rename:
        write_json(folder / "config.json", config)
        write_safetensors(folder / "model.safetensors",
                          stored({rename(name): a for name, a in state.items()}, "BF16"))
        return
    # As transformers 5 saves it: its own config.json, names and generation_config.json.
    (folder / "chat_template.json").unlink()
    (folder / "chat_template.jinja").write_text(CHAT, encoding="utf-8")
    model = transformers.Gemma3ForConditionalGeneration(transformers.Gemma3Config(**settings))
    model.load_state_dict({name: torch.from_numpy(a) for name, a in state.items()}, strict=False)
    model.to(torch.bfloat16).save_pretrained(folder)


def embedding_gemma(folder):
    """Gemma3TextModel without a name prefix, with the dense heads and pooling of sentence-transformers.

    Six layers, so that one is global: llama.cpp aborts on an encoder whose layers all slide."""
    causal(folder, "Gemma3TextModel", gemma3_config(
        6, query_pre_attn_scalar=16, rope_scaling=None, _sliding_window_pattern=6,
        layer_types=["sliding_attention"] * 5 + ["full_attention"], use_bidirectional_attention=True, use_cache=True),
        tok.gemma(folder, 480), dtype="F32")
    modules = ["models.Transformer", "models.Pooling", "models.Dense", "models.Dense", "models.Normalize"]
    paths = ["", "1_Pooling", "2_Dense", "3_Dense", "4_Normalize"]
    write_json(folder / "modules.json", [
        {"idx": i, "name": str(i), "path": path, "type": "sentence_transformers." + kind}
        for i, (kind, path) in enumerate(zip(modules, paths))])
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 128, "do_lower_case": False})
    pooling(folder, 40)
    rng = np.random.default_rng([SEED, 7])
    for path, size_in, size_out in (("2_Dense", 40, 96), ("3_Dense", 96, 40)):
        (folder / path).mkdir()
        write_json(folder / path / "config.json", {
            "in_features": size_in, "out_features": size_out, "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity"})
        weight = values("linear.weight", (size_out, size_in), rng, 0)
        write_safetensors(folder / path / "model.safetensors", {"linear.weight": ("F32", weight)})


def sentence_modules(folder, *kinds):
    write_json(folder / "modules.json", [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": "sentence_transformers.models." + kind}
        for i, kind in enumerate(kinds)])


def pooling(folder, width, mode="mean_tokens"):
    (folder / "1_Pooling").mkdir()
    modes = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens"]
    write_json(folder / "1_Pooling" / "config.json", {
        "word_embedding_dimension": width, **{f"pooling_mode_{m}": m == mode for m in modes}})


def bert_config(**changes):
    return {"attention_probs_dropout_prob": 0.1, "classifier_dropout": None, "gradient_checkpointing": False,
            "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 36, "initializer_range": 0.02,
            "intermediate_size": 80, "layer_norm_eps": 1e-12, "max_position_embeddings": 64, "model_type": "bert",
            "num_attention_heads": 3, "num_hidden_layers": 2, "pad_token_id": 0,
            "position_embedding_type": "absolute", "transformers_version": "4.8.2", "type_vocab_size": 2,
            "use_cache": True, "torch_dtype": "float32"} | changes


def bert_uncased(folder):
    """What sentence-transformers publishes: BertModel, mean pooling, I64 position_ids among the weights."""
    causal(folder, "BertModel", bert_config(), tok.bert(folder), dtype="F32", norm=1.0,
           extra={"embeddings.position_ids": np.arange(64)[None]})
    sentence_modules(folder, "Transformer", "Pooling", "Normalize")
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 32, "do_lower_case": False})
    pooling(folder, 36)


def old_layer_norm(name):
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def bert_cased(folder):
    """Names with `bert.`, a masked-language head, a pooler and LayerNorm gamma/beta, as BERT's first ports."""
    rng = np.random.default_rng([SEED, 11])
    extra = {"bert.embeddings.position_ids": np.arange(64)[None],
             "bert.pooler.dense.weight": values("dense", (36, 36), rng, 0),
             "bert.pooler.dense.bias": values("bias", (36,), rng, 0),
             "cls.seq_relationship.weight": values("dense", (2, 36), rng, 0),
             "cls.seq_relationship.bias": values("bias", (2,), rng, 0)}
    causal(folder, "BertForMaskedLM", bert_config(tie_word_embeddings=True), tok.bert(folder, lowercase=False),
           dtype="F32", norm=1.0, rename=old_layer_norm, extra=extra)


def bert_vocabulary(folder):
    """Only vocab.txt and a short tokenizer_config.json, F16 weights: how clinical BERTs were published."""
    causal(folder, "BertModel", bert_config(num_hidden_layers=1), tok.bert(folder, lowercase=False,
           only_vocabulary=True), dtype="F16", norm=1.0)


def bert_sequence(folder):
    """A classifier of whole texts on the pooler, three labels: how a fine-tune for triage looks."""
    causal(folder, "BertForSequenceClassification", bert_config(
        id2label={"0": "routine", "1": "urgent", "2": "emergency"},
        label2id={"routine": 0, "urgent": 1, "emergency": 2}, num_hidden_layers=3, num_attention_heads=4,
        problem_type="single_label_classification"), tok.bert(folder), dtype="F32", norm=1.0)


def bert_tokens(folder):
    """A classifier of tokens, no pooler, F16: named entities in clinical notes."""
    labels = ["O", "B-PROBLEM", "I-PROBLEM", "B-DRUG", "I-DRUG"]
    causal(folder, "BertForTokenClassification", bert_config(
        id2label={str(i): label for i, label in enumerate(labels)},
        label2id={label: i for i, label in enumerate(labels)}), tok.bert(folder, lowercase=False), dtype="F16", norm=1.0)


def bert_masked(folder):
    """A masked-word head that is not tied, with a decoder and a bias of its own beside the one that is then not used; and mean
    pooling without Normalize."""
    causal(folder, "BertForMaskedLM", bert_config(tie_word_embeddings=False), tok.bert(folder), dtype="F32", norm=1.0)
    sentence_modules(folder, "Transformer", "Pooling")
    pooling(folder, 36)


def bert_pubmed(folder):
    """PubMedBERT: a vocabulary of its own whose special tokens come first, in another order than BERT's; lower case;
    a masked-word head, a pooler, and neither modules nor dropout settings of newer releases."""
    rng = np.random.default_rng([SEED, 17])
    extra = {"bert.pooler.dense.weight": values("dense", (36, 36), rng, 0),
             "bert.pooler.dense.bias": values("bias", (36,), rng, 0),
             "cls.seq_relationship.weight": values("dense", (2, 36), rng, 0),
             "cls.seq_relationship.bias": values("bias", (2,), rng, 0)}
    config = bert_config()
    for key in ("classifier_dropout", "gradient_checkpointing", "position_embedding_type", "use_cache"):
        del config[key]
    causal(folder, "BertForMaskedLM", config, tok.bert(folder, special=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]),
           dtype="F32", norm=1.0, extra=extra)


def llama(folder):
    """Llama 2: SentencePiece, untied head, grouped heads, inv_freq buffers as old checkpoints carry them."""
    buffers = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq":
               (10000.0 ** (-np.arange(0, 24, 2) / 24)).astype(np.float32) for i in range(2)}
    write_json(folder / "generation_config.json", {"_from_model_config": True, "bos_token_id": 1, "eos_token_id": 2})
    causal(folder, "LlamaForCausalLM", config_of(
        "llama", bos_token_id=1, eos_token_id=2, attention_bias=False, hidden_act="silu", hidden_size=72,
        intermediate_size=104, max_position_embeddings=128, mlp_bias=False, num_attention_heads=3,
        num_hidden_layers=2, num_key_value_heads=3, pretraining_tp=1, rms_norm_eps=1e-05, rope_scaling=None,
        rope_theta=10000.0, tie_word_embeddings=False, pad_token_id=None), tok.llama_sentencepiece(folder),
        dtype="F16", norm=1.0, extra=buffers)


def llama3(folder):
    tokens = tok.llama3(folder)
    ids = {"bos_token_id": 420, "eos_token_id": [421, 425]}
    write_json(folder / "generation_config.json", {**ids, "do_sample": True, "temperature": 0.6, "top_p": 0.9})
    causal(folder, "LlamaForCausalLM", config_of(
        "llama", **ids, attention_bias=False, head_dim=16, hidden_act="silu", hidden_size=64,
        intermediate_size=96, max_position_embeddings=131072, mlp_bias=False, num_attention_heads=4,
        num_hidden_layers=2, num_key_value_heads=2, pretraining_tp=1, rms_norm_eps=1e-05, rope_theta=500000.0,
        rope_scaling={"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                      "original_max_position_embeddings": 8192, "rope_type": "llama3"},
        tie_word_embeddings=True, pad_token_id=None), tokens, norm=1.0)


def mistral(folder):
    causal(folder, "MistralForCausalLM", config_of(
        "mistral", bos_token_id=1, eos_token_id=2, hidden_act="silu", hidden_size=64, intermediate_size=96,
        max_position_embeddings=256, num_attention_heads=4, num_hidden_layers=2, num_key_value_heads=1,
        rms_norm_eps=1e-05, rope_theta=1000000.0, sliding_window=None, tie_word_embeddings=False,
        pad_token_id=None), tok.llama_sentencepiece(folder), norm=1.0)


def qwen2(folder):
    """Biases, a tied head, and more rows than the tokenizer has tokens, as all of Qwen's."""
    tokens = tok.qwen2(folder)
    write_json(folder / "generation_config.json", {"bos_token_id": 400, "eos_token_id": [402, 400],
                                                   "pad_token_id": 400, "repetition_penalty": 1.1})
    causal(folder, "Qwen2ForCausalLM", config_of(
        "qwen2", bos_token_id=400, eos_token_id=402, hidden_act="silu", hidden_size=56, intermediate_size=96,
        max_position_embeddings=256, max_window_layers=2, num_attention_heads=7, num_hidden_layers=2,
        num_key_value_heads=1, rms_norm_eps=1e-06, rope_theta=1000000.0, sliding_window=256,
        tie_word_embeddings=True, use_sliding_window=False, pad_token_id=None), tokens, norm=1.0, rows=416)


def qwen3(folder):
    """Query and key norms, width 256 (every k-quant applies), untied, in three shards."""
    tokens = tok.qwen2(folder, thinking=True)
    causal(folder, "Qwen3ForCausalLM", config_of(
        "qwen3", bos_token_id=400, eos_token_id=402, attention_bias=False, head_dim=64, hidden_act="silu",
        hidden_size=256, intermediate_size=256, max_position_embeddings=256, max_window_layers=2,
        num_attention_heads=4, num_hidden_layers=2, num_key_value_heads=2, rms_norm_eps=1e-06, rope_scaling=None,
        rope_theta=1000000.0, sliding_window=None, tie_word_embeddings=False, use_sliding_window=False,
        pad_token_id=None), tokens, norm=1.0, rows=416, shard=900_000)


CASES = {
    "gemma": gemma, "gemma2": gemma2,
    "gemma2-scale": lambda folder: gemma2(folder, scale=24, dtype="F32", layers=2),
    "gemma3": gemma3, "gemma3-scale": gemma3_scale, "gemma3-linear": gemma3_linear,
    "gemma3-json": gemma3_json, "gemma3-head": gemma3_head,
    "gemma3-multimodal-old": lambda folder: gemma3_multimodal(folder, old_names),
    "gemma3-multimodal-middle": lambda folder: gemma3_multimodal(folder, middle_names),
    "gemma3-multimodal-new": lambda folder: gemma3_multimodal(folder, None),
    "embedding-gemma": embedding_gemma, "bert-uncased": bert_uncased, "bert-cased": bert_cased,
    "bert-vocabulary": bert_vocabulary, "bert-pubmed": bert_pubmed, "llama": llama, "llama3": llama3,
    "mistral": mistral, "qwen2": qwen2, "qwen3": qwen3}
# Checkpoints with heads that a GGUF does not hold.
HEADS = {"bert-sequence": bert_sequence, "bert-tokens": bert_tokens, "bert-masked": bert_masked}


def main(arguments):
    every = CASES | HEADS
    if arguments[1:] == ["heads"]:
        arguments = [arguments[0], *HEADS]
    if not arguments or any(name not in every for name in arguments[1:]):
        raise SystemExit(f"{__doc__}\nnames: {' '.join(every)}")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    for name in arguments[1:] or CASES:
        folder = Path(arguments[0]) / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        every[name](folder)
        print(f"{name}: {sum(p.stat().st_size for p in folder.rglob('*') if p.is_file())} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
