#!/usr/bin/env python3
"""Asks an unmodified llama.cpp which odd GGUF files it loads: wrong types, missing keys, contradictions.

    tools/golden/gguf_sources.py TINCTURE golden/models OUT.json

TINCTURE converts the tiny checkpoints; each file is then changed in one place and given to llama.cpp in a process of its
own, for some changes end it with a failed assertion. What is asked and what it answers goes to OUT.json; the changes are
written down so that a test can make the same ones.

An answer is "loads" (a context comes and twelve tokens run), "refused" (an error), "ended" (a failed assertion or a
signal); "says" is the last error that it logged, where there is one; "output" tells the computed numbers of one model
apart: two changes with the same output are the same model to llama.cpp.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != HERE] + [str(HERE.parent / "peer")]

import numpy as np  # noqa: E402
import gguf  # noqa: E402
import stock  # noqa: E402

TYPES = {t.name.lower(): t for t in gguf.GGUFValueType}
ROOT = HERE.parent.parent
MODELS = ["bert-uncased", "embedding-gemma", "gemma", "gemma2", "gemma3", "llama", "llama3", "qwen2", "qwen3"]
# Read while a file is opened, not while a model is made of it; other tests have them.
CONTAINER = {"general.alignment", "split.count", "split.no", "split.tensors.count", "general.architecture"}


class File:
    """A GGUF file in memory: typed metadata and tensors."""

    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.metadata = {}
        for name, field in reader.fields.items():
            if not name.startswith("GGUF."):
                self.metadata[name] = (field.types, field.contents())
        self.tensors = {t.name: np.array(t.data) for t in reader.tensors}

    def write(self, path):
        writer = gguf.GGUFWriter(path, "any")
        writer.kv_data[0].clear()
        for name, (types, value) in self.metadata.items():
            kind = types[0]
            if kind == gguf.GGUFValueType.ARRAY:
                writer.add_key_value(name, value, kind, types[-1])
            else:
                writer.add_key_value(name, value, kind)
        for name, data in self.tensors.items():
            writer.add_tensor(name, np.ascontiguousarray(data))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    def changed(self, change):
        other = object.__new__(File)
        other.metadata, other.tensors = dict(self.metadata), dict(self.tensors)
        for key in change.get("drop", []):
            del other.metadata[key]
        for key, (kind, value) in change.get("set", {}).items():
            types = [TYPES[kind]] if kind in TYPES else [gguf.GGUFValueType.ARRAY, TYPES[kind[:-2]]]
            other.metadata[key] = (types, value)
        for name in change.get("dropTensors", []):
            del other.tensors[name]
        for name, shape in change.get("addTensors", {}).items():
            other.tensors[name] = np.zeros(shape, np.float32) if name not in self.tensors else (
                np.resize(self.tensors[name], shape))
        return other


def ask(path, is_encoder):
    """What llama.cpp makes of the file, in a process of its own."""
    log, result = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    child = os.fork()
    if child == 0:
        os.dup2(log.fileno(), 2)
        os.dup2(log.fileno(), 1)
        status = 1
        try:
            model = stock.Stock(path, context=64, threads=1)
            ids = list(range(1, 13))
            row = pooled(model, ids) if is_encoder else model.logits(ids)
            result.write(row.tobytes())
            result.flush()
            status = 0
        except stock.Refused:
            pass
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    log.seek(0)
    result.seek(0)
    output = hashlib.sha256(result.read()).hexdigest()[:12] if status == 0 else ""
    text = log.read().decode(errors="replace")
    answer = "loads" if status == 0 else "refused" if os.WIFEXITED(status) else "ended"
    # No path of the file, nor a line of the source: both change with every build.
    said = re.findall(r"(?:error loading model[a-z ]*: )+((?!error loading)[^\n]*)|(GGML_ASSERT[^\n]*)", text)
    words = [re.sub(r"'?/[^ ']*'?", "the file", a or b) for a, b in said]
    return answer, words[-1].strip() if words else "", output


def pooled(model, ids):
    """The text's vector; nothing where the file names no pooling."""
    try:
        return model.embedding(ids)
    except stock.Refused as error:
        if "no pooled embedding" not in str(error):
            raise
        return np.zeros(0, np.float32)


def wrong_type(key):
    return ("string", "1") if "token_type" in key or "sliding_window_pattern" in key else ("float64", 1.0)


