#!/usr/bin/env python3
"""Random settings of every architecture: what transformers computes, what stock llama.cpp computes from our file, what we compute.

    tools/check/random_models.py --tincture PROGRAM [--count N] [--seed S] [--only FAMILY] [--case NUMBER] [--keep FOLDER]

Each case draws a family, shapes, and settings as publishers write them, odd ones among them (rotary scalings, window patterns,
activations, scales, biases, spellings old and new), and makes a tiny random checkpoint with transformers. tincture must convert
it so that unmodified llama.cpp and our runtime give transformers' logits, or refuse it with one error. A file that is written
and says something else is the fault this looks for. Run it with the environment of `tools/python.sh golden models`.
"""

import argparse
import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parent
sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != HERE] + [
    str(HERE), str(TOOLS / "golden"), str(TOOLS / "models")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from common import write_json, write_safetensors  # noqa: E402
from float64 import load  # noqa: E402
from measures import nmse  # noqa: E402
from tiny import build, random_state, stored  # noqa: E402

MODELS = TOOLS.parent / "golden" / "models"
TOKENS = 72
# F16 keys and values put llama.cpp's F32 files 1e-7 to 3e-5 from transformers (the most at a width of 8); our runtime computes
# in double, transformers here in float32.
STOCK, OWN = 1e-4, 1e-8


class Draw:
    """Random choices that tell what they chose."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def one(self, *values):
        return values[self.rng.integers(len(values))]

    def maybe(self, chance):
        return self.rng.random() < chance


def scalings(draw, length):
    """A rotary scaling, as config.json may have it."""
    return draw.one(
        {"rope_type": "linear", "factor": draw.one(2.0, 4.0, 8.0)},
        {"type": "linear", "factor": 4.0},
        {"type": "dynamic", "factor": 2.0},
        {"rope_type": "dynamic", "factor": 4.0},
        {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
         "original_max_position_embeddings": draw.one(64, 8192)},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": draw.one(64, length)},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "attention_factor": 1.2},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 16.0, "beta_slow": 2.0},
        {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 64, "mscale": 0.7, "mscale_all_dim": 1.0},
        {"rope_type": "default"})


def rotary(draw, config, family):
    """Adds a rotary scaling now and then, spelled as old or new transformers do."""
    if not draw.maybe(0.5):
        return
    scaling = scalings(draw, config["max_position_embeddings"])
    if draw.maybe(0.3) and family not in ("gemma3",):
        del config["rope_theta"]
        config["rope_parameters"] = {"rope_theta": draw.one(10000.0, 500000.0), **scaling}
    else:
        config["rope_scaling"] = scaling


def common(draw, model_type, **changes):
    heads = draw.one(1, 2, 3, 4, 6)
    kv = draw.one(*[n for n in (1, 2, 3, 4, 6) if heads % n == 0])
    size = draw.one(8, 16, 24, 32)
    config = {
        "model_type": model_type, "hidden_act": "silu", "hidden_size": heads * size, "num_attention_heads": heads,
        "num_key_value_heads": kv, "intermediate_size": draw.one(40, 64, 96), "num_hidden_layers": draw.one(1, 2, 3),
        "max_position_embeddings": draw.one(128, 256, 4096), "rms_norm_eps": draw.one(1e-6, 1e-5, 1e-2),
        "rope_theta": draw.one(10000.0, 500000.0, 1e6), "tie_word_embeddings": draw.one(True, False),
        "bos_token_id": 2, "eos_token_id": 1, "torch_dtype": "float32", "attention_dropout": 0.0,
        "initializer_range": 0.02, "use_cache": True, "transformers_version": draw.one("4.40.0", "4.57.1", "5.0.0")}
    return config | changes


def llama(draw):
    config = common(draw, draw.one("llama", "llama", "mistral"), bos_token_id=1, eos_token_id=2)
    if draw.maybe(0.4):
        config["head_dim"] = draw.one(8, 16, 32, 48, None)
    if draw.maybe(0.25):
        config["attention_bias"] = True
    if draw.maybe(0.15):
        config["mlp_bias"] = True
    if draw.maybe(0.15):
        config["hidden_act"] = draw.one("gelu", "relu", "gelu_pytorch_tanh", "swish")
    if draw.maybe(0.1):
        config["pretraining_tp"] = draw.one(1, 2)
    if draw.maybe(0.1):
        config["partial_rotary_factor"] = 0.5
    if config["model_type"] == "mistral":
        config["sliding_window"] = draw.one(None, 16, 4096)
    rotary(draw, config, "llama")
    return config, "MistralForCausalLM" if config["model_type"] == "mistral" else "LlamaForCausalLM", "llama", 1.0


def qwen(draw):
    kind = draw.one("qwen2", "qwen3")
    config = common(draw, kind, bos_token_id=400, eos_token_id=402)
    if kind == "qwen3" or draw.maybe(0.2):
        config["head_dim"] = draw.one(8, 16, 32)
    if draw.maybe(0.3):
        config |= {"use_sliding_window": draw.one(True, False), "sliding_window": draw.one(16, 256),
                   "max_window_layers": draw.one(0, 1, 2, 28)}
    if draw.maybe(0.2):
        config["layer_types"] = [draw.one("full_attention", "sliding_attention") for _ in range(config["num_hidden_layers"])]
        config |= {"sliding_window": 16, "use_sliding_window": draw.one(True, False)}
    if kind == "qwen3" and draw.maybe(0.2):
        config["attention_bias"] = True
    if draw.maybe(0.1):
        config["hidden_act"] = draw.one("gelu", "relu")
    rotary(draw, config, "qwen")
    return config, {"qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}[kind], "qwen2", 1.0


def gemma(draw):
    kind = draw.one("gemma", "gemma2", "gemma2", "gemma3_text", "gemma3_text", "gemma3_text")
    config = common(draw, kind, head_dim=draw.one(8, 16, 32), hidden_activation="gelu_pytorch_tanh")
    del config["hidden_act"]
    if not draw.maybe(0.15):
        config["tie_word_embeddings"] = True
    if draw.maybe(0.3):
        del config["tie_word_embeddings"]
    if draw.maybe(0.1):
        config["hidden_activation"] = draw.one("gelu", "relu", "silu", None)
    if draw.maybe(0.1):
        config["attention_bias"] = True
    layers = config["num_hidden_layers"]
    if kind != "gemma":
        layers = config["num_hidden_layers"] = draw.one(1, 2, 3, 6, 7)
        config |= {"query_pre_attn_scalar": draw.one(config["head_dim"], config["head_dim"], 24, 7.5), "sliding_window": draw.one(4, 16, 512)}
        if draw.maybe(0.4):
            config["layer_types"] = draw.one(
                ["full_attention" if (i + 1) % 6 == 0 else "sliding_attention" for i in range(layers)],
                ["sliding_attention" if i % 2 == 0 else "full_attention" for i in range(layers)],
                [draw.one("full_attention", "sliding_attention") for _ in range(layers)])
    if kind == "gemma2":
        config |= {"attn_logit_softcapping": draw.one(50.0, 50.0, 20.0, None), "final_logit_softcapping": draw.one(30.0, 10.0, None)}
        if draw.maybe(0.2):
            rotary(draw, config, "gemma2")
    elif kind == "gemma3_text":
        config |= {"rope_local_base_freq": draw.one(10000.0, 10000.0, 5000.0)}
        if draw.maybe(0.3):
            config["sliding_window_pattern"] = draw.one(6, 3, 2)
        if draw.maybe(0.15):
            config["final_logit_softcapping"] = draw.one(30.0, None)
        if draw.maybe(0.1):
            config["attn_logit_softcapping"] = draw.one(50.0, None)
        if draw.maybe(0.1):
            config["use_bidirectional_attention"] = draw.one(True, False)
        if draw.maybe(0.4):
            config["rope_scaling"] = draw.one({"rope_type": "linear", "factor": 8.0}, None, scalings(draw, 256))
        elif draw.maybe(0.4):
            del config["rope_theta"], config["rope_local_base_freq"]
            config["rope_parameters"] = {
                "full_attention": {"rope_theta": 1e6, **draw.one({"rope_type": "default"}, {"rope_type": "linear", "factor": 4.0})},
                "sliding_attention": {"rope_theta": draw.one(10000.0, 20000.0),
                                      **draw.one({"rope_type": "default"}, {"rope_type": "default"}, {"rope_type": "linear", "factor": 2.0})}}
    else:
        rotary(draw, config, "gemma")
    cls = {"gemma": "GemmaForCausalLM", "gemma2": "Gemma2ForCausalLM", "gemma3_text": "Gemma3ForCausalLM"}[kind]
    return config, cls, "gemma2-scale", 0.0


def bert(draw):
    heads, size = draw.one(1, 2, 3, 4), draw.one(8, 12, 16)
    config = {
        "model_type": "bert", "hidden_act": draw.one("gelu", "gelu", "gelu", "relu", "gelu_new", "silu"), "hidden_size": heads * size,
        "num_attention_heads": heads, "num_hidden_layers": draw.one(1, 2, 3), "intermediate_size": draw.one(40, 64),
        "layer_norm_eps": draw.one(1e-12, 1e-5, 1e-2), "max_position_embeddings": draw.one(80, 128), "type_vocab_size": draw.one(1, 2, 3),
        "pad_token_id": 0, "torch_dtype": "float32", "transformers_version": "4.8.2", "attention_probs_dropout_prob": 0.1,
        "hidden_dropout_prob": 0.1}
    if draw.maybe(0.2):
        config["position_embedding_type"] = draw.one("absolute", "relative_key", "relative_key_query")
    if draw.maybe(0.1):
        config["is_decoder"] = draw.one(True, False)
    return config, "BertModel", draw.one("bert-uncased", "bert-vocabulary"), 1.0


FAMILIES = {"llama": llama, "qwen": qwen, "gemma": gemma, "bert": bert}
WEIGHTS = ("config.json", "generation_config.json", "model.safetensors", "modules.json", "sentence_bert_config.json", "README.md")


def make(folder, config, cls, tokenizer, norm, seed):
    """Writes the checkpoint: the tokenizer of a golden one, config.json as drawn, random weights of transformers' own shapes."""
    shutil.copytree(MODELS / tokenizer, folder, ignore=shutil.ignore_patterns(*WEIGHTS, "*_*ooling"))
    config["architectures"] = [cls]
    config["vocab_size"] = json.loads((MODELS / tokenizer / "config.json").read_text())["vocab_size"]
    settings = {k: v for k, v in config.items() if k not in ("architectures", "torch_dtype", "transformers_version")}
    model = build(cls, transformers.CONFIG_MAPPING[config["model_type"]](**json.loads(json.dumps(settings))))
    write_safetensors(folder / "model.safetensors", stored(random_state(model, seed, norm), "F32"))
    write_json(folder / "config.json", config)


def expected(folder, cls, ids):
    with torch.no_grad():
        result = load(cls, folder, torch.float32)(torch.tensor([ids]))
    return (result.logits if hasattr(result, "logits") else result.last_hidden_state)[0].numpy()


STOCK_PROGRAM = """
import sys, json, numpy as np
sys.path.insert(0, sys.argv[1])
from stock import Stock
stock = Stock(sys.argv[2], pooled=False)
ids = json.loads(sys.argv[3])
found = stock.hidden(ids) if sys.argv[4] == "hidden" else stock.logits(ids)
np.save(sys.argv[5], found)
"""


def stock(path, ids, kind, out):
    """llama.cpp in a process of its own, since it may abort; None when it does not give rows."""
    done = subprocess.run([sys.executable, "-c", STOCK_PROGRAM, str(TOOLS / "peer"), path, json.dumps(ids), kind, out],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return np.load(out) if done.returncode == 0 else None


def own(program, model, ids, kind, work):
    (work / "ids.jsonl").write_text(json.dumps({"ids": ids}) + "\n")
    done = subprocess.run([program, "record", model, "--prompts", work / "ids.jsonl", "-o", work / "own.pack", "--full", "--force",
                           "--quiet"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode:
        return None, done.stderr.decode()
    subprocess.run([sys.executable, TOOLS / "parity_pack.py", "export", work / "own.pack", work / "own.npz", "--force"], check=True,
                   stdout=subprocess.DEVNULL)
    with np.load(work / "own.npz") as arrays:
        return arrays["hidden_0" if kind == "hidden" else "logits_0"], ""


def case(number, seed, options, work):
    """(verdict, words) of one case."""
    draw = Draw([seed, number])
    family = options.only or draw.one(*FAMILIES)
    config, cls, tokenizer, norm = FAMILIES[family](draw)
    folder = work / "model"
    try:
        make(folder, config, cls, tokenizer, norm, [seed, number, 1])
        ids = draw.rng.integers(3, config["vocab_size"], TOKENS).tolist()
        reference = expected(folder, cls, ids)
    except Exception as error:  # transformers takes no such settings
        return "unmade", f"{type(error).__name__}: {error}".splitlines()[0]
    if not np.isfinite(reference).all():
        return "unmade", "transformers gives no numbers"
    kind = "hidden" if cls == "BertModel" else "logits"
    gguf = work / "out.gguf"
    done = subprocess.run([options.tincture, "convert", folder, "-o", gguf, "--type", "f32", "--json"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    answer = json.loads(done.stdout)
    if done.returncode in (3, 4):
        error = answer["error"]
        return "refused", f"{error['code']}: {error['message']}; {error.get('key')} expected {error.get('expected')}, found {error.get('found')}"
    if done.returncode:
        return "FAULT", f"exit status {done.returncode}: {answer}"
    words = []
    if kind == "logits":  # a window that the engine does not know is a shorter context: within it both say the same
        context = subprocess.run([options.tincture, "inspect", gguf, "--json"], stdout=subprocess.PIPE, check=True)
        about = json.loads(context.stdout)["metadata"]
        ids = ids[:about[about["general.architecture"] + ".context_length"]]
        reference = reference[:len(ids)]
    rows = stock(str(gguf), ids, kind, str(work / "stock.npy"))
    if rows is None:
        words.append("llama.cpp gives nothing")
    else:
        distance = nmse(rows[:, :reference.shape[1]], reference)
        if not distance <= STOCK:
            words.append(f"llama.cpp stands at NMSE {distance:.2e}")
    for model in (folder, gguf):
        rows, error = own(options.tincture, model, ids, kind, work)
        if rows is None:
            words.append(f"record of {model.name}: {error}")
            continue
        # BERT in a GGUF is computed with llama.cpp's form of GELU.
        limit = 1e-5 if family == "bert" and model == gguf else OWN
        distance = nmse(rows[:, :reference.shape[1]], reference)
        if not distance <= limit:
            words.append(f"our runtime on {model.name} stands at NMSE {distance:.2e}")
    return ("FAULT", "; ".join(words)) if words else ("agrees", "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tincture", required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=FAMILIES)
    parser.add_argument("--case", type=int)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    totals, refusals = collections.Counter(), collections.Counter()
    for number in range(options.count) if options.case is None else [options.case]:
        with tempfile.TemporaryDirectory() as name:
            work = Path(name)
            verdict, words = case(number, options.seed, options, work)
            totals[verdict] += 1
            if verdict in ("refused", "unmade"):
                refusals[words] += 1
            if verdict == "FAULT" or options.case is not None:
                config = json.loads((work / "model" / "config.json").read_text()) if (work / "model" / "config.json").exists() else {}
                print(f"{verdict}  case {number}: {words}\n  {json.dumps(config)}", flush=True)
            if options.keep:
                shutil.rmtree(options.keep, ignore_errors=True)
                shutil.copytree(work, options.keep)
    for words, count in refusals.most_common():
        print(f"{count:5} {words}")
    print(", ".join(f"{count} {verdict}" for verdict, count in totals.items()))
    sys.exit(1 if totals["FAULT"] or not totals["agrees"] else 0)


if __name__ == "__main__":
    main()