def cases(files):
    """Name, model, change."""
    for model in files:
        yield "unchanged", model, {}
    yield from dense_cases(files["embedding-gemma"])
    yield from default_cases()
    yield from rotary_cases()
    yield from tokenizer_cases(files)
    yield from number_cases(files)


def dense_cases(file):
    keys = [f"gemma-embedding.dense_{n}_feat_{side}" for n in (2, 3) for side in ("in", "out")]
    heads = ["dense_2.weight", "dense_3.weight"]
    yield "no dense head", "embedding-gemma", {"drop": keys, "dropTensors": heads}
    yield "dense_2 alone", "embedding-gemma", {"drop": keys[2:], "dropTensors": heads[1:]}
    yield "dense_3 alone", "embedding-gemma", {"drop": keys[:2], "dropTensors": heads[:1]}
    yield "dense_2 alone, keys of both", "embedding-gemma", {"dropTensors": heads[1:]}
    yield "dense keys without tensors", "embedding-gemma", {"dropTensors": heads}
    yield "dense tensors without keys", "embedding-gemma", {"drop": keys}
    yield "dense heads that do not fit each other", "embedding-gemma", {
        "set": {keys[2]: ["uint32", int(file.tensors[heads[1]].shape[1]) + 32]},
        "addTensors": {heads[1]: [file.tensors[heads[1]].shape[0], int(file.tensors[heads[1]].shape[1]) + 32]}}


def default_cases():
    """A key that is missing, and the value that stands for it."""
    for model, suffix, kind, value in (
            ("bert-uncased", "attention.causal", "bool", True), ("llama", "rope.freq_base", "float32", 10000.0),
            ("llama3", "rope.freq_base", "float32", 10000.0), ("qwen2", "rope.freq_base", "float32", 10000.0),
            ("gemma3", "rope.freq_base", "float32", 10000.0), ("gemma3", "rope.freq_base_swa", "float32", 10000.0),
            ("gemma3", "attention.sliding_window", "uint32", 0), ("gemma2", "attention.sliding_window", "uint32", 4096),
            ("gemma2", "attn_logit_softcapping", "float32", 50.0),
            ("gemma2", "final_logit_softcapping", "float32", 30.0)):
        key = f"{'bert' if model == 'bert-uncased' else 'llama' if model == 'llama3' else model}.{suffix}"
        yield f"without {suffix}", model, {"drop": [key]}
        yield f"with {suffix} {value}", model, {"set": {key: [kind, value]}}


def rotary_cases():
    for model in ("llama", "gemma3", "bert-uncased"):
        arch = {"bert-uncased": "bert"}.get(model, model)
        for kind in ("longrope", "linear", "ntk", "none", "yarn"):
            yield f"{model}: rope.scaling.type {kind}", model, {"set": {
                f"{arch}.rope.scaling.type": ["string", kind], f"{arch}.rope.scaling.factor": ["float32", 2.0]}}
    yield "a factor of the rotation's magnitude", "llama", {"set": {"llama.rope.scaling.attn_factor": ["float32", 2.0]}}
    yield "a range of YaRN", "llama", {"set": {
        "llama.rope.scaling.type": ["string", "yarn"], "llama.rope.scaling.factor": ["float32", 2.0],
        "llama.rope.scaling.yarn_beta_fast": ["float32", 4.0]}}
    yield "a base of zero", "llama", {"set": {"llama.rope.freq_base": ["float32", 0.0]}}
    yield "half of each head turned", "llama", {"set": {"llama.rope.dimension_count": ["uint32", 4]}}
    yield "half of each head turned (gemma3)", "gemma3", {"set": {"gemma3.rope.dimension_count": ["uint32", 4]}}


def tokenizer_cases(files):
    pre = "tokenizer.ggml.pre"
    for model in ("llama3", "llama", "bert-uncased"):
        yield f"{model}: an unknown pre-tokenizer", model, {"set": {pre: ["string", "no-such"]}}
    yield "a byte-level BPE without pre-tokenizer", "llama3", {"drop": [pre]}
    yield "a byte-level BPE with an empty pre-tokenizer", "llama3", {"set": {pre: ["string", ""]}}
    yield "a byte-level BPE without merges", "llama3", {"drop": ["tokenizer.ggml.merges"]}
    yield "Kimi's without merges", "llama3", {
        "set": {pre: ["string", "kimi-k2"]}, "drop": ["tokenizer.ggml.merges"]}
    # The vocabulary of another model, as long as the embedding.
    for model, other in (("gemma3", "gpt2"), ("gemma3", "bert"), ("llama", "bert"), ("bert-uncased", "gpt2"),
                         ("bert-uncased", "llama"), ("qwen2", "llama"), ("gemma3", "t5"), ("gemma3", "whitespace"),
                         ("gemma3", "hybriddna"), ("gemma3", "gemma4")):
        change = {"tokenizer.ggml.model": ["string", other]}
        if other in ("gpt2", "whitespace", "hybriddna", "gemma4"):
            change |= {"tokenizer.ggml.merges": ["string[]", ["a b"]], pre: ["string", "gpt-2"]}
        yield f"{model} with a tokenizer of kind {other}", model, {"set": change}
    tokens = "tokenizer.ggml.tokens"
    for model in ("llama", "llama3", "bert-uncased"):
        count = len(files[model].metadata[tokens][1])
        own = files[model].metadata[tokens][1]
        yield f"{model}: all tokens the same text", model, {"set": {tokens: ["string[]", ["a"] * count]}}
        yield f"{model}: two tokens of one text", model, {"set": {tokens: ["string[]", own[:-1] + [own[5]]]}}
        yield f"{model}: two empty tokens", model, {"set": {tokens: ["string[]", own[:-2] + ["", ""]]}}
        yield f"{model}: an empty token and its name", model, {"set": {
            tokens: ["string[]", own[:-2] + [f"[EMPTY_{count - 1}]", ""]]}}
    for name, kind, item in (("scores", "float32[]", 0.0), ("token_type", "int32[]", 1)):
        count = len(files["llama"].metadata[tokens][1])
        for other in (count - 1, count + 1):
            yield f"{name}: {other - count:+d} to the vocabulary", "llama", {"set": {
                f"tokenizer.ggml.{name}": [kind, [item] * other]}}
    yield "scores as int32", "llama", {"set": {"tokenizer.ggml.scores": [
        "int32[]", [0] * len(files["llama"].metadata[tokens][1])]}}
    yield "token types as uint32", "llama", {"set": {"tokenizer.ggml.token_type": [
        "uint32[]", [1] * len(files["llama"].metadata[tokens][1])]}}
    listed = [tokens, "tokenizer.ggml.scores", "tokenizer.ggml.token_type"]
    yield "no tokens", "llama", {"drop": listed}
    yield "no tokenizer", "llama", {"drop": listed + ["tokenizer.ggml.model"]}
    rows = len(files["llama"].metadata[tokens][1])
    for kind in ("none", "no_vocab"):
        yield f"no vocabulary ({kind})", "llama", {
            "drop": listed, "set": {"tokenizer.ggml.model": ["string", kind], "llama.vocab_size": ["uint32", rows]}}
    yield "no vocabulary (none), of unknown size", "llama", {
        "drop": listed + ["llama.vocab_size"], "set": {"tokenizer.ggml.model": ["string", "none"]}}
    yield "a token id beyond the vocabulary", "llama", {"set": {"tokenizer.ggml.eos_token_id": ["uint32", rows]}}
    yield "a token id as int32", "llama", {"set": {"tokenizer.ggml.eos_token_id": ["int32", 2]}}
    yield "a list of ends", "llama", {"set": {"tokenizer.ggml.eos_token_ids": ["int32[]", [1, 2]]}}
    yield "a cls token id as int32", "llama", {"set": {"tokenizer.ggml.cls_token_id": ["int32", 2]}}


def number_cases(files):
    def one(name, model, kind, value, suffix):
        arch = files[model].metadata["general.architecture"][1]
        return name, model, {"set": {f"{arch}.{suffix}": [kind, value]}}
    yield one("no context", "llama", "uint32", 0, "context_length")
    yield one("no layers", "llama", "uint32", 0, "block_count")
    yield one("no heads", "llama", "uint32", 0, "attention.head_count")
    yield one("no key-value heads", "llama", "uint32", 0, "attention.head_count_kv")
    yield one("heads that cannot be shared out", "llama", "uint32", 2, "attention.head_count_kv")
    yield one("an epsilon of zero", "llama", "float32", 0.0, "attention.layer_norm_rms_epsilon")
    yield one("experts", "llama", "uint32", 8, "expert_count")
    yield one("prediction layers", "llama", "uint32", 1, "nextn_predict_layers")
    yield one("rows of another width", "llama", "uint32", 32, "embedding_length_out")
    yield one("another size of values", "llama", "uint32", 16, "attention.value_length")
    yield one("another size of the vocabulary", "llama", "uint32", 7, "vocab_size")
    yield one("no such pooling", "bert-uncased", "uint32", 9, "pooling_type")
    yield one("a decoder that attends both ways", "llama", "bool", False, "attention.causal")
    yield one("no window", "gemma2", "uint32", 0, "attention.sliding_window")
    yield one("no window (gemma3)", "gemma3", "uint32", 0, "attention.sliding_window")
    yield one("a pattern for no layer", "gemma3", "bool[]", [True], "attention.sliding_window_pattern")
    norm = "blk.0.attn_norm.weight"
    width = files["llama"].metadata["llama.embedding_length"][1]
    yield "a norm of one row", "llama", {"addTensors": {norm: [1, width]}}
    yield "a norm of one column", "llama", {"addTensors": {norm: [width, 1]}}
    yield "a tensor more", "llama", {"addTensors": {"blk.0.strange.weight": [width]}}
    yield "a tensor less", "llama", {"dropTensors": [norm]}
    yield "no output norm", "llama", {"dropTensors": ["output_norm.weight"]}


def key_tables(files):
    """For each model the keys of which llama.cpp refuses another type, and those that it refuses to miss."""
    lines = (ROOT / "formats/config/engine-keys.json5").read_text().splitlines()
    table = json.loads(re.sub(r",(\s*[}\]])", r"\1", "\n".join(line for line in lines if not line.startswith("//"))))
    mistyped, missing = {}, {}
    for model, file in files.items():
        arch = file.metadata["general.architecture"][1]
        keys = table["general"] + [k.replace("{arch}", arch) for k in table["every"] + table[arch]]
        mistyped[model] = by_answer(file, {k: {"set": {k: list(wrong_type(k))}} for k in set(keys) - CONTAINER})
        own = [k for k in file.metadata if k.startswith((arch + ".", "tokenizer.ggml"))]
        missing[model] = by_answer(file, {k: {"drop": [k]} for k in own})
    return mistyped, missing


def by_answer(file, changes):
    """The keys of the changes that llama.cpp refuses (or ends at), and of those that it loads."""
    answers = {"refused": [], "loads": []}
    for key in sorted(changes):
        answers["loads" if answer(file, changes[key])[0] == "loads" else "refused"].append(key)
    return answers


def answer(file, change):
    with tempfile.NamedTemporaryFile(suffix=".gguf") as made:
        file.changed(change).write(made.name)
        return ask(made.name, file.metadata["general.architecture"][1] in ("bert", "gemma-embedding"))


def pre_tokenizers(file):
    """Every name in the table of formats/, and those of llama.cpp's own list, that it accepts for a BPE."""
    text = (ROOT / "formats/pretokenizers/llama.cpp.json5").read_text()
    names = set()
    for member in re.findall(r"^  (?:names|otherNames): \[(.*?)\]", text, re.S | re.M):
        names |= set(re.findall(r'"([^"]*)"', member))
    return {name: answer(file, {"set": {"tokenizer.ggml.pre": ["string", name]}})[0] for name in sorted(names)}


def main(tincture, models, out):
    stock.library(verbose=True)
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name in MODELS:
            path = os.path.join(folder, name + ".gguf")
            subprocess.run([tincture, "convert", os.path.join(models, name), "-o", path, "--type", "f32", "--quiet"],
                           check=True, stdout=subprocess.DEVNULL)
            files[name] = File(path)
            found = answer(files[name], {})
            assert found[0] == "loads", (name, found)
    listed = []
    for name, model, change in cases(files):
        found, says, output = answer(files[model], change)
        listed.append({"name": name, "model": model, **change, "answer": found, "says": says, "output": output})
    mistyped, missing = key_tables(files)
    with open(out, "w") as file:
        file.write('{\n"cases": [\n' + ",\n".join(json.dumps(c, ensure_ascii=False) for c in listed) + "\n],\n")
        for name, table in (("mistyped", mistyped), ("missing", missing)):
            file.write(f'"{name}": {{\n' + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in table.items())
                       + "\n},\n")
        file.write('"preTokenizers": ' + json.dumps(pre_tokenizers(files["llama3"])) + "\n}\n")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
